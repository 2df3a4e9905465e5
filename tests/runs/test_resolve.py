import pytest

from fer_bench import arithmetic
from fer_bench.config import SweepConfig
from fer_bench.errors import UsageError
from fer_bench.runs.resolve import (
    resolve_device,
    resolve_folds,
    resolve_portable,
    resolve_precision,
    resolve_profile,
    resolve_settings,
)


class TestResolving:
    def test_profile_then_overrides(self):
        settings, train = resolve_settings("resemotenet", "quick", ["method.lr=1e-5", "train.batch_size=7"])
        assert (settings.lr, train.batch_size) == (1e-5, 7)

    @pytest.mark.parametrize(
        ("override", "word"),
        [
            ("method.lrr=1", "did you mean lr"),
            ("methd.lr=1", "did you mean method"),
            ("method.lr", "name=value"),
            ("method.lr=-1", "greater than 0"),
            ("train.augmentation.flip=2", "less than or equal to 1"),
            ("train.augmentation.flop=1", "did you mean flip"),
            ("train.max_epochs=many", "valid integer"),
        ],
    )
    def test_bad_settings_are_named(self, override, word):
        with pytest.raises(UsageError, match=word) as caught:
            resolve_settings("resemotenet", "quick", [override])
        assert override in str(caught.value)

    def test_profiles_and_devices(self):
        sweep = SweepConfig()
        assert (resolve_profile(sweep, "synthetic"), resolve_profile(sweep, "real")) == ("quick", "paper")
        assert resolve_profile(SweepConfig(profile="quick"), "real") == "quick"
        assert resolve_device("cpu") == "cpu"
        assert resolve_precision("auto", "cpu") == "32"
        assert resolve_precision("bf16-mixed", "cpu") == "bf16-mixed"

    def test_quick_runs_on_a_cpu_are_portable(self, monkeypatch):
        def resolved(wanted, profile="quick", device="cpu", precision="32", **fields):
            return resolve_portable(
                wanted, profile=profile, device=device, precision=precision, **{"compiled": False, **fields}
            )

        monkeypatch.setattr(arithmetic, "can_be_portable", lambda: True)
        monkeypatch.setattr(arithmetic, "choose_portable", lambda: True)
        assert resolved(None)
        assert resolved(True, profile="paper")
        assert not resolved(False)
        for other in (
            {"profile": "paper"},
            {"device": "cuda"},
            {"precision": "bf16-mixed"},
            {"compiled": True},
        ):
            assert not resolved(None, **other)
        for other, hint in (
            ({"device": "cuda"}, "--device cpu"),
            ({"precision": "bf16-mixed"}, "--precision 32"),
            ({"compiled": True}, "--no-compile"),
        ):
            assert not resolved(None, **other)
            with pytest.raises(UsageError, match=hint):
                resolved(True, **other)
        monkeypatch.setattr(arithmetic, "choose_portable", lambda: False)  # it has computed otherwise before
        assert not resolved(None)
        assert resolved(True)
        assert resolved(None, elsewhere=True)
        monkeypatch.setattr(arithmetic, "can_be_portable", lambda: False)
        assert not resolved(None)
        assert not resolved(None, elsewhere=True)
        assert resolved(True, elsewhere=True)
        with pytest.raises(UsageError, match="AVX2"):
            resolved(True)

    def test_folds(self, workspace):
        card = workspace.source("oulu").dataset.card

        def folds(profile, protocol=None, **fields):
            protocols = {} if protocol is None else {"oulu": protocol}
            return resolve_folds(SweepConfig(protocols=protocols, **fields), "oulu", card, profile)

        assert folds("quick") == ("6-4fold", (1,))
        assert folds("quick", folds="all") == ("6-4fold", (1, 2, 3, 4))
        assert folds("paper") == folds("small") == ("6-10fold", tuple(range(1, 11)))
        assert folds("paper", "oulu/7n-10fold", folds=(3,)) == ("7n-10fold", (3,))
        assert folds("quick", folds=(2, 2, 1)) == ("6-4fold", (2, 1))
        with pytest.raises(UsageError, match="1 to 4"):
            folds("quick", folds=(5,))
        with pytest.raises(UsageError, match="did you mean 6-10fold"):
            folds("quick", "6-1fold")
