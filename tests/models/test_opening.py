import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from fer_bench.errors import DataError, UsageError
from fer_bench.methods.weights import state_hash
from fer_bench.models import REGISTRY
from fer_bench.models.opening import REFUSED, open_model
from tests.models.networks import CARD, write_card, write_network
from tests.outside import installed_files

GUIDE = Path(__file__).parents[2] / "docs" / "outside-models.md"
CROPS = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
MEAN = "[0.485, 0.456, 0.406]"
STD = "[0.229, 0.224, 0.225]"


def test_the_card_beside_a_file_describes_it(tmp_path):
    file = tmp_path / "mine.onnx"
    write_network(file)
    write_card(file)
    model = open_model(str(file))
    assert (model.kind, model.card.name, len(model.sha256)) == ("onnx", "mine", 64)
    assert model.logits(model.answer(CROPS)).shape == (5, 7)
    other = tmp_path / "other.yaml"
    other.write_text(CARD.format(name="other"))
    assert open_model(str(file), card=str(other)).card.name == "other"


def test_the_order_of_classes_is_never_guessed(tmp_path):
    file = tmp_path / "mine.onnx"
    write_network(file)
    with pytest.raises(UsageError, match=r"never guessed.*\n.*--card FILE.*emotion-ferplus-8"):
        open_model(str(file))
    with pytest.raises(UsageError, match="did you mean emotion-ferplus-8"):
        open_model(str(file), card="emotion-ferplus")


def test_a_card_must_say_which_values_the_network_takes(tmp_path):
    file = tmp_path / "mine.onnx"
    write_network(file)
    write_card(file, input="{size: 32}")
    with pytest.raises(DataError, match="which values the network takes"):
        open_model(str(file))


@pytest.mark.parametrize("suffix", sorted(REFUSED))
def test_files_that_could_hold_code_or_no_network_are_refused(tmp_path, suffix):
    file = tmp_path / f"mine{suffix}"
    file.write_bytes(b"anything")
    with pytest.raises(UsageError, match=r"is not opened: .*\n.*ONNX"):
        open_model(str(file))


def test_a_file_of_torch_export_is_refused_and_converted_as_the_guide_says(tmp_path, monkeypatch):
    class Network(torch.nn.Module):
        def forward(self, x):
            return x.mean(dim=(2, 3))

    file = tmp_path / "mine.pt2"
    torch.export.save(torch.export.export(Network(), (torch.zeros(1, 3, 32, 32),)), file)
    with pytest.raises(UsageError, match=r"both can execute code from it\n.*ONNX"):
        open_model(str(file))
    (line,) = re.findall(r'^python -c "(import torch; .*)"$', GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(line.replace("m.pt2", "mine.pt2").replace("m.onnx", "mine.onnx"), {})
    write_card(tmp_path / "mine.onnx", classes="[happy, sad, fear]")
    found = open_model(str(tmp_path / "mine.onnx")).answer(CROPS)
    np.testing.assert_allclose(found, CROPS.mean(axis=(1, 2)) / 255, atol=1e-5)


def test_what_is_no_model_is_named(tmp_path):
    for name in ("nothing", "mine.txt", str(tmp_path / "absent")):
        with pytest.raises(UsageError, match="no such model"):
            open_model(name)
    with pytest.raises(DataError, match="there is no such model file"):
        open_model(str(tmp_path / "absent.onnx"))


@pytest.fixture
def hub_folder(tmp_path):
    """A folder as the hub ships it: a network of timm with random weights."""
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", num_classes=7).eval()
    folder = tmp_path / "hub"
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    config = {"architecture": "mobilenetv3_small_050", "num_classes": 7, "pretrained_cfg": {"num_classes": 7}}
    (folder / "config.json").write_text(json.dumps(config))
    card = write_card(tmp_path / "hub", input=f"{{size: 64, mean: {MEAN}, std: {STD}}}")
    return folder, card, network


def test_a_network_of_timm_answers_as_it_does(hub_folder):
    folder, card, network = hub_folder
    model = open_model(f"local-dir:{folder}", card=str(card))
    assert (model.kind, model.sha256) == ("timm", state_hash(network.state_dict()))
    crops = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    values = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    values = (values - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    with torch.inference_mode():
        wanted = network(values).numpy()
    np.testing.assert_allclose(model.answer(crops), wanted, atol=1e-4)


def test_a_network_of_timm_needs_a_card_that_fits(hub_folder, tmp_path):
    folder, card, _ = hub_folder
    with pytest.raises(UsageError, match="has no card"):
        open_model(f"local-dir:{folder}")
    gray = write_card(tmp_path / "gray", input="{size: 64, colour: gray, range: [0, 1]}")
    with pytest.raises(DataError, match="takes nchw with 3 channels"):
        open_model(f"local-dir:{folder}", card=str(gray))
    with pytest.raises(DataError, match=r"timm cannot open the network.*\n.*local-dir:FOLDER") as error:
        open_model(f"local-dir:{tmp_path / 'absent'}", card=str(card))
    assert "\n" not in error.value.message


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_named(hub_folder, tmp_path):
    folder, card, _ = hub_folder
    with pytest.raises(UsageError, match="no CUDA device"):
        open_model(f"local-dir:{folder}", card=str(card), device="cuda")
    write_network(tmp_path / "mine.onnx")
    write_card(tmp_path / "mine.onnx")
    with pytest.raises(UsageError, match=r"on the CPU only.*\n.*onnxruntime-gpu"):
        open_model(str(tmp_path / "mine.onnx"), device="cuda")


def test_a_pickle_in_a_hub_folder_is_not_executed(hub_folder, tmp_path):
    sprung = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return Path.touch, (sprung,)

    folder, card, _ = hub_folder
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": Trap()}, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="timm cannot open the network"):
        open_model(f"local-dir:{folder}", card=str(card))
    assert not sprung.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert sprung.exists()  # the trap works


PACKAGE = """
import numpy as np

def model(crops):
    return np.stack([crops.mean(axis=(1, 2, 3)) / 255, -crops.mean(axis=(1, 2, 3)) / 255], axis=1)

model.card = {
    "name": "brightness", "classes": ["happy", "sad"], "input": {"size": 32}, "outputs": "logits",
    "licence": "MIT", "source": "these tests", "training_data": "nothing",
}
nothing = 3
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    points = {"brightness": "brightmodel:model", "nothing": "brightmodel:nothing"}
    with installed_files(
        {"brightmodel.py": PACKAGE}, points, "fer_bench.models", tmp_path / "site", monkeypatch
    ):
        REGISTRY.refresh()
        yield
    REGISTRY.refresh()


def test_a_callable_of_another_package_is_a_model(package):
    model = open_model("brightness")
    assert (model.kind, model.card.labels) == ("entry point", ("happiness", "sadness"))
    np.testing.assert_allclose(model.answer(CROPS)[:, 0], CROPS.mean(axis=(1, 2, 3)) / 255)
    with pytest.raises(UsageError, match="not callable"):
        open_model("nothing")
