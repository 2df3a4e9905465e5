"""How alike datasets look: a sentence for the first page, a table for the page of each dataset."""

from __future__ import annotations

from collections.abc import Sequence

from fer_bench.evaluation.similarity import Explained
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import TableText, escape, table
from fer_bench.leaderboard.similarity import Alike, alike
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import p_text
from fer_bench.results.similarity import Similarity


def sentences(section: Section, known: Sequence[Similarity]) -> list[str]:
    """Return what the first page says: one sentence per network whose features were compared."""
    return [_sentence(one) for one in alike(section, known)]


def _sentence(one: Alike) -> str:
    told = sorted(100 * pair.told_apart for pair in one.pairs)
    measures = (("being told apart", one.by_classifier), ("the distance of mean faces", one.by_distance))
    explained = [f"{name} {_explained(found)}" for name, found in measures if found is not None]
    pairs = next((found.pairs for _, found in measures if found is not None), 0)
    correlated = (
        f" Rank correlation with transfer over {pairs} pairs: {', '.join(explained)}." if explained else ""
    )
    network = f"`{escape(one.similarity.network)}` ({escape(one.similarity.trained_on)})"
    return (
        f"How alike the datasets look to {network}: a classifier of two of them is right for "
        f"{told[0]:.0f} to {told[-1]:.0f} % of unseen people's faces, where guessing is 50 %.{correlated}"
    )


def _explained(found: Explained) -> str:
    return f"{found.rho:+.2f} ({p_text(found.p)})"


def of_dataset(
    section: Section, known: Sequence[Similarity], dataset: str, links: Links
) -> list[tuple[str, TableText]]:
    """Return network and table per network: a row per other dataset, the least alike first."""
    found = []
    for one in alike(section, known):
        rows = []
        for pair in one.pairs:
            if dataset not in (pair.first, pair.second):
                continue
            other = pair.second if pair.first == dataset else pair.first
            there, back = ((dataset, other), (other, dataset))
            rows.append(
                (
                    links.source(other),
                    f"{100 * pair.told_apart:.0f} %",
                    "-" if pair.distance is None else f"{pair.distance:.2f}",
                    *(
                        "-" if way not in one.transfer else f"{one.transfer[way]:.2f}"
                        for way in (there, back)
                    ),
                )
            )
        header = ("dataset", "told apart", "distance", "transfer to it", "transfer from it")
        if rows:
            found.append((f"`{escape(one.similarity.network)}`", table(header, rows)))
    return found
