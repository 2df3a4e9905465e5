"""The command `fer-bench import`: checkpoints of the authors' code, saved as ours and scored our way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from fer_bench.methods.base import Method
    from fer_bench.results.record import Score

EPILOG = (
    "Examples: fer-bench import resemotenet best_model.pth --out resemotenet.pt; "
    "fer-bench import resemotenet best_model.pth --dataset rafdb --data-root ~/datasets"
)


def import_(
    method: Annotated[Literal["resemotenet"], typer.Argument(help="Method whose authors' checkpoint it is.")],
    checkpoint: Annotated[Path, typer.Argument(help="The authors' file; nothing in it is executed.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Save it as a checkpoint of this suite.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Score it on this dataset's test rows.")
    ] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="Default: the dataset's.")] = None,
    fold: Annotated[int, typer.Option("--fold", min=1, help="Fold, for protocols that have folds.")] = 1,
    data_root: Annotated[
        str | None, typer.Option("--data-root", metavar="DIR", help="As for `fer-bench run`.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else.")
    ] = False,
) -> None:
    """Turn a checkpoint of a method's authors into one of this suite, and score it under our protocol.

    Classes are matched by name. The test rows are the protocol's, without flips or any other change.
    """
    if out is None and dataset is None:
        raise UsageError("nothing to do with the checkpoint", hint="give --out FILE, --dataset NAME, or both")
    from fer_bench.methods.resemotenet.importing import import_checkpoint

    if dataset is None:
        model: Method = import_checkpoint(checkpoint)
        report: dict[str, Any] = {}
    else:
        model, score, kind = _score(checkpoint, dataset, protocol, fold, data_root)
        report = {"data_kind": kind, "dataset": dataset, "score": score.model_dump(mode="json")}
    report = {"method": method, "classes": model.task.classes, "architecture": _architecture(model), **report}
    if out is not None:
        from fer_bench.runs.training.checkpoints import save_weights

        save_weights(model, out)
        report["out"] = str(out)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    typer.echo(f"{method} ({report['architecture']}), classes: {', '.join(model.task.classes)}")
    if dataset is not None:
        from fer_bench.evaluation import metrics

        typer.echo(
            f"{'SYNTHETIC DATA: ' if kind == 'synthetic' else ''}{dataset}, {score.n} test rows: "
            + ", ".join(f"{m.title} {m.text(score.metrics[m.name])}" for m in metrics.shown_in("page"))
        )
    if out is not None:
        typer.echo(f"wrote {out}")


def _architecture(model: Method) -> str:
    return str(model.settings.model_dump()["architecture"])


def _score(
    checkpoint: Path, dataset: str, protocol: str | None, fold: int, data_root: str | None
) -> tuple[Method, Score, str]:
    from fer_bench import datasets
    from fer_bench.data.protocols import evaluation_rows, find_protocol
    from fer_bench.errors import nearest
    from fer_bench.evaluation.scoring import score_predictions
    from fer_bench.files import file_hash
    from fer_bench.methods.resemotenet.importing import AUTHORS_CLASSES, import_checkpoint
    from fer_bench.results.predictions import Predictions, PredictionsMeta
    from fer_bench.runs.evaluate import predict
    from fer_bench.workspace.sources import find_roots
    from fer_bench.workspace.workspace import Workspace

    if dataset not in datasets.names():
        raise UsageError("unknown dataset", value=dataset, hint=nearest(dataset, datasets.names()))
    workspace = Workspace(find_roots(data_root))
    source = workspace.source(dataset)
    chosen = find_protocol(source.dataset.card, protocol)
    classes = [e for e in chosen.label_set if e in AUTHORS_CLASSES]
    if len(classes) < len(chosen.label_set):
        lost = next(e for e in chosen.label_set if e not in AUTHORS_CLASSES)
        raise UsageError(
            f"{dataset}/{chosen.name} tests a class that the authors' models do not know",
            value=str(lost),
            hint=f"another protocol: fer-bench data describe {dataset}",
        )
    model = import_checkpoint(checkpoint, [str(e) for e in classes])
    spec = model.input_spec(model.settings)
    pack = workspace.pack(dataset, spec.size)
    _, rows = evaluation_rows(source.dataset.index, source.dataset.card, chosen, fold=fold)
    meta = PredictionsMeta(
        key="imported",
        method=model.name,
        source=dataset,
        target=dataset,
        selection="last",
        checkpoint=file_hash(checkpoint),
        card_version=source.dataset.card.version,
        fingerprint=pack.fingerprint,
        pixels=pack.pixel_hash,
        recipe=pack.recipe.text,
        classes=model.task.classes,
    )
    score = score_predictions(
        Predictions(predict(model, source.dataset, pack, rows, device="cpu"), meta),
        target_emotions=source.dataset.card.emotions,
    )
    return model, score, source.kind
