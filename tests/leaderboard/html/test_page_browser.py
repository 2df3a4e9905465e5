"""The page in a real Chromium: what a reader does with it, and what it must not do."""

import os
import re
import shutil
import signal

import pytest

from fer_bench.leaderboard.html.page import render_html

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra browser-tests")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(board, tmp_path_factory):
    """The page as a file, beside a picture that nothing may load."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(render_html(board), encoding="utf-8")
    (folder / "x").write_bytes(b"")
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    sandbox = [] if os.getuid() else ["--no-sandbox"]
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield running
        running.close()


@pytest.fixture(scope="module")
def visit(browser, address):
    """Return a function that opens the page; at the end nothing may have been logged, or asked for but it."""
    heard, asked = [], []

    def open_page(size=WIDE, scheme="light"):
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.set_default_timeout(10_000)
        page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    assert heard == []
    assert {url for url in asked if not url.startswith("data:")} == {address}


@pytest.fixture(scope="module")
def page(visit):
    return visit()


@pytest.fixture(autouse=True)
def _ends():
    """Fail where the browser died without a word, which Playwright would wait for."""

    def give_up(*_):
        raise TimeoutError("the browser does not answer")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(180)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _closed(request):
    """Close what the last test opened on the shared page."""
    if "page" in request.fixturenames:
        shared = request.getfixturevalue("page")
        if shared.locator("dialog[open]").count():
            shared.keyboard.press("Escape")


def column(page, table, field):
    cells = page.locator(f"[data-table={table}] .tabulator-row .tabulator-cell[tabulator-field={field}]")
    return cells.all_inner_texts()


def heading(page, table, field):
    return page.locator(f"[data-table={table}] .tabulator-col[tabulator-field={field}]")


def until(page, holds):
    """Wait until something holds; the page's policy forbids the way in which Playwright would ask."""
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(50)
    pytest.fail("it does not come to hold")


def opened(page, table):
    """Unfold the table, and return it."""
    fold = page.locator(f"details:has([data-table={table}])")
    if fold.get_attribute("open") is None:
        fold.locator("summary").click()
    found = page.locator(f"[data-table={table}] .tabulator-row")
    found.first.wait_for()
    return fold


def test_figures_are_drawn(page):
    for name in ("both", "matrix", "ranks", "reliability", "learning"):
        drawn = page.locator(f"[data-chart={name}] svg.marks")
        assert drawn.bounding_box()["width"] > 300, name
        assert drawn.locator("path").count() > 5, name


def test_headings_sort_by_value_and_put_missing_ones_last(page):
    assert column(page, "methods", "method") == ["resemotenet", "gcn", "erm"]
    title = heading(page, "methods", "overall").locator(".tabulator-col-title")
    title.click()
    title.click()
    assert column(page, "methods", "method") == ["erm", "gcn", "resemotenet"]
    differences = heading(page, "methods", "from_best").locator(".tabulator-col-title")
    for _ in range(2):
        differences.click()
        assert column(page, "methods", "from_best")[-1] == "-"
    heading(page, "methods", "method").locator(".tabulator-col-title").click()
    assert column(page, "methods", "method") == ["erm", "gcn", "resemotenet"]


def test_text_and_numbers_filter(page):
    opened(page, "pairs")
    source = heading(page, "pairs", "source").locator("input")
    source.press_sequentially("rafdb")
    score = heading(page, "pairs", "uar").locator("input")
    score.press_sequentially("30")
    until(page, lambda: {*column(page, "pairs", "source")} == {"rafdb"})  # filters wait for the end of typing
    until(page, lambda: min(float(t.split()[0]) for t in column(page, "pairs", "uar")) >= 30)
    source.press_sequentially(" nowhere")
    page.get_by_text("nothing fits the filters").first.wait_for()


