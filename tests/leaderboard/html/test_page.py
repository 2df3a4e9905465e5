"""The text of the page: self-contained, the same for the same store, and small."""

import json
import re
import shutil
from pathlib import Path

import pytest

from fer_bench.leaderboard.html.page import embedded, render_html
from fer_bench.leaderboard.page import read_board, write_leaderboard
from fer_bench.leaderboard.tables import build_board
from fer_bench.results.store import Store

GOLDEN = Path(__file__).parents[2] / "golden"
DATA = re.compile(r'<script type="application/json" id="board-data">(.*?)</script>', re.DOTALL)


@pytest.fixture(scope="module")
def page(board):
    return render_html(board)


@pytest.fixture(scope="module")
def data(page):
    return json.loads(DATA.search(page)[1])["sections"]


@pytest.mark.parametrize("version", sorted(folder.name for folder in GOLDEN.iterdir()))
def test_the_same_store_gives_the_same_bytes(version, tmp_path):
    pages = []
    for place in ("one", "two/elsewhere"):
        store = Store(shutil.copytree(GOLDEN / version, tmp_path / place / "runs"))
        written = {path.name: path for path in write_leaderboard(store, tmp_path / place / "board")}
        pages.append(written["index.html"].read_bytes())
    assert pages[0] == pages[1]
    assert b"SYNTHETIC DATA" in pages[0]
    assert str(tmp_path).encode() not in pages[0]


def test_nothing_is_loaded_from_elsewhere(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    markup = re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", page, flags=re.DOTALL)
    assert not re.search(r"<(script|link|img|iframe)\b|src=|url\(", markup)
    assert not re.search(r"\son[a-z]+=", markup)
    assert {"http://", "https://"} & {
        *re.findall(r"https?://", markup.split("Libraries in this file")[0])
    } == set()


def test_text_of_records_is_escaped(page, data):
    evil = json.dumps(data)
    assert "<script>document" in evil  # it is there
    assert "<script>document" not in page
    assert "<img src=x" not in page
    assert "\u2028" not in page


def test_embedded_json_is_whole_and_cannot_end_its_element():
    value = {"a": "</script><!-- \u2028\u2029 &amp;", "b": [1.5, None, True, "é"]}
    text = embedded(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value
    with pytest.raises(ValueError, match="JSON compliant"):
        embedded(float("nan"))


def test_tables_have_the_order_of_the_board(data, board):
    section = data["synthetic-quick"]
    order = [row["method"] for row in section["tables"]["methods"]["rows"]]
    assert order == [one.label for one in board.sections[0].overall] == ["resemotenet", "gcn", "erm"]
    for name in ("own", "general"):
        assert [row["method"] for row in section["tables"][name]["rows"]] == order
    titles = [column["title"] for column in section["tables"]["own"]["columns"]]
    assert titles == ["method", *board.sections[0].sources]


def test_a_board_without_runs_says_so(tmp_path):
    text = render_html(read_board(Store(tmp_path)))
    assert "no run yet" in text
    assert json.loads(DATA.search(text)[1])["sections"] == {}


def test_what_cannot_be_read_is_listed(data, board):
    assert [row["file"] for row in data["problems"]["tables"]["problems"]["rows"]] == [
        "gcn/mmi/0123456789abcdef/record.json"
    ]


def test_35_cells_of_three_seeds_stay_below_five_megabytes(data, page, board):
    """Scaled from nine cells with all targets: what does not grow is the libraries."""
    fixed = len(page) - len(DATA.search(page)[1])
    cells = len(board.sections[0].cells)
    assert cells == 9
    assert fixed + len(DATA.search(page)[1]) * 35 / cells < 5_000_000


def test_sections_are_apart(board_store, tmp_path):
    store = Store(shutil.copytree(board_store.root, tmp_path / "runs"))
    shutil.rmtree(store.root / "erm")
    for file in sorted((store.root / "resemotenet").glob("*/*/record.json")):
        text = json.loads(file.read_text())
        file.write_text(json.dumps({**text, "profile": "paper", "data_kind": "real", "generator": None}))
    board = build_board(store, methods=("gcn",), named_targets=("rafdb", "expw"))
    page = render_html(board)
    sections = json.loads(DATA.search(page)[1])["sections"]
    assert [*sections][:2] == ["real-paper", "synthetic-quick"]
    assert "resemotenet" not in json.dumps(sections["synthetic-quick"])
    assert "gcn @" not in json.dumps(sections["real-paper"])
    assert page.count("SYNTHETIC DATA") == len(
        re.findall("SYNTHETIC DATA", page.split('id="synthetic-quick"')[1])
    )
