from __future__ import annotations

import pickle

from fer_bench.data.reading.notes import counted, listed


def test_long_lists_are_cut():
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_a_note_keeps_all_names_and_says_a_few():
    (note,) = counted({"frames are gone": list("abcdefg"), "others": []})
    assert note == "7 frames are gone: a, b, c, d, e and 2 more"
    assert (note.text, note.names) == ("7 frames are gone", tuple("abcdefg"))
    assert pickle.loads(pickle.dumps(note)).names == note.names