def test_a_number_opens_its_cell(page):
    page.locator("[data-table=own] button.open").first.click()
    details = page.get_by_role("dialog")
    assert details.locator("h2").inner_text() == "resemotenet trained on rafdb"
    text = details.inner_text()
    assert re.search(r"fer-bench rerun [0-9a-f]{16}", text)
    assert "SYNTHETIC DATA" in text
    assert "Worst mistakes by class" in text
    details.locator("svg.marks").nth(3).wait_for()  # confusion, reliability, two learning curves
    assert (
        details.locator(".faces img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 8
    )
    details.get_by_label("Tested on").select_option("expw")
    details.locator("svg.marks").nth(3).wait_for()
    details.get_by_role("button", name="Close").click()
    assert page.locator("dialog[open]").count() == 0


def test_a_square_of_the_matrix_opens_its_cell(page):
    page.locator("[data-chart=matrix] select").select_option("gcn")
    square = page.locator("[data-chart=matrix] .mark-rect path").first
    square.scroll_into_view_if_needed()
    square.click(force=True)
    page.locator("dialog[open]").wait_for()
    assert page.locator("#details-title").inner_text().startswith("gcn trained on ")


def test_keyboard_alone_sorts_filters_and_opens(visit):
    page = visit()
    title = heading(page, "methods", "overall").locator(".tabulator-col-title")
    title.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    assert column(page, "methods", "method") == ["erm", "gcn", "resemotenet"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "filter on other datasets"
    page.locator("[data-table=own] .tabulator-header input").last.focus()
    for _ in range(4):  # over what scrolls to the first number
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className").startswith("open"):
            break
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for()
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    until(page, lambda: page.evaluate("document.activeElement.className").startswith("open"))  # back there
    page.locator("details:has([data-table=tests]) summary").focus()
    page.keyboard.press("Enter")
    page.locator("[data-table=tests] .tabulator-row").first.wait_for()
    page.close()


def test_a_number_keeps_the_focus_after_it_scrolled_into_view(visit):
    page = visit()
    number = page.locator("[data-table=own] button.open").nth(1)
    number.focus()
    page.wait_for_timeout(500)
    assert page.evaluate("document.activeElement.textContent") == number.text_content()
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == number.text_content()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_never_scrolls_sideways(visit, scheme):
    page = visit(PHONE, scheme)
    for summary in page.locator("main details > summary").all():
        summary.click()
    page.locator("[data-table=runs] .tabulator-row").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first = page.locator("[data-table=methods] .tabulator-cell").first
    assert first.bounding_box()["x"] >= 0
    page.locator("[data-table=own] button.open").first.click()
    page.locator("dialog svg.marks").nth(3).wait_for()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 390
    assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 14
    page.close()


def test_dark_mode_follows_the_system_and_the_switch(visit):
    brightness = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
    label = "[data-chart=matrix] .role-axis-label text"
    ink = f"getComputedStyle(document.querySelector('{label}')).fill"
    page = visit(scheme="dark")
    assert page.evaluate(brightness) < 60
    dark = page.evaluate(ink)
    row = "getComputedStyle(document.querySelector('.tabulator-row')).backgroundColor"
    assert page.evaluate(f"Number({row}.match(/\\d+/)[0])") < 60
    page.get_by_label("Colours").select_option("light")
    assert page.evaluate(brightness) > 200
    until(page, lambda: page.evaluate(ink) != dark)
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate(brightness) > 200  # it is remembered
    page.get_by_label("Colours").select_option("auto")
    assert page.evaluate(brightness) < 60
    page.emulate_media(color_scheme="light")
    until(page, lambda: page.evaluate(brightness) > 200)
    page.close()


def test_markup_in_a_record_shows_as_text(page):
    opened(page, "cells")
    notes = "\n".join(column(page, "cells", "notes"))
    assert "<script>document.title='bad'</script><img src=x onerror=alert(1)> &" in notes
    button = (
        page.locator("[data-table=cells] .tabulator-row", has_text="<script>").locator("button.open").first
    )
    button.click()
    facts = page.locator("dialog").inner_text()
    assert "<script>document.title='bad'</script><img src=x" in facts
    assert page.title() != "bad"
    assert page.locator("main img, dialog img:not(.faces img)").count() == 0


def test_what_cannot_be_read_is_shown(page):
    assert column(page, "problems", "file") == ["gcn/mmi/0123456789abcdef/record.json"]
