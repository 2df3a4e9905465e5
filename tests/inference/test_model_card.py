import pytest

from fer_bench import datasets
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.model_card import FORBIDDEN, ModelCard, model_card
from fer_bench.inference.source_rows import record_of
from fer_bench.results.record import TrainingData
from fer_bench.results.scores import Groups, GroupScore


@pytest.fixture(scope="module")
def opened(trained):
    return CheckpointModel(trained / "checkpoints" / "val.pt", "cpu")


@pytest.fixture
def card(opened):
    return opened.card


@pytest.fixture
def record(opened):
    return record_of(opened)


def test_scores_are_those_of_the_record_with_their_intervals(card, record):
    (score,) = model_card(card, record).scores
    stored = record.score("oulu", "val")
    assert (score.target, score.in_domain, score.n) == ("oulu", True, stored.n)
    assert score.metrics["uar"].value == stored.uar
    assert score.metrics["uar"].interval == stored.breakdown.intervals.get("uar")
    assert score.calibration["ece"] == stored.breakdown.calibration.ece
    assert score.worst_class == (stored.breakdown.worst_class, stored.breakdown.worst_recall)


def test_scores_of_other_epochs_are_left_out_and_in_domain_comes_first(card, record):
    (score,) = [each for each in record.scores if each.selection == "val"]
    more = [score.model_copy(update={"target": "ckplus"}), score.model_copy(update={"selection": "last"})]
    found = model_card(card, record.model_copy(update={"scores": (*more, score)})).scores
    assert [(each.target, each.in_domain) for each in found] == [("oulu", True), ("ckplus", False)]
    assert "transfer" not in found[0].metrics
    assert "transfer" in found[1].metrics


def test_gaps_name_both_groups(card, record):
    (score,) = [each for each in record.scores if each.selection == "val"]
    groups = Groups(
        count=2,
        compared=2,
        classes=("fear", "anger"),
        missing=0,
        lowest="male",
        highest="female",
        gap=0.25,
        groups={
            "male": GroupScore(n=20, k=2, accuracy=0.5, uar=0.5),
            "female": GroupScore(n=20, k=2, accuracy=0.75, uar=0.75),
        },
    )
    alone = groups.model_copy(update={"lowest": None, "highest": None, "gap": None})
    breakdown = score.breakdown.model_copy(
        update={"va_ccc": 0.25, "groups": {"gender": groups, "age": alone, "subject": groups}}
    )
    changed = record.model_copy(update={"scores": (score.model_copy(update={"breakdown": breakdown}),)})
    (found,) = model_card(card, changed).scores
    assert found.affect == {"va_ccc": 0.25}
    gaps = found.gaps
    assert gaps["gender"].rows == (20, 20)
    assert set(gaps) == {"gender"}
    assert (gaps["gender"].lowest, gaps["gender"].highest) == (("male", 0.5), ("female", 0.75))


def test_records_of_older_versions_have_a_card(card, record):
    (score,) = [each for each in record.scores if each.selection == "val"]
    old = record.model_copy(update={"scores": (score.model_copy(update={"breakdown": None}),)})
    (found,) = model_card(card, old).scores
    assert (found.units, found.worst_class, found.calibration) == (None, None, {})


def test_drawn_faces_have_no_licence_but_ours(card, record):
    found = model_card(card, record)
    assert found.data_kind == "synthetic"
    assert found.data[0].licence.startswith("drawn by this package (MIT)")
    assert found.licences["weights"] == "made from drawn faces of this package (MIT)"


def test_real_faces_keep_their_terms_and_so_do_pretrained_weights(card, record):
    told = {"backbone": TrainingData(text="ImageNet-1k")}
    real = record.model_copy(update={"data_kind": "real", "dataset": "oulu+mmi", "pretrained": told})
    found = model_card(card.model_copy(update={"data_kind": "real"}), real)
    assert [each.name for each in found.data] == ["oulu", "mmi"]
    assert [each.licence for each in found.data] == [datasets.get(n).card.licence for n in ("oulu", "mmi")]
    assert "oulu and mmi, whose terms apply" in found.licences["weights"]
    assert "backbone: weights trained on ImageNet-1k" in found.licences["weights"]


def test_the_law_is_named():
    assert any("Art. 5(1)(f)" in use for use in FORBIDDEN)


def test_imported_weights_say_that_nothing_is_known(card):
    found = model_card(DeploymentCard(**{**card.model_dump(), "key": "", "data_kind": "unknown"}), None)
    assert found.scores == ()
    assert "unknown" in found.licences["weights"]
    assert "imported" in found.warnings[0]


def test_a_card_survives_json(card, record):
    found = model_card(card, record)
    assert ModelCard.model_validate_json(found.model_dump_json()) == found
