from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.audit.leaks import known_leaks
from fer_bench.data.audit.report import Report
from fer_bench.data.audit.verify import verify
from fer_bench.datasets.folder import Folder


def face(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Three nearly equal frames of each recording, named without a person."""
    root = tmp_path / "pictures"
    for place, code in enumerate(("happy", "sad")):
        (root / code).mkdir(parents=True)
        for recording in range(12):
            for frame in range(3):
                picture = cv2.convertScaleAbs(
                    face(100 * place + recording), alpha=0.9 + 0.03 * frame, beta=frame
                )
                cv2.imwrite(str(root / code / f"{recording:02d}{'abc'[frame]}.png"), picture)
    return root


def check(root: Path) -> Report:
    return verify(lambda: Folder(root), "folder", is_real=True, cache=root.parent / "cache")


def test_near_copies_of_most_rows_across_parts_are_an_error(frames: Path) -> None:
    report = check(frames)
    (finding,) = [f for f in report.findings if f.kind == "near-leak"]
    assert finding.severity == "error"
    assert finding.share > 0.5
    assert "split by person, for example as <class>/<person>/<name>" in finding.advice
    assert len(finding.names) == 10
    listed = Path(finding.listed_in).read_text().splitlines()
    assert len(listed) == finding.rows
    assert listed[0] == f"folder: {finding.names[0]}"
    text = "\n".join(report.lines())
    assert finding.listed_in in text
    assert "official" not in text


def test_a_run_knows_the_leaks_of_a_check_of_the_same_files(frames: Path) -> None:
    cache = frames.parent / "cache"
    assert known_leaks(Folder(frames), "found", cache=cache) == []
    check(frames)
    (leak,) = known_leaks(Folder(frames), "found", cache=cache)
    assert leak.startswith("fer-bench data verify found: ")
    assert "nearly the same on both sides of the split" in leak
    assert known_leaks(Folder(frames), "another", cache=cache) == []
    cv2.imwrite(str(frames / "sad" / "00a.png"), face(999))
    assert known_leaks(Folder(frames), "found", cache=cache) == [], "of other files nothing is known"


def test_advice_for_pictures_of_ones_own_speaks_of_no_release(tmp_path: Path) -> None:
    for split, codes in (("train", ("happy", "sad", "fear")), ("test", ("happy", "sad"))):
        for code in codes:
            (tmp_path / split / code).mkdir(parents=True)
            for number in range(4):
                cv2.imwrite(str(tmp_path / split / code / f"{number}.png"), face(number))
            cv2.imwrite(str(tmp_path / split / code / "grey.png"), np.full((20, 20, 3), 7, np.uint8))
    report = check(tmp_path)
    kinds = {f.kind: f for f in report.findings}
    assert {"leak", "constant", "classes", "conflict"} <= set(kinds)
    assert kinds["constant"].names[0] == "test/happy/grey.png"
    assert not any(word in "\n".join(report.lines()) for word in ("official", "half-copied", "release"))


def test_one_class_is_an_error_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "happy").mkdir()
    for number in range(8):
        cv2.imwrite(str(tmp_path / "happy" / f"{number}.png"), face(number))
    (finding,) = [f for f in check(tmp_path).findings if f.severity == "error"]
    assert "has one class to train, and a classifier needs two (found 'happiness')" in finding.message
