import re
from pathlib import Path

import pytest

from fer_bench.errors import DataError, UsageError
from fer_bench.models.card import ModelCard, build_card, read_card, shipped_card, shipped_names
from tests.models.networks import CARD, write_card

GUIDE = Path(__file__).parents[2] / "docs" / "outside-models.md"
NAME = CARD.format(name="mine")


@pytest.fixture
def card(tmp_path):
    def write(text=None, **changes):
        return write_card(tmp_path / "mine.onnx", text, **changes)

    return write


def test_a_card_says_what_the_network_takes(card):
    found = read_card(card(input="{size: 48, layout: nhwc, colour: gray, range: [-1, 1]}"))
    assert found.input.shape == (48, 48, 1)
    assert found.labels[0] == "neutral"
    assert found.exposure_to("rafdb") == "unknown"
    assert read_card(card(input="{size: 48, colour: gray, channels: 3, range: [0, 1]}")).input.shape == (
        3,
        48,
        48,
    )


def test_the_card_of_the_guide_is_valid(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    card = read_card(path)
    assert card.labels == ("anger", "happiness", "neutral", "sadness")
    assert (card.kept, card.crops.key) == ((0, 1, 3, 4), {"all": "box+0.3"})
    assert card.exposure_to("expw") == "seen the pictures"


def test_classes_are_emotions_by_any_of_their_names_or_dropped(card):
    found = read_card(card(classes="[Happy, SAD, drop, Angry, {unknown: drop}]"))
    assert found.labels == ("happiness", "sadness", "anger")
    assert found.kept == (0, 1, 3)


@pytest.mark.parametrize(
    ("changes", "line", "words"),
    [
        (
            {"classes": "[happy, joyous]"},
            7,
            ["'joyous' is not an emotion", "did you mean joy", "{joyous: drop}"],
        ),
        ({"classes": "[happy, joy]"}, 7, ["happiness comes twice"]),
        ({"classes": "[happy, drop]"}, 7, ["at least two classes"]),
        ({"input": "{size: 8, range: [0, 1]}"}, 7, ["input.size", "greater than or equal to 16", "found 8"]),
        ({"input": "{size: 32, rang: [0, 1]}"}, 7, ["input.rang", "unknown field", "did you mean range"]),
        ({"input": "{size: 32, mean: [0.5], std: [0.5]}"}, 7, ["mean has 1 values for 3 channels"]),
        ({"input": "{size: 32, mean: [0, 0, 0]}"}, 7, ["mean and std belong together"]),
        ({"input": "{size: 32, colour: rgb, channels: 1, range: [0, 1]}"}, 7, ["one channel is gray"]),
        ({"input": "{size: 32, range: [0, 1], mean: [0, 0, 0], std: [1, 1, 1]}"}, 7, ["not both"]),
        ({"input": "{size: 32, range: [1, 1]}"}, 7, ["same value"]),
        ({"outputs": "scores"}, 7, ["outputs", "'logits', 'probabilities' or 'log-probabilities'", "scores"]),
        ({"exposure": "{rafdbb: unseen}"}, 8, ["unknown dataset 'rafdbb'", "rafdb"]),
        ({"exposure": "{rafdb: maybe}"}, 8, ["exposure.rafdb", "maybe"]),
        ({"crop": "detekt"}, 8, ["unknown crop", "detect"]),
        ({"sha256": "12"}, 8, ["sha256"]),
        ({"liscence": "MIT"}, 8, ["unknown field", "did you mean licence"]),
        ({"licence": None}, 1, ["licence", "required"]),
        ({"name": "a/b"}, 7, ["name", "a/b"]),
    ],
)
def test_a_wrong_field_is_named_with_its_line(card, changes, line, words):
    path = card(**changes)
    with pytest.raises(DataError) as error:
        read_card(path)
    assert (error.value.file, error.value.line) == (path, line)
    for word in words:
        assert word in str(error.value)


def test_other_files_are_refused(tmp_path, card):
    for text, words in (
        ("- a\n", "a YAML mapping"),
        ("a: [\n", "not readable YAML"),
        (f"{NAME}classes: [sad, happy]\n", "comes twice"),
    ):
        path = tmp_path / "other.yaml"
        path.write_text(text)
        with pytest.raises(DataError, match=words) as error:
            read_card(path)
        assert error.value.file == path
    assert error.value.line == 8
    with pytest.raises(DataError, match="no such model card"):
        read_card(tmp_path / "absent.yaml")


def test_pictures_that_datasets_share_were_seen_with_either(card):
    found = read_card(card(exposure="{ferplus: in training, ckplus: unseen}"))
    assert found.exposure_to("fer2013") == "seen the pictures"
    training = found.training(["fer2013", "oulu"])
    assert training.exposure == {
        "ckplus": "unseen",
        "fer2013": "seen the pictures",
        "ferplus": "in training",
        "oulu": "unknown",
    }
    assert training.text == "nothing"


def test_a_card_may_be_a_mapping():
    values = {"classes": ["happy", "sad"], "input": {"size": 32}, "outputs": "logits", "name": "mine"}
    values |= {"licence": "none", "source": "here", "training_data": "nothing"}
    assert isinstance(build_card(values, "mypackage:model"), ModelCard)
    with pytest.raises(DataError, match=r"mypackage:model: the model card: outputs: field required"):
        build_card({name: value for name, value in values.items() if name != "outputs"}, "mypackage:model")


def test_a_name_without_a_card_is_refused():
    with pytest.raises(UsageError, match="did you mean"):
        shipped_card("emotion-ferplus")
    assert len(shipped_names()) >= 8
