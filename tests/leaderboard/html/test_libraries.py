"""The libraries of the page are what was published, whole and licensed."""

import hashlib
import re

from fer_bench.leaderboard.html.libraries import FOLDER, libraries, licences, policy_hash, scripts, styles


def test_every_file_has_the_hash_that_is_listed_and_every_file_is_listed():
    listed = {file.stored: file.sha256 for one in libraries() for file in one.files}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()}
    del found["libraries.json"]
    assert found == listed


def test_versions_are_pinned_and_licences_are_kept():
    assert {one.name for one in libraries()} == {"vega", "vega-lite", "vega-embed", "tabulator-tables"}
    for one in libraries():
        assert re.fullmatch(r"\d+\.\d+\.\d+", one.version)
        assert one.licence in ("MIT", "BSD-3-Clause")
    for name, text in licences():
        assert re.search(r"Permission is hereby granted|Redistribution and use", text), name


def test_scripts_can_stand_in_a_page_and_name_nothing_to_load():
    assert len(scripts()) == 4
    assert len(styles()) == 1
    for text in (*scripts(), *styles()):
        assert "sourceMappingURL" not in text
        assert "</script" not in text.lower()
        assert "</style" not in text.lower()
    assert "@import" not in styles()[0]
    assert "url(http" not in styles()[0]


def test_policy_hash_is_the_one_of_the_standard():
    # the example of the Content Security Policy level 2 recommendation
    assert policy_hash("alert('Hello, world.');") == "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
