"""Check that a method, of this or another package, keeps the contracts that runs rely on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from lightning import Callback, Trainer
from torch import Tensor

from fer_bench import methods
from fer_bench.config import PROFILES, InputSpec, RunConfig, TrainSettings
from fer_bench.data.audit.contract import Check
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.errors import DataError, FerBenchError
from fer_bench.methods.base import Method, Prediction
from fer_bench.methods.faults import describe_fault
from fer_bench.methods.size import count_parameters, multiply_adds
from fer_bench.methods.weights import state_hash
from fer_bench.models.tracing import ready_autograd
from fer_bench.runs.distributed import ALONE
from fer_bench.runs.keys import method_blind_spots, method_packages
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.sweepfile import check_sweep
from fer_bench.runs.training.callbacks import PlaceEnvironment
from fer_bench.runs.training.checkpoints import load_weights, save_weights
from fer_bench.runs.training.fit import build_data, build_method, fit, without_trainer_variables
from fer_bench.runs.training.probes import GradientWatch, PlainNetwork, Stopped, quiet
from fer_bench.workspace.workspace import Workspace

MOST_WORK = 25_000_000
"""Multiply-adds of an image's forward pass that the network of the `quick` profile may have."""
ROWS = 6
"""Faces of a batch whose predictions are compared."""
SMALL = ("train.max_epochs=2", "train.batch_size=16", "train.epoch_rows=48", "train.early_stop=null")
DEFAULTS = ("quick", "paper")
"""Profiles that every method needs: those that nobody has to name."""
FACES, AFFECT = "oulu", "affwild2"
"""Datasets that are trained on: one with neutral frames, one with valence, arousal and action units."""


