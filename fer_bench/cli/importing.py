"""`fer-bench import`: checkpoints of a method's authors, saved as checkpoints of this suite and scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_bench.cli.options import AsJson, check_name
from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from fer_bench.methods.base import Method

EPILOG = (
    "Examples: fer-bench import resemotenet best_model.pth --out resemotenet.pt; "
    "fer-bench import resemotenet best_model.pth --dataset rafdb --data-root ~/datasets"
)


def import_(
    method: Annotated[str, typer.Argument(help="Method whose authors' checkpoint it is.")],
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
        str | None, typer.Option("--data-root", metavar="DIR", help="As for the command run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Turn a checkpoint of a method's authors into one of this suite, and score it under our protocol.

    Which files a method can read is in its README. Classes are matched by name. The test rows are the
    protocol's, without flips or any other change.
    """
    if out is None and dataset is None:
        raise UsageError("nothing to do with the checkpoint", hint="give --out FILE, --dataset NAME, or both")
    from fer_bench import methods

    kind = methods.get(method)
    report: dict[str, Any] = {}
    if dataset is None:
        model = kind.import_checkpoint(checkpoint)
    else:
        model, report = _import_and_score(kind, checkpoint, dataset, protocol, fold, data_root)
    settings = model.settings.model_dump(mode="json")
    report = {"method": method, "classes": model.task.classes, "settings": settings, **report}
    if out is not None:
        from fer_bench.runs.training.checkpoints import save_weights

        save_weights(model, out)
        report["out"] = str(out)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    typer.echo(f"{method}, classes: {', '.join(model.task.classes)}")
    typer.echo(", ".join(f"{name}={value}" for name, value in settings.items()))
    if score := report.get("score"):
        from fer_bench.evaluation import metrics

        drawn = "SYNTHETIC DATA: " if report["data_kind"] == "synthetic" else ""
        values = (f"{m.title} {m.text(score['metrics'][m.name])}" for m in metrics.shown_in("page"))
        typer.echo(f"{drawn}{dataset}, {score['n']} test rows: {', '.join(values)}")
    if out is not None:
        typer.echo(f"wrote {out}")


def _import_and_score(
    kind: type[Method], checkpoint: Path, dataset: str, protocol: str | None, fold: int, data_root: str | None
) -> tuple[Method, dict[str, Any]]:
    """Return the method, and what the report says about the dataset."""
    from fer_bench import datasets
    from fer_bench.data.protocols import evaluation_rows, find_protocol
    from fer_bench.files import file_hash
    from fer_bench.runs.evaluate import predict_and_score
    from fer_bench.workspace.sources import find_roots
    from fer_bench.workspace.workspace import Workspace

    check_name(dataset, datasets.names(), "dataset", "fer-bench list datasets")
    workspace = Workspace(find_roots(data_root))
    source = workspace.source(dataset)
    reader = source.dataset
    chosen = find_protocol(reader.card, protocol)
    try:
        model = kind.import_checkpoint(checkpoint, chosen.label_set)
    except UsageError as error:
        if error.value not in chosen.label_set:
            raise
        hint = f"another protocol: fer-bench data describe {dataset}"
        raise UsageError(error.message, value=error.value, hint=hint) from None
    pack = workspace.pack(dataset, model.input_spec(model.settings).size)
    _, rows = evaluation_rows(reader.index, reader.card, chosen, fold=fold)
    score = predict_and_score(
        model,
        source,
        pack,
        rows,
        key="imported",
        trained_on=dataset,
        target=dataset,
        protocol=chosen.name,
        selection="last",
        checkpoint=file_hash(checkpoint),
        device="cpu",
    ).score
    assert score is not None
    return model, {"data_kind": source.kind, "dataset": dataset, "score": score.model_dump(mode="json")}
