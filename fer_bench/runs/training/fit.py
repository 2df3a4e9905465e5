"""Training: Lightning's trainer with the project's own selection, history and resume."""

from __future__ import annotations

import csv
import io
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.strategies import DDPStrategy

from fer_bench import methods
from fer_bench.config import RunConfig, TrainSettings, build
from fer_bench.data.batch import Task
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.errors import DivergedError, StoreError
from fer_bench.files import write_atomic, write_text
from fer_bench.methods.base import Method
from fer_bench.methods.weights import state_hash
from fer_bench.results.store import FROZEN
from fer_bench.runs.distributed import Fit, Group
from fer_bench.runs.training.callbacks import BatchType, EqualRows, OnStep, Pulse, Surroundings, WholeFiles
from fer_bench.workspace.workspace import Workspace

OnEpoch = Callable[[int, int, Mapping[str, float]], None]
LAST = "last.ckpt"


@dataclass
class Outcome:
    """What training came to.

    Attributes:
        best_epoch: Epoch with the best validation UAR, the earlier on ties; None without validation.
        best_uar: Its validation UAR.
        last_epoch: The last epoch trained.
        last_uar: Its validation UAR, None without validation.
        abaw_epoch: Epoch with the best ABAW sum on validation rows, the earlier on ties; None where method
            or the rows lack one of the three tasks.
        abaw_uar: Its validation UAR.
        best_abaw: Its ABAW sum.
        hashes: SHA-256 of the weights that each selection kept, see `state_hash`.
        seconds: Time spent in training, over all attempts.
    """

    best_epoch: int | None = None
    best_uar: float | None = None
    last_epoch: int = -1
    last_uar: float | None = None
    abaw_epoch: int | None = None
    abaw_uar: float | None = None
    best_abaw: float | None = None
    hashes: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class EpochSeeds(Callback):
    """Derive every draw of an epoch from (seed, epoch), so that resuming changes nothing."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed torch for the epoch that starts."""
        torch.manual_seed((self.seed * 1_000_003 + trainer.current_epoch + 1) * 1_009 + trainer.global_rank)


