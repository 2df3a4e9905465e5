"""Opening unions such as `ckplus+mmi+oulu`, and what a source's pictures rule out as targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fer_bench.data.loading.union import UnionDataset
from fer_bench.datasets import members_of, share_pixels
from fer_bench.errors import DataError
from fer_bench.workspace.sources import DataRoots, Source, available


def open_union(members: Sequence[Source]) -> Source:
    """Return the union of opened datasets.

    Raises:
        UsageError: The members have fewer than two emotions in common.
        DataError: Some members are real and others drawn, they are from different drawings, or one is in the
            folder of another.
    """
    first = members[0]
    for other in members[1:]:
        if (other.kind, other.generator) != (first.kind, first.generator):
            raise DataError(
                f"{first.dataset.card.name} is {_origin(first)} and {other.dataset.card.name} is "
                f"{_origin(other)}, which are never mixed",
                file=other.dataset.base,
                hint="give all members from one data root: --data-root DIR",
            )
    for at, member in enumerate(members):
        refuse_same_tree(members[:at], member.dataset.card.name, member.dataset.base)
    return Source(UnionDataset([member.dataset for member in members]), first.kind, first.generator)


def _origin(source: Source) -> str:
    if source.generator is None:
        return f"{source.kind} data"
    return f"a drawing ({', '.join(f'{name} {value}' for name, value in source.generator.items())})"


def refuse_same_tree(sources: Iterable[Source], name: str, base: Path) -> None:
    """Refuse a dataset whose folder is that of a source, or one of the two inside the other.

    Its pictures could be those of the source under another name. Datasets that are known to hold the same
    pictures are let through: they are left out of boards, and a note says so.

    Args:
        sources: What is trained on.
        name: Dataset that is tested on, or trained on as well.
        base: Its base folder.

    Raises:
        DataError: It is in the tree of a source.
    """
    for source in sources:
        own, one, two = source.dataset.card.name, source.dataset.base.resolve(), base.resolve()
        if share_pixels(own, name) or not (one.is_relative_to(two) or two.is_relative_to(one)):
            continue
        raise DataError(
            f"{name} is in the same folder tree as {own} ({one}), so their pictures may be the same",
            file=two,
            hint="keep every dataset in a folder of its own; --targets none tests on the source alone",
        )


def available_sources(names: Iterable[str], roots: DataRoots) -> tuple[list[str], dict[str, str]]:
    """Return the sources that can be trained on, and why the others cannot; a union needs all its members.

    Args:
        names: Names of sources.
        roots: Where to look.

    Raises:
        UsageError: Unknown dataset.
    """
    found: list[str] = []
    missing: dict[str, str] = {}
    for name in names:
        members = members_of(name)
        _, absent = available(members, roots)
        if not absent:
            found.append(name)
        else:
            missing[name] = "; ".join(
                why if len(members) == 1 else f"{member}: {why}" for member, why in absent.items()
            )
    return found, missing


def drop_seen(targets: Iterable[str], source: str) -> tuple[list[str], dict[str, str]]:
    """Return the targets that share no pictures with a union, and why the others are dropped.

    For a single dataset all targets are kept: boards leave such pairs out, and `seen_note` says so.

    Args:
        targets: Dataset names.
        source: Dataset or union trained on.
    """
    members = members_of(source)
    kept: list[str] = []
    dropped: dict[str, str] = {}
    for target in targets:
        seen = [member for member in members if len(members) > 1 and share_pixels(member, target)]
        if seen:
            dropped[target] = f"holds pictures of {seen[0]}, which the union was trained on"
        else:
            kept.append(target)
    return kept, dropped


def seen_note(target: str, source: str) -> str | None:
    """Return why a score on a target does not count as cross-dataset after training on a source, else None.

    Args:
        target: Dataset tested on.
        source: Dataset or union trained on.
    """
    shared = [name for name in members_of(source) if name != target and share_pixels(name, target)]
    if not shared:
        return None
    return (
        f"{target} holds pictures of {' and '.join(shared)}, which was trained on: its score is stored and "
        f"never counted as cross-dataset (fer-bench data describe {target})"
    )
