"""Networks that timm builds, with pretrained weights from the hub or a folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
from numpy.typing import NDArray

from fer_bench.errors import DataError, UsageError, one_line
from fer_bench.methods.weights import state_hash
from fer_bench.models.card import ModelCard
from fer_bench.models.preprocess import AT_ONCE, Crops, network_input


def open_timm(name: str, card: ModelCard, device: str) -> tuple[Callable[[Crops], NDArray[Any]], str]:
    """Return a network of timm as a function from crops to its answers, and the hash of its weights.

    Weights are read with safetensors or `weights_only`; the code is that of the installed timm.

    Args:
        name: Such as `hf-hub:organisation/model`, `local-dir:FOLDER` or `resnet18.a1_in1k`.
        card: Its card.
        device: `cpu` or `cuda`.

    Raises:
        UsageError: There is no such device.
        DataError: The weights cannot be fetched or read, or the card's input is not that of timm's networks.
    """
    if card.input.layout != "nchw" or card.input.depth != 3:
        wanted = f"{card.input.layout} with {card.input.depth} channels"
        problem = "a network of timm takes nchw with 3 channels, and the card says something else"
        raise DataError(problem, file=name, value=wanted)
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available", value="--device cuda", hint="fer-bench doctor")
    try:
        network = timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub, safetensors and torch each raise their own
        raise DataError(
            f"timm cannot open the network: {one_line(error)}",
            value=name,
            hint="without network, fetch it elsewhere (hf download ORGANISATION/MODEL --local-dir FOLDER) "
            "and name it local-dir:FOLDER",
        ) from None
    place = torch.device(device)
    network = network.to(place).eval()

    def answer(crops: Crops) -> NDArray[Any]:
        parts = []
        with torch.inference_mode():
            for start in range(0, len(crops), AT_ONCE):
                values = torch.from_numpy(network_input(crops[start : start + AT_ONCE], card.input))
                try:
                    parts.append(network(values.to(place)).float().cpu())
                except (RuntimeError, AssertionError) as error:
                    problem = f"the network cannot be computed: {one_line(error)}"
                    raise DataError(problem, file=name, hint="size of the model card") from None
        found: NDArray[Any] = torch.cat(parts).numpy()
        return found

    return answer, state_hash(network.state_dict())
