"""The first screen: which method holds up on other datasets, by how much, and how sure that is."""

from __future__ import annotations

from typing import Any

from fer_bench.evaluation.intervals import Value, average
from fer_bench.leaderboard.apart import NOT_COMPARED, told_apart
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import escape, lettered, margin, share, table, two
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.sections.baseline import BASELINE
from fer_bench.leaderboard.tables import Overall, Section
from fer_bench.leaderboard.wording import and_of, conclusion, plain_difference


def context(section: Section, notes: Notes, links: Links) -> dict[str, Any]:
    """Return the values of the template."""
    common = next((o.sources for o in section.overall if o.sources), ())
    return {
        "table": _table(section, notes, links),
        "said": " ".join(escape(text, None) for text in said(section)),
        "common": [links.source(source) for source in common],
        "others": [links.source(source) for source in section.sources if source not in common],
        "unions": any(c.is_union for c in section.cells),
        "seeds": _seeds(section),
        "mixed_data": section.several_versions,
        "notes": notes.lines(),
    }


def said(section: Section) -> tuple[str, ...]:
    """Return what may be concluded about the methods over all datasets, in plain sentences."""
    overall = section.overall_column
    found = [conclusion(overall, "test units", plain_difference)] if overall.scores else []
    found += [_starts(section), told_apart((mine.label, mine.apart) for mine in section.overall)]
    return tuple(text for text in found if text)


def _starts(section: Section) -> str:
    """Say which of the methods compared start from trained weights; nothing where all or none do."""
    labels = list(section.overall_column.scores)
    trained = [
        label
        for label in labels
        if any(r.pretrained for c in section.cells if c.label == label for r in c.records)
    ]
    random = [label for label in labels if label not in trained]
    if not trained or not random:
        return ""
    verb = "starts" if len(trained) == 1 else "start"
    return (
        f"{and_of(trained)} {verb} from trained weights (see the notes), {and_of(random)} from random ones: "
        "what sets the two kinds apart is not the method alone."
    )


def own_mean(section: Section, mine: Overall) -> Value | None:
    """Return a method's in-domain score as its generalisation is: corrected for chance, same sources."""
    cells = (section.cell(mine.label, source) for source in mine.sources)
    found = [None if cell is None else cell.generalisation.in_domain for cell in cells]
    known = [value for value in found if value is not None]
    return average(known) if known and len(known) == len(found) else None


def _table(section: Section, notes: Notes, links: Links) -> str:
    column, rows = section.overall_column, []
    reference = BASELINE if BASELINE in column.scores else column.best
    for mine in section.overall:
        apart = mine.apart is not None and mine.mean is not None
        difference = margin(column.difference(mine.label, reference), plain_difference)
        rows.append(
            [
                links.method(mine.label) + notes.of(mine.label),
                lettered(margin(mine.mean, two), column, mine.label),
                NOT_COMPARED if apart else difference,
                margin(own_mean(section, mine), two),
                share(mine.retention),
            ]
        )
    header = ("method", "on other datasets", f"difference from {escape(reference)}", "on its own", "retained")
    return table(header if reference else (*header[:2], "difference", *header[3:]), rows)


def _seeds(section: Section) -> str:
    """Return which methods have other seeds than most on a source, or nothing."""
    seeds = {(c.label, c.seeds) for c in section.cells if c.usual}
    if len({found for _, found in seeds}) < 2:
        return ""
    return "; ".join(f"{label}: {', '.join(map(str, found))}" for label, found in sorted(seeds))
