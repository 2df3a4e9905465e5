"""The frozen image towers: built without network, filled from the package, a file, a folder or the hub."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from fer_bench.config import InputSpec
from fer_bench.errors import DataError, UsageError, nearest
from fer_bench.files import file_hash
from fer_bench.methods.backbones import SUFFIXES, Pretrained, load_backbone, read_state
from fer_bench.methods.cafe import tiny
from fer_bench.methods.weights import state_hash

DEFAULT = "vit_base_patch32_clip_quickgelu_224.openai"
"""The authors' tower. OpenAI trained it with QuickGELU, which timm has under a name of its own."""
FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""Names under which the hub keeps weights, the one to take first."""
TRAINED_ON = {
    "openai": "OpenAI's image-text pairs (not public)",
    "laion2b": "LAION-2B",
    "laion400m": "LAION-400M",
    "datacompxl": "DataComp-1B",
    "metaclip": "MetaCLIP's pairs from Common Crawl",
    "dfn": "Data Filtering Networks' pairs",
}
SETTING = "--set method.clip_weights"


def tower_spec(name: str) -> InputSpec:
    """Return the pictures that a tower was trained on: their size, mean and standard deviation.

    Raises:
        UsageError: Neither a tower of the package nor a CLIP tower of timm.
    """
    if name in tiny.TINY:
        return tiny.SPEC
    config = _timm_config(name)
    mean, std = (cast(tuple[float, float, float], tuple(map(float, v))) for v in (config.mean, config.std))
    return InputSpec(size=config.input_size[1], mean=mean, std=std)


def build_tower(name: str) -> tuple[nn.Module, int]:
    """Return a tower with random weights, from images [B, 3, H, W] to embeddings [B, D], and D.

    Args:
        name: `clip-tiny`, `clip-tiny-neutral`, or a CLIP tower of timm whose head is the projection into the
            space shared with texts, such as `vit_base_patch32_clip_quickgelu_224.openai` (D = 512).

    Raises:
        UsageError: No such tower.
    """
    if name in tiny.TINY:
        tower = tiny.TinyTower()
        return tower, tower.width
    import timm

    width = int(_timm_config(name).num_classes)
    return timm.create_model(name, pretrained=False), width


@cache
def open_tower(name: str, weights: str | None) -> Pretrained:
    """Read the weights of a tower; nothing in them is executed.

    Args:
        name: The tower, see `build_tower`.
        weights: None for those that the name means (of the package, or fetched by timm); else a safetensors
            file or PyTorch state dict, a folder that holds one, or a name that timm can fetch.

    Raises:
        UsageError: Neither a file, a folder nor a name timm knows.
        DataError: Not readable, no state dict, or the download failed.
        StoreError: The package's own file is damaged.
    """
    if weights is None and name in tiny.TINY:
        own = tiny.shipped(name)
        return Pretrained(read_state(own.file), own.sha256, str(own.card["what"]))
    path = Path(weights).expanduser() if weights is not None else None
    if path is not None and (path.suffix in SUFFIXES or path.exists()):
        file = _file_in(path) if path.is_dir() else path
        return Pretrained(read_state(file), file_hash(file), None)
    return _fetched(weights or name)


def load_tower(tower: nn.Module, given: Pretrained, name: str) -> None:
    """Load weights into a tower, all of them, from timm's, open_clip's or OpenAI's names of the tensors.

    Args:
        tower: What `build_tower` returned.
        given: What `open_tower` returned.
        name: Where the weights came from, for the message.

    Raises:
        DataError: A tensor is missing, left over or of another shape.
    """
    state = given.state
    if isinstance(tower, tiny.TinyTower):
        state = {k.removeprefix("tower."): v.float() for k, v in state.items() if k != "prompts"}
    elif convert := getattr(sys.modules[type(tower).__module__], "checkpoint_filter_fn", None):
        try:
            state = convert(dict(state), tower)
        except (KeyError, RuntimeError, AttributeError, ValueError, IndexError) as error:
            raise DataError(
                f"these are not the weights of this tower: {str(error).splitlines()[0]}", file=name
            ) from None
    inner = {f"tower.{key}": value.float() for key, value in state.items() if isinstance(value, Tensor)}
    # Under a prefix: the head of these networks is the projection and must be loaded as well.
    load_backbone(nn.ModuleDict({"tower": tower}), Pretrained(inner, given.sha256, None), name)


def trained_on(name: str, weights: str | None) -> str | None:
    """Return what a tower's weights were trained on as far as names say it, None where they do not."""
    if weights is None and name in tiny.TINY:
        return "drawn faces and their captions"
    path = Path(weights).expanduser() if weights is not None else None
    if path is not None and (path.suffix in SUFFIXES or path.exists()):
        return None
    tag = (weights or name).rpartition("/")[2].partition(".")[2]
    found = [text for start, text in TRAINED_ON.items() if tag.startswith(start)]
    return found[0] if found else None


def _timm_config(name: str) -> Any:
    """Return timm's description of a CLIP tower."""
    import timm

    architecture, _, tag = name.partition(".")
    known = timm.is_model(architecture) and (not tag or tag in _tags(architecture))
    if not known or "clip" not in name or "_ft_" in tag:
        why = "a tower fine-tuned as a classifier has no projection" if "_ft_" in tag else None
        options = [*tiny.TINY, *(n for n in timm.list_pretrained("*clip*") if "_ft_" not in n)]
        raise UsageError("no such CLIP tower", value=name, hint=why or nearest(name, options))
    config = timm.get_pretrained_cfg(name)
    if config is None or config.num_classes < 1:
        raise UsageError("this tower has no projection into the space shared with texts", value=name)
    return config


def _tags(architecture: str) -> set[str]:
    import timm

    return {n.partition(".")[2] for n in timm.list_pretrained(f"{architecture}.*")}


def _file_in(folder: Path) -> Path:
    there = [folder / name for name in FILES if (folder / name).is_file()]
    if not there:
        there = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES)
        if len(there) != 1:
            what = "several" if there else "none"
            raise DataError(
                f"the folder must hold one file of weights and holds {what}",
                file=folder,
                hint=f"name the file itself: {SETTING}=FILE",
            )
    return there[0]


def _fetched(name: str) -> Pretrained:
    import timm

    if not name.startswith("hf-hub:") and not timm.is_model_pretrained(name):
        raise UsageError(
            "no such weights: neither a file nor a folder, and timm has no pretrained tower of that name",
            value=name,
            hint=nearest(name, timm.list_pretrained("*clip*")),
        )
    try:
        model = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        config = timm.get_pretrained_cfg(name) if not name.startswith("hf-hub:") else None
        repository = config.hf_hub_id if config is not None else name.removeprefix("hf-hub:")
        raise DataError(
            f"the weights of cafe's frozen tower cannot be downloaded: {str(error).splitlines()[0]}",
            value=name,
            hint=f"without network, fetch them elsewhere (hf download {repository} --local-dir FOLDER), copy "
            f"the folder here and name it: {SETTING}=FOLDER",
        ) from None
    state = model.state_dict()
    return Pretrained(state, state_hash(state), None)
