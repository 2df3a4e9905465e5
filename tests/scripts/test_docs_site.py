"""The documentation site builds strictly, and every link, there and in the repository, leads somewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from pymdownx.slugs import slugify

from scripts import docs_site
from scripts.docs_site import ROOT, for_site, lines, links, places, resolved

SLUG = slugify(case="lower")
PAGES = sorted(path for path in places() if path.endswith(".md"))


def anchors(path):
    """Return the anchors that GitHub gives the headings of a page, and those written as HTML."""
    text, found = (ROOT / path).read_text(encoding="utf-8"), set()
    for line, code in lines(text):
        if not code and (heading := re.match(r"#+ (.*)", line)):
            found.add(SLUG(re.sub(r"[`*_]|\]\([^)]*\)|\[", "", heading[1]), "-"))
    return found | set(re.findall(r"(?:id|name)=\"([^\"]+)\"", text))


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_to_files_and_headings(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    dead = {target for target in links(text) if not (ROOT / resolved(page, target)).exists()}
    for line, code in lines(text):
        for target, anchor in [] if code else re.findall(r"\]\(([^)\s:#]*)#([^)\s]+)\)", line):
            path = resolved(page, target) if target else page
            if path.endswith(".md") and (ROOT / path).is_file() and anchor not in anchors(path):
                dead.add(f"{target}#{anchor}")
    assert dead == set()


def test_the_pages_of_a_stranger_are_checked():
    assert {"README.md", "leaderboard/README.md", "CHANGELOG.md", "docs/getting-started.md"} <= set(PAGES)


def test_links_become_places_of_the_site_and_code_is_left_alone():
    text = "See [gcn](fer_bench/methods/gcn/README.md#what-was-measured) and [data](docs/datasets/).\n"
    assert (
        for_site(text, "README.md")
        == "See [gcn](methods/gcn.md#what-was-measured) and [data](datasets/README.md).\n"
    )
    text = "```\n[x](docs/data.md)\n```\n"
    assert for_site(text, "README.md") == text
    assert for_site("![](../../../docs/figures/cafe-channels.png)", "fer_bench/methods/cafe/README.md") == (
        "![](../figures/cafe-channels.png)\n"
    )


def test_a_dead_link_stays_for_the_strict_build_to_find():
    assert for_site("[x](docs/absent.md)", "README.md") == "[x](docs/absent.md)\n"


def test_lists_and_details_are_written_for_python_markdown():
    assert for_site("Notes:\n- a\n- b", "README.md") == "Notes:\n\n- a\n- b\n"
    assert '<details markdown="1">' in for_site("<details><summary>x</summary>", "README.md")


class Links(HTMLParser):
    """Collects the anchors of a page, what it links to and what it loads."""

    def __init__(self, file):
        super().__init__()
        self.ids, self.targets, self.loaded = set(), set(), set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.targets.add(values["href"])
        if tag in ("script", "img") and values.get("src"):
            self.loaded.add(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.add(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return {file: Links(file) for file in folder.rglob("*.html")}


def test_every_method_and_dataset_has_a_page_and_so_has_the_api(site):
    names = {file.stem for file in site}
    assert names >= {*docs_site.methods(), "ckplus", "affwild2", "getting-started", "runs", "statistics"}


def test_links_of_the_site_lead_to_pages_and_headings(site):
    dead = []
    for file, page in site.items():
        for target in page.targets | page.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or file.name == "404.html":
                continue
            goal = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            goal = goal / "index.html" if goal.is_dir() else goal
            lost = goal in site and parts.fragment and unquote(parts.fragment) not in site[goal].ids
            if not goal.exists() or (lost and not parts.fragment.startswith("__")):
                dead.append((file.name, target))
    assert dead == []


def test_pages_load_nothing_from_elsewhere(site):
    loaded = {address for page in site.values() for address in page.loaded}
    assert len(loaded) > 5
    assert {address for address in loaded if urlsplit(address).netloc} == set()
