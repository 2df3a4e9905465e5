import numpy as np
import pandas as pd
import pytest
import torch

from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.card import Official, Protocol
from fer_bench.data.index import validate_index
from fer_bench.data.loading.batches import stream
from fer_bench.data.loading.datamodule import FaceDataModule, evaluation_batches
from fer_bench.data.loading.union import UnionDataset, union_card
from fer_bench.data.loading.union_module import EPOCH_CAP, UnionBatches, make_datamodule
from fer_bench.data.packs.pack import open_pack
from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.emotions import BASIC_SIX, LABEL_SETS
from fer_bench.errors import DataError, UsageError
from fer_bench.files import cache_root
from fer_bench.workspace.sources import find_roots, open_source
from tests.data.toy import running_trainer

SPEC = InputSpec(size=20)
QUICK = "7-union-quick"


@pytest.fixture(scope="module")
def members(tiny_root):
    roots = find_roots(str(tiny_root))
    return {name: open_source(name, roots).dataset for name in ("oulu", "ckplus", "rafdb")}


@pytest.fixture(scope="module")
def union(members):
    return UnionDataset(list(members.values()))


def module(union, **options):
    values = {"spec": SPEC, "protocol": QUICK, "batch_size": 8, "augmentation": Augmentation(flip=0)}
    data = make_datamodule(union, **{**values, **options})
    data.trainer = running_trainer(training=True, current_epoch=0, global_rank=0, world_size=1)
    return data


def orders(starts, rows, *, seed=0, epoch=0, limit=None, rank=0, world=1, batch_size=10):
    names = [f"member{number}" for number in range(len(starts) - 1)]
    place = {"limit": limit, "rank": rank, "world": world}
    batches = UnionBatches(rows, np.array(starts), names, batch_size, seed=seed, **place)
    batches.set_epoch(epoch)
    assert len(list(batches)) == len(batches)
    return list(batches)


class TestDataset:
    def test_index_is_the_members_below_each_other_and_valid(self, union, members):
        index = union.index
        validate_index(index, union.card.name)
        assert union.card.name == "ckplus+oulu+rafdb"
        for number, name in enumerate(("ckplus", "oulu", "rafdb")):
            own = members[name].index
            mine = index.iloc[union.starts[number] : union.starts[number + 1]].reset_index(drop=True)
            assert (mine["sample_id"] == f"{name}/" + own["sample_id"]).all()
            same = ["label", "frame", "box", "is_neutral_frame", "variant", "native_label"]
            pd.testing.assert_frame_equal(mine[same], own[same])
            assert mine["reference_id"].isna().equals(own["reference_id"].isna())
        assert "oulu/" not in members["oulu"].index["sample_id"][0]  # the member itself stays as it was

    def test_pictures_are_the_members(self, union, members):
        own = members["rafdb"].index
        row = union.index.iloc[-1]
        (picture,) = union.load(row["path"], [-1])
        assert np.array_equal(picture, members["rafdb"].load(own["path"].iloc[-1], [-1])[0])

    def test_rows_and_leaving_out(self, union):
        assert next(iter(union.rows()))["sample_id"] == union.index["sample_id"][0]
        with pytest.raises(DataError, match="left out of the members"):
            union.leave_out(["x"])
        with pytest.raises(UsageError, match="not a member"):
            union.member("mmi")


class TestCard:
    def test_seven_emotions_where_all_know_neutral(self, union):
        protocol = find_protocol(union.card, None)
        assert (protocol.name, protocol.label_set, protocol.split.k) == ("7-union", LABEL_SETS["7"], 10)
        quick = find_protocol(union.card, None, quick=True)
        assert (quick.name, quick.split.k) == (QUICK, 4)
        assert find_protocol(union.card, "6-union").label_set == BASIC_SIX

    def test_without_neutral_or_a_class_in_one_member_there_is_none(self, members):
        def poorer(*missing):
            card = members["rafdb"].card
            classes = tuple(c for c in card.classes if c.emotion not in missing)
            known = tuple(e for e in LABEL_SETS["7"] if e not in missing)
            protocol = Protocol(name="p", label_set=known, split=Official())
            return card.model_copy(
                update={
                    "classes": classes,
                    "protocols": (protocol,),
                    "default_protocol": "p",
                    "quick_protocol": "p",
                }
            )

        six = union_card([members["ckplus"].card, poorer("neutral")])
        assert find_protocol(six, None).label_set == BASIC_SIX
        assert [p.name for p in six.protocols] == ["6-union", "6-union-quick"]
        five = union_card([poorer("fear"), members["rafdb"].card])
        assert "fear" not in find_protocol(five, None).label_set
        assert isinstance(find_protocol(five, None).split, Official)
        with pytest.raises(UsageError, match="fewer than two emotions in common"):
            union_card([poorer(*BASIC_SIX), members["rafdb"].card])