def check_method(name: str, workspace: Workspace, *, overrides: Sequence[str] = ()) -> list[Check]:
    """Check a method's settings, network, training, saving and resuming, with the profile `quick` on a CPU.

    Args:
        name: The name it is registered under.
        workspace: Where `oulu` and, for methods that predict affect, `affwild2` are.
        overrides: Settings, written as on the command line.
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        suite = _Suite(name, workspace, tuple(overrides), Path(folder))
        needed = {
            "registered": suite.registered,
            "settings": suite.settings,
            "network": suite.network,
            "forward": suite.forward,
        }
        others = {
            "rows": suite.rows,
            "batches": suite.batches,
            "training": suite.training,
            "labels": suite.labels,
            "affect": suite.affect,
            "save": suite.save,
            "resume": suite.resume,
            "bf16": suite.bf16,
            "export": suite.export,
        }
        results: list[Check] = []
        for title, work in needed.items():
            results.append(_checked(name, title, work))
            if not results[-1].ok:  # everything else would fail with the same error
                return results
        return results + [_checked(name, title, work) for title, work in others.items()]


def _checked(name: str, title: str, work: Callable[[], str]) -> Check:
    try:
        return Check(title, True, work())
    except FerBenchError as error:
        return Check(title, False, str(error))
    except Exception as error:  # the code of another package may raise anything
        return Check(title, False, describe_fault(name, error))


class _Suite:
    """The checks of one method; each returns what it saw, or raises an error."""

    def __init__(self, name: str, workspace: Workspace, overrides: tuple[str, ...], folder: Path) -> None:
        self.name, self.workspace, self.overrides, self.folder = name, workspace, overrides, folder
        self.trained: Method | None = None

    @cached_property
    def kind(self) -> type[Method[Any]]:
        return methods.get(self.name)

    @cached_property
    def config(self) -> RunConfig:
        return self._config(FACES)

    def _config(self, dataset: str, *more: str, **fields: Any) -> RunConfig:
        content = {"methods": [self.name], "datasets": [dataset], "targets": "none", "profile": "quick"}
        content |= {"set": [*self.overrides, *SMALL, *more], "device": "cpu", "precision": "32", **fields}
        (planned, *_), _ = plan_sweep(check_sweep(content), self.workspace)
        return planned.config

    def _fresh(self, config: RunConfig) -> tuple[FaceDataModule, Method]:
        data = build_data(config, self.workspace)
        return data, build_method(config, data.task)

    @cached_property
    def image(self) -> Tensor:
        """A few validation faces."""
        data, _ = self._fresh(self.config)
        batch: Any = next(iter(data.val_dataloader()))
        return cast(Tensor, batch["image"][:ROWS])

    def registered(self) -> str:
        kind, packages = self.kind, method_packages(self.name)
        text = f"{kind.__module__}.{kind.__qualname__}"
        if packages:
            text += f"; needs {', '.join(' '.join(each) for each in packages.items())}"
        return "\n".join(
            (text, *(f"not covered by run keys: {what}" for what in method_blind_spots(self.name)))
        )

    def settings(self) -> str:
        kind = self.kind
        held = [name for name in PROFILES if name in kind.profiles or name in DEFAULTS]
        for profile in held:
            settings, train = kind.profile(profile)
            if not isinstance(train, TrainSettings):
                raise DataError(
                    f"the training settings of profile {profile} are not TrainSettings", value=train
                )
            if kind.build_settings(settings.model_dump(mode="json")) != settings:
                raise DataError(f"settings of profile {profile} change when they are stored as JSON")
            if not isinstance(kind.input_spec(settings), InputSpec):
                raise DataError("input_spec returns no InputSpec", value=kind.input_spec(settings))
            if not isinstance(kind.resolve_train(settings, train), TrainSettings):
                raise DataError("resolve_train returns no TrainSettings")
            if not all(isinstance(text, str) for text in kind.caveats(settings)):
                raise DataError("caveats are not all strings", value=kind.caveats(settings))
            if not all(isinstance(text, str) for text in kind.pretraining(settings).values()):
                raise DataError(
                    "pretraining returns values that are not strings", value=kind.pretraining(settings)
                )
        names = ", ".join(kind.settings_type.model_fields) or "none"
        return f"profiles {' and '.join(held)} are valid; settings: {names}"

    def network(self) -> str:
        _, method = self._fresh(self.config)
        _, again = self._fresh(self.config)
        if state_hash(method.state_dict()) != state_hash(again.state_dict()):
            raise DataError("the same seed gives other initial weights")
        work = multiply_adds(method)
        if work > MOST_WORK:
            raise DataError(
                f"the network of the quick profile has more than {MOST_WORK // 10**6} million multiply-adds",
                value=f"{work:,}",
                hint='make it smaller by settings: profiles["quick"].method',
            )
        return f"{count_parameters(method):,} trainable parameters, {work:,} multiply-adds"

    def forward(self) -> str:
        _, method = self._fresh(self.config)
        found = _predict(method, self.image)
        _check_prediction(found, ROWS, len(method.task.classes))
        classes = ("anger", "fear", "sadness")
        small = self.kind(classes, method.settings, method.train_settings)
        _check_prediction(_predict(small, self.image[:1]), 1, len(classes))
        return f"logits {list(found.logits.shape)}, and {[1, len(classes)]} of another label set"

    def rows(self) -> str:
        _, method = self._fresh(self.config)
        image = self.image
        together = _predict(method, image).logits
        if not torch.equal(together, _predict(method, image).logits):
            raise DataError("the same faces get other logits the second time: is there a draw in evaluation?")
        alone = torch.cat([_predict(method, image[i : i + 1]).logits for i in range(len(image))])
        if not torch.allclose(together, alone, rtol=1e-3, atol=1e-4):
            raise DataError("the logits of a face depend on the faces that it comes with")
        return "evaluation repeats itself, and looks at each face alone"

    def batches(self) -> str:
        data, method = self._fresh(self.config)
        seen: list[Any] = []

        class Look(Callback):
            def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
                seen.append(batch)

        self._train(data, method, Look())
        size, count = data.spec.size, len(method.task.classes)
        for batch in seen:
            image = batch["image"]
            if image.shape[1:] != (3, size, size) or not image.is_floating_point():
                raise DataError(
                    f"training images are not float [B, 3, {size}, {size}]", value=[image.dtype, *image.shape]
                )
            label = batch.get("label")
            if label is not None and not ((label >= -1) & (label < count)).all():
                raise DataError(f"labels are not from -1 to {count - 1}", value=label.tolist())
        own = self.kind.train_loader is not Method.train_loader
        return f"{', '.join(seen[0])}{'; from its own train_loader' if own else ''}"

    def training(self) -> str:
        data, method = self._fresh(self.config)
        before = {name: value.clone() for name, value in method.named_parameters()}
        watch = GradientWatch()
        self._train(data, method, watch)
        wanted = [name for name, value in method.named_parameters() if value.requires_grad]
        if not watch.reached:
            raise DataError(
                "training takes no step: training_step returns no loss that depends on parameters"
            )
        if watch.not_finite:
            raise DataError("a loss or gradient is not finite", value=sorted(watch.not_finite)[:5])
        if missing := [name for name in wanted if name not in watch.reached]:
            raise DataError(
                f"no gradient reaches {len(missing)} of {len(wanted)} parameters",
                value=missing[:5],
                hint="use them in the loss, or freeze them: requires_grad_(False)",
            )
        moved = [name for name, value in method.named_parameters() if not torch.equal(value, before[name])]
        if still := [name for name in wanted if name not in moved]:
            raise DataError(
                f"two steps change {len(wanted) - len(still)} of {len(wanted)} parameters",
                value=still[:5],
                hint="give them to an optimiser in configure_optimizers",
            )
        self.trained = method
        return f"two steps with finite losses change all {len(wanted)} parameters"

    def labels(self) -> str:
        """Check losses on rows with soft labels and without labels, for methods that learn from them."""
        data, method = self._fresh(self.config)
        batch: Any = next(iter(data.training_loader()))
        seen: list[str] = []
        if self.kind.learns_soft_labels:
            count = len(method.task.classes)
            soft = torch.full((len(batch["label"]), count), 1 / count)
            hard, mixed = (self._loss(method, {**batch, **more}) for more in ({}, {"soft_label": soft}))
            if torch.equal(hard, mixed):
                raise DataError("the loss ignores soft_label, and learns_soft_labels says that it takes it")
            seen.append("soft labels change the loss")
        if self.kind.uses_unlabelled:
            half = self._config(FACES, "train.label_fraction=0.5")
            data, method = self._fresh(half)
            watch = GradientWatch()
            self._train(data, method, watch)
            if watch.not_finite:
                raise DataError("with half of the labels hidden, a loss or gradient is not finite")
            seen.append(f"trains on {data.task.unlabelled} rows without label")
        return "; ".join(seen) or "one label per face"

    def affect(self) -> str:
        if not self.kind.predicts_affect:
            return "expressions only"
        config = self._config(AFFECT)
        data, method = self._fresh(config)
        self._train(data, method)
        batch: Any = next(iter(data.val_dataloader()))
        found = _predict(method, batch["image"][:ROWS])
        for name, value, width in (("va", found.va, 2), ("au", found.au, 12)):
            if value is None or tuple(value.shape) != (len(found.logits), width):
                shape = None if value is None else list(value.shape)
                raise DataError(f"{name} is not [B, {width}] on {AFFECT}", value=shape)
        return f"valence, arousal and action units on {AFFECT}"

    def save(self) -> str:
        method = self.trained if self.trained is not None else self._fresh(self.config)[1]
        image, file = self.image, self.folder / "saved" / "val.pt"
        wanted = _predict(method, image).logits
        save_weights(method, file)
        if not torch.equal(wanted, _predict(load_weights(file), image).logits):
            raise DataError("a stored checkpoint predicts something else: is part of the state not a buffer?")
        return "a stored checkpoint predicts the same bits"

    def resume(self) -> str:
        def stop(done: int, total: int, metrics: object) -> None:
            if done == 1:
                raise Stopped

        hashes: list[str] = []
        for name in ("whole", "resumed"):
            data, method = self._fresh(self.config)
            folder = self.folder / name / "checkpoints"
            if name == "resumed":
                try:
                    fit(method, data, self.config, folder, on_epoch=stop)
                except Stopped:
                    data, method = self._fresh(self.config)
            fit(method, data, self.config, folder)
            hashes.append(state_hash(method.state_dict()))
        if hashes[0] != hashes[1]:
            raise DataError(
                "a run that was stopped after an epoch resumes to other weights",
                hint="keep what changes in buffers or on_save_checkpoint, and draw from torch's generator",
            )
        return "a stopped run resumes to the same bits"

    def bf16(self) -> str:
        data, method = self._fresh(self.config)
        watch = GradientWatch()
        self._train(data, method, watch, precision="bf16-mixed")
        if watch.not_finite:
            raise DataError(
                "with bf16-mixed a loss or gradient is not finite", value=sorted(watch.not_finite)[:5]
            )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = _predict(method, self.image)
        if not found.logits.isfinite().all():
            raise DataError("with bf16 autocast logits are not finite")
        return "two steps and a prediction under bf16 autocast are finite"

    def export(self) -> str:
        """Try to export the network; a method need not be exportable."""
        _, method = self._fresh(self.config)
        ready_autograd()
        try:
            torch.export.export(PlainNetwork(method.eval()), (self.image,))
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            return f"torch.export cannot export it, which is optional: {type(error).__name__}: {first}"
        return "torch.export can export it"

    def _loss(self, method: Method, batch: Any) -> Tensor:
        torch.manual_seed(0)
        loss = method.eval().training_step(batch, 0)
        if not isinstance(loss, Tensor):
            raise DataError("training_step returns no loss", value=loss)
        return loss.detach()

    def _train(
        self, data: FaceDataModule, method: Method, *callbacks: Callback, precision: Any = "32-true"
    ) -> None:
        """Take two steps and validate."""
        with without_trainer_variables():
            trainer = Trainer(
                accelerator="cpu",
                devices=1,
                precision=precision,
                max_epochs=1,
                limit_train_batches=2,
                limit_val_batches=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                use_distributed_sampler=False,
                default_root_dir=str(self.folder),
                callbacks=list(callbacks),
                plugins=[PlaceEnvironment(ALONE)],
            )
        trainer.fit(method, datamodule=data)


def _predict(method: Method, image: Tensor) -> Prediction:
    with torch.no_grad():
        found = method.eval()(image)
    if not isinstance(found, Prediction):
        raise DataError("forward returns no Prediction", value=type(found).__name__)
    return found


def _check_prediction(found: Prediction, rows: int, classes: int) -> None:
    logits = found.logits
    if tuple(logits.shape) != (rows, classes) or not logits.is_floating_point():
        raise DataError(f"logits are not float [{rows}, {classes}]", value=[str(logits.dtype), *logits.shape])
    if not logits.isfinite().all():
        raise DataError("logits are not finite")
