"""Measure how fast packed crops become training batches, against torchvision's folders and transforms.

Writes JPEG files as large as FER2013's (48 pixels, grey) or RAF-DB's (100 pixels) in class folders, packs
them at 64, 112 and 224 pixels, and passes over the training pictures in turn with

- our loader: rows of the pack, flipped, shifted, as normalised floats;
- `ImageFolder` and PIL: decoded, scaled, and the same transforms for each picture;
- torchvision v2 on pictures that are decoded and scaled already, one by one.

Then it trains every method under the profile quick, and takes the share of an epoch in which it loads
batches, and in which it waits for two processes that load them.

    python -m benchmarks.speed.input_pipeline
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import torch
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.speed import waiting
from benchmarks.speed.harness import Ratio, Report, alternate, median_ratio, run_benchmark
from benchmarks.speed.pictures import write_pictures
from fer_bench import allocator
from fer_bench.config import Augmentation, InputSpec
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.data.packs.pack import open_pack
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets import get

PICTURES = 400
"""Written per size; 70 % of them are trained on."""
SIZES = {64: 48, 112: 100, 224: 100}
"""Side of the input, and of the files."""
BATCH = 64
PAD = {64: 4, 112: 8, 224: 16}
"""Pixels of the largest shift."""
WANTED = 5.0
SHARE = 0.03
STRONG = "ssmfar"
"""Has strong views."""
FIRST_TAKES_LONG = (
    "mostly for the first batch of an epoch (second table), which the processes begin when the epoch does; "
    "its strong views are three operations of albumentations each. Loading it while the epoch before is "
    "validated would leave the rest"
)


def packed(dataset: FaceDataset, size: int, cache: Path) -> tuple[Callable[[], int], int]:
    """Return a pass over the training batches of our loader, and their number of pictures."""
    pack = open_pack(dataset, size, cache=cache, progress=lambda done, total: None)
    how = Augmentation(flip=0.5, crop_pad=PAD[size])
    data = make_datamodule(
        dataset, spec=InputSpec(size=size), batch_size=BATCH, augmentation=how, pack=pack, workers=0
    )
    loader = data.train_dataloader()
    return lambda: sum(len(batch["image"]) for batch in loader), len(data.rows("train"))


def folder(root: Path, size: int) -> Callable[[], int]:
    """Return a pass over the training pictures with `ImageFolder` and PIL."""
    spec = InputSpec(size=size)
    change = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomCrop(size, padding=PAD[size], padding_mode="edge"),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )
    loader = DataLoader(ImageFolder(str(root / "train"), change), batch_size=BATCH, shuffle=True)
    return lambda: sum(len(images) for images, _ in loader)


def decoded(root: Path, size: int) -> Callable[[], int]:
    """Return a pass over the training pictures with torchvision v2, decoded and scaled beforehand."""
    spec = InputSpec(size=size)
    change = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomCrop(size, padding=PAD[size], padding_mode="edge"),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(spec.mean), list(spec.std)),
        ]
    )
    kept = ImageFolder(str(root / "train"), v2.Compose([v2.Resize((size, size)), v2.PILToTensor()]))
    pictures = TensorDataset(torch.stack([picture for picture, _ in kept]))

    def collate(rows: list[tuple[torch.Tensor]]) -> torch.Tensor:
        return torch.stack([change(picture) for (picture,) in rows])

    loader = DataLoader(pictures, batch_size=BATCH, shuffle=True, collate_fn=collate)
    return lambda: sum(len(images) for images in loader)


def measure(rounds: int) -> Report:
    """Measure all sizes."""
    allocator.keep_memory()  # as every run does; else each batch waits for pages filled with zeros
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    ratios, rates = [], {}
    for size, side in SIZES.items():
        with tempfile.TemporaryDirectory() as place:
            root = Path(place) / "mmafedb"
            write_pictures(root, PICTURES, side, grey=size == 64)
            ours, count = packed(get("mmafedb")(root), size, Path(place))
            passes = {"packed": ours, "folder": folder(root, size), "tensors": decoded(root, size)}
            seconds = alternate(passes, rounds)
        rates[f"{size} px"] = {name: round(count / min(each)) for name, each in seconds.items()}
        ratio = median_ratio(seconds, "folder", "packed")
        ratios.append(Ratio(f"packed / ImageFolder, {size} px", ratio, wanted=WANTED))
        ratio = median_ratio(seconds, "tensors", "packed")
        ratios.append(Ratio(f"packed / torchvision v2 on decoded tensors, {size} px", ratio))
    table, loading, waited = waiting.measure_methods(rounds)
    for name, shares, wanted, reason in (
        (
            "in which one process loads its batches",
            loading,
            None,
            "three operations of albumentations a strong view",
        ),
        ("spent on getting batches that two processes load", waited, SHARE, FIRST_TAKES_LONG),
    ):
        name, views = f"share of an epoch of quick {name}, ", shares.pop(STRONG)
        ratios.append(Ratio(f"{name}the largest without strong views", max(shares.values()), SHARE, "lower"))
        ratios.append(Ratio(f"{name}{STRONG}", views, wanted, "lower", reason))
    return Report(
        title="Input pipeline",
        text="Pictures a second of one core that become training batches (flip, shifted crop, normalise): "
        "rows of a pack, against ImageFolder with PIL on JPEG files of 48 (for 64) or 100 pixels, and "
        "against torchvision v2 picture by picture on tensors that are decoded and scaled already. "
        "Runs load batches in the process that trains, unless they are told to use others.",
        ratios=ratios,
        figures={"pictures a second of one core": rates},
        tables=[
            (
                "Pictures a second of one core, on this processor",
                ("size", "packed", "ImageFolder", "torchvision v2 on decoded tensors"),
                [(size, *(f"{found[name]:,}" for name in passes)) for size, found in rates.items()],
            ),
            table,
        ],
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