class TestRoles:
    @pytest.mark.parametrize("fold", [1, 2, 3, 4])
    def test_each_member_keeps_its_own_split(self, union, members, fold):
        data = module(union, fold=fold)
        labels = set()
        for name, member in members.items():
            own = find_protocol(member.card, None, quick=True)
            number = fold if name != "rafdb" else 1
            plain = assign_roles(member.index, member.card, own, number)
            for role in ("train", "val", "test"):
                mine = data.member_rows(name, role)
                labelled = member.index["label"].isin([e.value for e in own.label_set]).to_numpy()
                shared = np.flatnonzero((plain == role) & labelled & (member.index["label"] != "contempt"))
                assert set(shared) <= set(mine)
                extra = member.index.iloc[sorted(set(mine) - set(shared))]
                assert (extra["label"] == "neutral").all()  # first frames of lab sequences
                labels |= set(member.index["label"].iloc[mine])
        assert labels <= {e.value for e in LABEL_SETS["7"]}

    @pytest.mark.parametrize("fold", [1, 2, 3, 4])
    def test_no_test_or_validation_subject_trains(self, union, fold):
        data = module(union, fold=fold)
        groups = {role: set(union.index["group"].iloc[data.rows(role)]) for role in ("train", "val", "test")}
        assert not groups["train"] & groups["test"]
        assert not groups["train"] & groups["val"]
        assert not groups["val"] & groups["test"]

    def test_lab_members_train_on_their_neutral_frames(self, union):
        train = union.index.iloc[module(union).rows("train")]
        for name in ("ckplus/", "oulu/"):
            mine = train[train["sample_id"].str.startswith(name)]
            assert mine["is_neutral_frame"].any()
        assert not union.index.iloc[module(union, protocol="6-union-quick").rows("train")][
            "is_neutral_frame"
        ].any()


class TestDraw:
    STARTS = (0, 10, 110, 1110)

    def test_members_have_equal_probability_whatever_their_size(self):
        drawn = np.concatenate(orders(self.STARTS, np.arange(1110))) % 1110
        shares = np.bincount(np.searchsorted(self.STARTS, drawn, side="right") - 1, minlength=3) / len(drawn)
        assert len(drawn) == 1110
        # three standard deviations of a share of 1/3 in 1,110 draws
        assert np.abs(shares - 1 / 3).max() < 3 * np.sqrt(2 / 9 / 1110)

    def test_rows_of_a_member_come_in_turns(self):
        drawn = np.concatenate(orders(self.STARTS, np.arange(1110)))
        row, turn = drawn % 1110, drawn // 1110
        assert len(set(drawn.tolist())) == len(drawn)  # so each is augmented anew
        for number in range(int(turn[row < 10].max())):
            assert sorted(row[(row < 10) & (turn == number)]) == list(range(10))
        assert (turn[row >= 110] == 0).all()

    def test_members_have_streams_of_their_own(self):
        """Two members of one size come in unrelated orders, and each in the same one in any union."""

        def of(names, starts, member):
            rows = np.arange(starts[-1])
            order = UnionBatches(rows, np.array(starts), names, 10, seed=0).order(0)
            first, last = starts[member : member + 2]
            return order[(order >= first) & (order < last)] - first

        pair = [of(["a", "b"], (0, 400, 800), member) for member in (0, 1)]
        length = min(map(len, pair))
        assert np.abs(np.corrcoef(pair[0][:length], pair[1][:length])[0, 1]) < 4 / np.sqrt(length)
        more = of(["a", "aa", "b"], (0, 400, 500, 900), 2)
        length = min(len(more), len(pair[1]))
        assert np.array_equal(more[:length], pair[1][:length])
        who = stream(0, 0, "union").integers(2, size=800)
        first = stream(0, 0, "union/a").permutation(400)
        assert np.abs(np.corrcoef(who[:400], first)[0, 1]) < 4 / np.sqrt(400)
        assert not np.array_equal(
            stream(0, 0, "a").integers(99, size=9), stream(0, 0, "b").integers(99, size=9)
        )

    def test_depends_on_seed_and_epoch_only(self):
        one = np.concatenate(orders(self.STARTS, np.arange(1110), epoch=3))
        assert np.array_equal(one, np.concatenate(orders(self.STARTS, np.arange(1110), epoch=3)))
        for change in ({"epoch": 4}, {"epoch": 3, "seed": 1}):
            assert not np.array_equal(one, np.concatenate(orders(self.STARTS, np.arange(1110), **change)))

    def test_processes_share_the_steps_of_one(self):
        alone = orders(self.STARTS, np.arange(1110), limit=205)
        ranks = [orders(self.STARTS, np.arange(1110), limit=205, rank=r, world=2) for r in (0, 1)]
        assert len(alone) == len(ranks[0]) == len(ranks[1])
        for whole, *parts in zip(alone, *ranks, strict=True):
            assert sorted(whole) == sorted(row for part in parts for row in part)

    def test_only_the_given_rows_come(self):
        rows = np.array([1, 2, 50, 60, 70, 500])
        assert set(np.concatenate(orders(self.STARTS, rows)) % 1110) <= set(rows.tolist())

    def test_epochs_are_capped(self, union):
        assert module(union).epoch_rows == EPOCH_CAP == 50_000
        assert module(union, epoch_rows=10**6).epoch_rows == EPOCH_CAP
        data = module(union, epoch_rows=20)
        assert sum(len(batch["row"]) for batch in data.train_dataloader()) == 20