class Selection(Checkpoint):
    """Keep the best weights by validation UAR, the last weights, and a state to resume from.

    Runs after every epoch, after the scheduler has seen the validation. What resuming needs travels inside
    the state itself, so the files of one epoch cannot disagree.

    Args:
        folder: Where `val.pt`, `val_abaw.pt`, `last.pt` and `last.ckpt` go.
        validates: Whether the protocol has validation rows.
        train: For early stopping.
        on_epoch: Called with epochs done, epochs in all and the epoch's metrics.
        frozen: As of `save_weights`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        validates: bool,
        train: TrainSettings,
        on_epoch: OnEpoch | None,
        frozen: Path | None = None,
    ) -> None:
        self.folder, self.validates, self.train_settings, self.on_epoch = folder, validates, train, on_epoch
        self.frozen = frozen
        self.outcome = Outcome()
        self.history: list[dict[str, float]] = []
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know."""
        return {"outcome": asdict(self.outcome), "history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what an earlier attempt knew."""
        self.outcome = Outcome(**state_dict["outcome"])
        self.history = list(state_dict["history"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once when an earlier attempt had already stopped early."""
        trainer.should_stop = self._out_of_patience(self.outcome.last_epoch)

    def _out_of_patience(self, epoch: int) -> bool:
        patience, best = self.train_settings.early_stop, self.outcome.best_epoch
        return patience is not None and best is not None and epoch - best > patience

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the epoch."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Select, write the checkpoints and the history, and stop early when it is time."""
        epoch = trainer.current_epoch
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        uar = metrics.get("val/uar") if self.validates else None
        outcome = self.outcome
        outcome.last_epoch, outcome.last_uar = epoch, uar
        better = uar is not None and (outcome.best_uar is None or uar > outcome.best_uar)
        if better:
            outcome.best_epoch, outcome.best_uar = epoch, uar
        abaw = metrics.get("val/abaw") if self.validates else None
        better_abaw = abaw is not None and (outcome.best_abaw is None or abaw > outcome.best_abaw)
        if better_abaw:
            outcome.abaw_epoch, outcome.abaw_uar, outcome.best_abaw = epoch, uar, abaw
        outcome.seconds += time.perf_counter() - self._started
        self.history.append({"epoch": float(epoch), **metrics})
        if self._out_of_patience(epoch):
            trainer.should_stop = True
        if trainer.is_global_zero:
            assert isinstance(pl_module, Method)
            if better:
                self._keep(pl_module, "val")
            if better_abaw:
                self._keep(pl_module, "val_abaw")
            self._write_history()
        trainer.save_checkpoint(self.folder / LAST)
        if self.on_epoch is not None:
            self.on_epoch(epoch + 1, self.train_settings.max_epochs, metrics)

    def _keep(self, method: Method, name: str) -> None:
        save_weights(method, self.folder / f"{name}.pt", frozen=self.frozen)
        self.outcome.hashes[name] = state_hash(method.state_dict())

    def _write_history(self) -> None:
        columns = ["epoch", *sorted({name for row in self.history for name in row} - {"epoch"})]
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in self.history)
        write_text(self.folder.parent / "metrics.csv", text.getvalue())


def build_method(config: RunConfig, task: Task) -> Method:
    """Return a fresh method with the pretrained weights it names; the same seed gives the same weights."""
    kind = methods.get(config.method)
    settings = build(kind.settings_type, config.method_settings, f"settings of {config.method}")
    torch.manual_seed(config.seed)
    method = kind(task, settings, config.train)
    method.load_pretrained()
    return method


def build_data(config: RunConfig, workspace: Workspace) -> FaceDataModule:
    """Return the training, validation and test batches of a run; packs its pictures on first use."""
    kind = methods.get(config.method)
    settings = build(kind.settings_type, config.method_settings, f"settings of {config.method}")
    spec = kind.input_spec(settings)
    return make_datamodule(
        workspace.source(config.dataset).dataset,
        spec=spec,
        pack=workspace.pack(config.dataset, spec.size),
        protocol=config.protocol,
        fold=config.fold,
        seed=config.seed,
        batch_size=config.train.batch_size,
        epoch_rows=config.train.epoch_rows,
        augmentation=config.train.augmentation,
        with_reference=kind.needs_reference,
        with_unlabelled=kind.uses_unlabelled and config.train.unlabelled,
        with_strong=kind.needs_strong,
        with_affect=kind.predicts_affect,
        label_fraction=config.train.label_fraction,
        soft_labels=config.train.soft_labels,
    )


def fit(
    method: Method,
    data: FaceDataModule,
    config: RunConfig,
    folder: Path,
    *,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    group: Group | None = None,
    resume: bool | None = None,
    frozen: Path | None = None,
) -> Outcome:
    """Train a method, resuming at the last whole epoch when there is one.

    Args:
        method: Freshly initialised.
        data: Training and validation rows.
        config: Device, precision, epochs and seed.
        folder: Where checkpoints go; the history goes beside it.
        on_epoch: Called after each epoch.
        on_step: Called within epochs, see `Pulse`.
        group: The run's processes, when there are several.
        resume: Whether to resume; None looks whether there is a checkpoint.
        frozen: As of `save_weights`.

    Returns:
        Which epochs were selected; `folder` then holds `last.pt`, `val.pt` where there is validation, and
        `val_abaw.pt` where the ABAW sum is defined.

    Raises:
        DivergedError: The loss became NaN or infinite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / LAST
    resume = checkpoint.exists() if resume is None else resume
    if group is not None and group.place.rank == 0:
        group.tell(Fit(resume))
    if config.device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.tf32
    if config.compile:
        method.get_submodule("network").compile()
    validates = len(data.rows("val")) > 0
    selection = Selection(folder, validates=validates, train=config.train, on_epoch=on_epoch, frozen=frozen)
    callbacks: list[Callback] = [EpochSeeds(config.seed), selection]
    plugins: list[Any] = [WholeFiles()]
    if on_step is not None:
        callbacks.append(Pulse(on_step))
    if config.precision == "bf16-true":
        callbacks.append(BatchType())
    if group is not None:
        callbacks.append(EqualRows())
        plugins.append(Surroundings(group.place))
    trainer = Trainer(
        accelerator="gpu" if config.device == "cuda" else "cpu",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="auto" if group is None else DDPStrategy(process_group_backend=group.backend),
        precision="32-true" if config.precision == "32" else config.precision,
        max_epochs=config.train.max_epochs,
        callbacks=callbacks,
        plugins=plugins,
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=None if validates else 0,
        use_distributed_sampler=False,
        default_root_dir=str(folder),
    )
    trainer.fit(method, datamodule=data, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    if selection.outcome.last_epoch < 0:
        raise DivergedError("training ended before its first epoch was complete")
    if trainer.is_global_zero:
        selection.outcome.hashes["last"] = state_hash(method.state_dict())
        save_weights(method, folder / "last.pt", frozen=frozen)
    return selection.outcome


def save_weights(method: Method, path: Path, *, frozen: Path | None = None) -> None:
    """Save weights with what rebuilds the method: plain types only, so that loading executes nothing.

    Args:
        method: The method.
        path: Where to.
        frozen: Folder for weights that are never trained, a file per content: the runs of a store have most
            of a large pretrained tower in common. None keeps them with the others.
    """
    state = {name: value.detach().cpu() for name, value in method.state_dict().items()}
    content = {
        "format": 1,
        "method": method.name,
        "task": asdict(method.task),
        "settings": method.settings.model_dump(mode="json"),
        "train": method.train_settings.model_dump(mode="json"),
    }
    untrained = [name for name, value in method.named_parameters() if not value.requires_grad]
    if frozen is not None and untrained:
        apart = {name: state.pop(name) for name in untrained}
        content["frozen"] = state_hash(apart)
        file = frozen / f"{content['frozen']}.pt"
        if not file.exists():
            _save({"format": 1, "state": apart}, file)
    _save({**content, "state": state}, path)


def _save(content: dict[str, Any], path: Path) -> None:
    buffer = io.BytesIO()  # a file's name would become part of its bytes
    torch.save(content, buffer)
    write_atomic(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def load_weights(path: Path, *, expected: str | None = None) -> Method:
    """Rebuild a method from its saved weights, in evaluation mode on the CPU.

    Args:
        path: The file.
        expected: What `state_hash` of its weights must be, None for anything.

    Raises:
        StoreError: The file is absent, not one of ours, or holds other weights than expected.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if "frozen" in content:
            apart = _frozen_file(path, content["frozen"])
            content["state"] |= torch.load(apart, map_location="cpu", weights_only=True)["state"]
        kind = methods.get(content["method"])
        task = Task(**{**content["task"], **_tuples(content["task"])})
        settings = build(kind.settings_type, content["settings"], str(path))
        train = build(TrainSettings, content["train"], str(path))
        method = kind(task, settings, train)
        method.load_state_dict(content["state"])
        found = expected and state_hash(content["state"])
    except FileNotFoundError:
        raise StoreError("the checkpoint is absent", file=path) from None
    except (KeyError, TypeError, RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(f"not a readable checkpoint: {reason}", file=path) from None
    if found != expected:
        raise StoreError(
            "the checkpoint holds other weights than this run trained",
            file=path,
            value=found,
            hint="another process worked on this run at the same time; the same command again repairs it",
        )
    return method.eval()


def _frozen_file(path: Path, name: str) -> Path:
    """Return where a checkpoint's weights that were never trained stand: in the store it belongs to."""
    found = [folder / FROZEN / f"{name}.pt" for folder in path.absolute().parents[:5]]
    for file in found:
        if file.exists():
            return file
    raise StoreError(
        "weights that this checkpoint shares with others of its store are absent",
        file=path,
        value=f"{name}.pt",
        hint=f"take the store's folder {FROZEN} along, beside the checkpoint or in a folder above it",
    )


def _tuples(task: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "classes": tuple(task["classes"]),
        "class_counts": tuple(task["class_counts"]),
        "au_counts": tuple(tuple(pair) for pair in task["au_counts"]),
    }
