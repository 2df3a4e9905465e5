import pytest
import yaml

from fer_bench import datasets
from fer_bench.datasets import MAIN_SEVEN, members_of, source_name
from fer_bench.errors import UsageError
from fer_bench.runs.sweepfile import SWEEPS, read_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.unions import available_sources, drop_seen, seen_note


class TestNames:
    def test_members_are_sorted(self):
        assert members_of(source_name("oulu+ckplus+mmi")) == ("ckplus", "mmi", "oulu")
        assert source_name(" oulu + ckplus") == "ckplus+oulu"
        assert source_name("oulu") == "oulu"

    @pytest.mark.parametrize(
        ("name", "word"),
        [
            ("ckplus+olu", "did you mean oulu"),
            ("ckplus+", r"written ckplus\+mmi\+oulu"),
            ("+", r"written ckplus\+mmi\+oulu"),
            ("oulu+ckplus+oulu", "oulu comes twice"),
            ("fer2013+ferplus", "hold the same pictures"),
            ("expw+oulu+mmafedb", "expw and mmafedb hold the same pictures"),
        ],
    )
    def test_bad_unions_are_refused(self, name, word):
        with pytest.raises(UsageError, match=word):
            source_name(name)

    def test_targets_with_pictures_of_a_member_are_dropped_with_the_reason(self):
        kept, dropped = drop_seen(["rafdb", "ferplus", "mmafedb"], "fer2013+oulu")
        assert kept == ["rafdb"]
        assert set(dropped) == {"ferplus", "mmafedb"}
        assert "pictures of fer2013" in dropped["ferplus"]
        assert drop_seen(["ferplus"], "fer2013") == (["ferplus"], {})  # boards mark single pairs themselves


def test_a_score_on_pictures_that_were_trained_on_says_why_it_does_not_count():
    assert "mmafedb holds pictures of fer2013" in str(seen_note("mmafedb", "fer2013"))
    assert "never counted as cross-dataset" in str(seen_note("expw", "mmafedb+oulu"))
    assert seen_note("rafdb", "fer2013") is None
    assert seen_note("fer2013", "fer2013") is None, "in-domain"


def test_a_union_is_there_only_with_all_its_members(tiny_root):
    found, missing = available_sources(
        ["ckplus+oulu", "ckplus+mmi", "mmi", "rafdb"], find_roots(str(tiny_root))
    )
    assert found == ["ckplus+oulu", "rafdb"]
    assert missing["ckplus+mmi"].startswith("mmi: not found")
    assert missing["mmi"].startswith("not found")


class TestSweepFiles:
    def test_leave_one_out_leaves_each_of_the_seven_out_once(self):
        sweep = yaml.safe_load((SWEEPS / "leave-one-out.yaml").read_text())
        left_out = [set(MAIN_SEVEN) - set(members_of(name)) for name in sweep["datasets"]]
        assert all(len(source.split("+")) == 6 for source in sweep["datasets"])
        assert [name for one in left_out for name in one] == list(MAIN_SEVEN)
        assert sweep["targets"] == "all"

    @pytest.mark.parametrize("name", ["leave-one-out.yaml", "unions.yaml"])
    def test_names_in_sweep_files_exist(self, name):
        sweep = read_sweep(SWEEPS / name)
        assert not isinstance(sweep.datasets, str)
        assert [source_name(source) for source in sweep.datasets] == list(sweep.datasets)
        for source, protocol in sweep.protocols.items():
            assert protocol in [p.name for p in datasets.get(source).card.protocols]
