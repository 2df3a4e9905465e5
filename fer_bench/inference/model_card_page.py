"""The model card as markdown. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from fer_bench.inference.model_card import CardGap, CardScore, Int8Report, ModelCard
from fer_bench.leaderboard.markup import escape, table


def page(card: ModelCard) -> str:
    """Return a model card as a markdown page."""
    drawn = card.data_kind == "synthetic"
    parts = [f"# {escape(card.name)}", ""]
    if drawn:
        parts += [
            "**SYNTHETIC DATA**: trained and tested on drawn faces. The scores say nothing about real ones.",
            "",
        ]
    parts += [*_model(card), *_training(card)]
    if card.scores:
        parts += _scores(card.scores)
    if card.int8 is not None:
        parts += ["## 8 bits", "", *(f"- {escape(line, None)}" for line in int8_lines(card.int8)), ""]
    parts += ["## Intended uses", "", *(f"- {escape(use, None)}" for use in card.intended), ""]
    parts += ["## Not intended, or forbidden", "", *(f"- {escape(use, None)}" for use in card.forbidden), ""]
    parts += _licences(card)
    if card.warnings:
        parts += ["## Notes", "", *(f"- {escape(warning, None)}" for warning in card.warnings), ""]
    return "\n".join(parts)


def int8_lines(report: Int8Report) -> list[str]:
    """Return what quantisation cost and gained, as sentences."""
    before, after = report.size
    speed = ", ".join(f"{ratio:.2f} at batch {size}" for size, ratio in report.latency.items())
    return [
        f"size: {after / 2**20:.2f} MiB instead of {before / 2**20:.2f} ({after / before:.2f} of it)",
        _cost("accuracy", report.accuracy, report.accuracy_change, report.validation_rows),
        _cost("UAR", report.uar, report.uar_change, report.validation_rows),
        f"the same answer for {100 * report.same_answer:.1f} % of them; ranges of activations from "
        f"{report.calibration_rows} training rows",
        f"time, as a share of float32: {speed} ({report.processor}, both in turn in one process)",
    ]


def _cost(
    name: str, values: tuple[float, float], change: tuple[float, tuple[float, float] | None], rows: int
) -> str:
    low_high = change[1]
    interval = "too few units for an interval"
    if low_high is not None:
        interval = f"95 % interval {100 * low_high[0]:+.1f} to {100 * low_high[1]:+.1f}"
    return (
        f"{name} on {rows} validation rows: {100 * values[1]:.1f} % instead of {100 * values[0]:.1f} % "
        f"({100 * change[0]:+.1f} points, {interval})"
    )


def _model(card: ModelCard) -> list[str]:
    facts = {
        "method": f"{card.method} ({card.source})" if card.source else card.method,
        "classes": ", ".join(card.classes),
        "answers besides": ", ".join(card.outputs),
        "faces": card.crop,
        "size": f"{card.parameters:,} trained parameters, {card.multiply_adds / 1e6:,.1f} million "
        "multiply-adds per picture"
        if card.parameters
        else "",
        "run": card.key,
        "weights": f"SHA-256 {card.weights}",
        "software": _pairs(card.versions),
    }
    return ["## Model", "", *_facts(facts)]


def _training(card: ModelCard) -> list[str]:
    data = [f"{each.title}{f' ({each.citation})' if each.citation else ''}" for each in card.data] or [
        "unknown: the weights were imported"
    ]
    facts = {
        "trained on": "; ".join(data),
        "drawing": _pairs(card.generator or {}),
        "protocol": card.protocol,
        "rows": ", ".join(f"{count} {role}" for role, count in card.rows.items()),
        "profile": card.profile,
        "settings that differ from it": _pairs(card.settings),
        "pretrained weights": "; ".join(f"{part}: {text}" for part, text in card.pretrained.items()),
    }
    return ["## Training", "", *_facts(facts)]


def _scores(scores: tuple[CardScore, ...]) -> list[str]:
    titles = dict.fromkeys(m.title for score in scores for m in score.metrics.values())
    header = ["tested on", "rows", "classes", *titles, "weakest class", "calibration error"]
    rows = []
    for score in scores:
        shown = {metric.title: metric.text for metric in score.metrics.values()}
        worst = "-" if score.worst_class is None else _share(score.worst_class)
        error = score.calibration.get("ece")
        rows.append(
            [
                f"{score.target}{' (in-domain)' if score.in_domain else ''}",
                str(score.n),
                str(len(score.classes)),
                *(shown.get(title, "-") for title in titles),
                worst,
                "-" if error is None else f"{error:.2f}",
            ]
        )
    notes = [f"- {escape(score.target)}: {escape(score.note, None)}" for score in scores if score.note]
    notes += [f"- {escape(score.target)}: {_affect(score.affect)}" for score in scores if score.affect]
    gaps = [[score.target, name, *_gap(gap)] for score in scores for name, gap in score.gaps.items()]
    found = [
        "## Scores",
        "",
        "In brackets: 95 % intervals over test people, videos or pictures, for this one training; another "
        "seed would differ besides. In-domain test rows show other people or pictures than were trained on.",
        "",
        table(header, rows, raw=()),
        "",
        *([*notes, ""] if notes else []),
    ]
    if gaps:
        titles_of_gaps = [
            "tested on",
            "attribute",
            "groups",
            "classes",
            "lowest UAR",
            "highest UAR",
            "gap, points",
        ]
        found += [
            "## Gaps between groups",
            "",
            "The widest gap of each attribute, over the classes with enough rows in every compared group. "
            "Gaps of groups with few rows are mostly chance.",
            "",
            table(titles_of_gaps, gaps, raw=()),
            "",
        ]
    return found


def _licences(card: ModelCard) -> list[str]:
    data = {f"data: {each.name}": each.licence for each in card.data}
    return ["## Licences", "", *_facts({**card.licences, **data})]


def _gap(gap: CardGap) -> list[str]:
    low, high = (f"{_share(one)} of {n}" for one, n in zip((gap.lowest, gap.highest), gap.rows, strict=True))
    return [str(gap.compared), str(len(gap.classes)), low, high, f"{100 * gap.gap:.1f}"]


def _affect(found: dict[str, float]) -> str:
    titles = {
        "va_ccc": "mean CCC of valence and arousal",
        "au_f1": "mean F1 of the action units",
        "abaw": "sum of the ABAW challenge",
    }
    return ", ".join(f"{titles[name]} {value:.2f}" for name, value in found.items())


def _share(named: tuple[str, float]) -> str:
    return f"{named[0]} {100 * named[1]:.1f}%"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _facts(facts: dict[str, str]) -> list[str]:
    return [*(f"- **{escape(name)}**: {escape(text, None)}" for name, text in facts.items() if text), ""]