class TestModule:
    def test_batches_show_the_members_pictures_and_references(self, union):
        data = module(union, with_reference=True)
        seen = set()
        for batch in data.train_dataloader():
            rows = batch["row"].numpy() % len(union.index)
            seen |= {sample.split("/")[0] for sample in union.index["sample_id"].iloc[rows]}
            labels = [data.classes[i] for i in batch["label"]]
            assert labels == union.index["label"].iloc[rows].tolist()
            for row, picture, partner, has in zip(
                rows, batch["image"], batch["reference"], batch["has_reference"], strict=True
            ):
                number = int(np.searchsorted(union.starts, row, side="right")) - 1
                pixels = open_pack(union.members[number], 20).pixels
                assert np.array_equal(picture.numpy(), pixels[row - union.starts[number]])
                name = union.index["reference_id"].iloc[row]
                assert bool(has) == isinstance(name, str)
                if has:
                    place = int(np.flatnonzero(union.index["sample_id"] == name)[0])
                    assert np.array_equal(partner.numpy(), pixels[place - union.starts[number]])
            assert (data.on_after_batch_transfer(batch, 0)["row"].numpy() == rows).all()
        assert seen == {"ckplus", "oulu", "rafdb"}

    def test_a_row_that_comes_again_is_augmented_anew(self, union):
        data = module(union, augmentation=Augmentation(flip=0, crop_pad=6))
        row = int(data.rows("train")[0])
        views = []
        for number in (row, row + len(union.index)):
            batch = data.train_dataloader().dataset[[number]]
            views.append(data.on_after_batch_transfer(batch, 0)["image"])
        assert not torch.equal(*views)

    def test_validation_has_a_loader_per_member(self, union):
        data = module(union)
        loaders = data.val_dataloader()
        rows = [[int(r) for batch in loader for r in batch["row"]] for loader in loaders]
        assert sorted(row for own in rows for row in own) == data.rows("val").tolist()
        for name, own in zip(("ckplus", "oulu", "rafdb"), rows, strict=True):
            assert union.index["sample_id"].iloc[own].str.startswith(f"{name}/").all()

    def test_no_second_pack_is_written(self, union):
        for member in union.members:
            open_pack(member, 20)
        before = sorted((cache_root() / "packs").iterdir())
        pack = module(union).pack
        assert sorted((cache_root() / "packs").iterdir()) == before
        assert len(pack.pixels) == len(union.index)
        assert pack.recipe.text.count("20px") == 3
        assert sum(pack.found.values()) == len(union.index)
        rows = np.array([len(union.index) - 1, 0])
        (batch,) = evaluation_batches(pack, union, ("anger", "fear"), rows, SPEC, torch.device("cpu"))
        assert batch["row"].tolist() == rows.tolist()

    def test_is_a_face_data_module(self, union):
        data = module(union)
        assert isinstance(data, FaceDataModule)
        assert data.task.has_reference
        assert sum(data.task.class_counts) == len(data.rows("train"))
        views = list(data.labelled_views(torch.device("cpu")))
        assert sum(len(view["row"]) for view in views) == len(data.rows("train"))
