"""Cards and splits as text: the output of `data describe` and `data stats`, and pages in `docs/datasets`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

import pandas as pd

from fer_bench.data.audit.split_file import protocol_hash
from fer_bench.data.card import Card, Folds, HashSplit, Official, Split
from fer_bench.data.protocols import assign_roles, find_protocol, in_label_set
from fer_bench.data.reading.dataset import FaceDataset

WIDTH = 100


def as_text(card: Card) -> str:
    """Return a card as readable text."""
    lines = [f"{card.title} ({card.name}), {card.setting}", ""]
    for title, text in (("Cite", card.citation), ("Licence", card.licence), ("Obtain", card.obtain)):
        lines += [*textwrap.wrap(f"{title}: {text}", WIDTH, subsequent_indent="  ")]
    lines += ["", "Folder tree (in the data root, or in a folder named after the dataset below it):"]
    width = max(len(entry.path) for entry in card.tree)
    lines += [f"  {e.path:{width}}  {e.what}{'' if e.required else ' (optional)'}" for e in card.tree]
    lines += ["", "Classes (code, name -> emotion):"]
    lines += [
        f"  {c.code:>12}  {c.name} -> {c.emotion.value if c.emotion else 'dropped'}" for c in card.classes
    ]
    lines += ["", "Protocols (hash of the rule; label set; * is the default):"]
    for p in card.protocols:
        mark = "*" if p.name == card.default_protocol else " "
        note = f"; {p.note}" if p.note else ""
        lines += [f" {mark}{p.name:16} {protocol_hash(card, p)}  {', '.join(p.label_set)}{note}"]
    if card.counts:
        lines += ["", "Published counts:"]
        for n in card.counts:
            what = "all" if n.code is None else f"class {n.code}"
            split = "" if n.split == "none" else f" {n.split}"
            layout = f" of {n.layout}" if n.layout else ""
            lines.append(f"  {n.n:>8} {n.unit}{split}, {what}{layout} [{n.trust}: {n.source}]")
    if card.fold_sizes:
        lines.append(f"  sequences per fold: {', '.join(map(str, card.fold_sizes))}")
    if card.quirks:
        lines += ["", "Quirks the reader handles:"]
        for q in card.quirks:
            lines += textwrap.wrap(
                f"- {q.text} [{q.trust}: {q.source}]", WIDTH, initial_indent="  ", subsequent_indent="    "
            )
    if card.shares_pixels_with:
        lines += ["", f"Never counted as cross-dataset with: {', '.join(card.shares_pixels_with)}"]
    return "\n".join(lines)


def as_markdown(card: Card) -> str:
    """Return a card as a page of the documentation."""
    lines = [f"# {card.title} (`{card.name}`)", "", _GENERATED, ""]
    for title, text in (("Cite", card.citation), ("Licence", card.licence), ("How to obtain", card.obtain)):
        lines += [f"**{title}:** {_plain(text)}", ""]
    kinds = {"lab": "laboratory recordings", "wild": "pictures from the wild", "video": "video"}
    has = [word for word, yes in (("valence and arousal", card.has_va), ("action units", card.has_au)) if yes]
    extras = f" Rows also have {' and '.join(has)}." if has else ""
    target = "all labelled rows and neutral first frames" if card.as_target == "all" else "the test rows"
    lines += [
        f"Setting: {kinds[card.setting]}. Intervals are over {card.unit}s.{extras} "
        f"Models of other datasets are tested on {target}.",
        "",
        "## Folder tree",
        "",
        f"In the data root, or in `{card.name}/` below it:",
        "",
        *_table(
            ("path", "what", ""),
            [(_code(e.path), _plain(e.what), "" if e.required else "optional") for e in card.tree],
        ),
        "## Classes",
        "",
        *_table(
            ("code", "name", "emotion"),
            [
                (_code(c.code), _plain(c.name), c.emotion.value if c.emotion else "dropped")
                for c in card.classes
            ],
        ),
        "## Protocols",
        "",
        "The hash covers what decides rows and labels: dataset, card version, classes, rule and variants. "
        f"`fer-bench data split --dataset {card.name}` writes the rows.",
        "",
        *_table(
            ("protocol", "hash", "classes", "split", ""),
            [
                (
                    _code(p.name) + (" (default)" if p.name == card.default_protocol else ""),
                    _code(protocol_hash(card, p)),
                    ", ".join(p.label_set),
                    split_in_words(p.split),
                    _plain(p.note),
                )
                for p in card.protocols
            ],
        ),
    ]
    if card.counts or card.fold_sizes:
        lines += ["## Published counts", "", "`fer-bench data verify` compares real data with them.", ""]
        rows = [
            (
                f"{n.n:,} {n.unit}",
                "" if n.split == "none" else n.split,
                "all" if n.code is None else _code(n.code),
                n.trust,
                _plain(n.source),
                _plain(n.layout) or "all",
            )
            for n in card.counts
        ]
        header = ("number", "split", "class", "trust", "source", "layout")
        shown = len(header) if any(n.layout for n in card.counts) else len(header) - 1
        lines += _table(header[:shown], [row[:shown] for row in rows]) if rows else []
        if card.fold_sizes:
            lines += [f"Sequences per fold: {', '.join(map(str, card.fold_sizes))}.", ""]
    if card.quirks:
        lines += ["## Quirks the reader handles", ""]
        lines += [f"* {_plain(q.text)} *({q.trust}: {_plain(q.source)})*" for q in card.quirks]
        lines.append("")
    if card.shares_pixels_with:
        others = ", ".join(f"`{name}`" for name in card.shares_pixels_with)
        lines += [f"Never counted as cross-dataset with {others}: they share pictures.", ""]
    return "\n".join(lines).rstrip() + "\n"


def index_page(cards: Iterable[Card]) -> str:
    """Return the page that lists the datasets."""
    rows = []
    for card in cards:
        protocol = find_protocol(card, None)
        rows.append(
            (
                f"[{_plain(card.title)}]({card.name}.md)",
                _code(card.name),
                card.setting,
                str(len(protocol.label_set)),
                _code(protocol.name),
                split_in_words(protocol.split),
                str(len(card.protocols)),
            )
        )
    header = ("dataset", "name", "setting", "classes", "default protocol", "split", "protocols")
    trust = (
        "Each fact says how well it is known: `page` (the licensor's page or paper), `code` (public code or "
        "a measured list), `secondary` (a third party's account), `inferred`. None is from memory."
    )
    return "\n".join(["# The datasets", "", _GENERATED, "", *_table(header, rows), trust, ""])


def split_in_words(split: Split) -> str:
    """Return a split rule as a phrase."""
    if isinstance(split, Folds):
        rest = "the next validates" if split.validation == "next" else "no validation, last epoch"
        return f"{split.k} folds by subject, {split.rule}; {rest}"
    if isinstance(split, Official):
        if split.validation == "official":
            return f"the official {split.test} part tests, the official val part validates"
        unit = "of every class" if split.carve == "label" else "of the groups"
        return f"the official {split.test} part tests, {split.fraction:.0%} {unit} of train validates"
    shares = f"{split.train:.0%} / {split.val:.0%} / {1 - split.train - split.val:.0%}"
    return f"{shares} by a hash of the group" if isinstance(split, HashSplit) else f"{shares} of every class"


_GENERATED = "*Written from the dataset cards by `fer-bench data docs`; change the card, not this page.*"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _plain(text: str) -> str:
    """Escape HTML and table cell ends in prose, except in code spans."""
    pieces = text.replace("|", "\\|").split("`")
    if len(pieces) % 2 == 0:
        return text.replace("|", "\\|").replace("`", "\\`").replace("<", "&lt;")
    return "`".join(p if i % 2 else p.replace("<", "&lt;").replace("*", "\\*") for i, p in enumerate(pieces))


def _code(text: str) -> str:
    return f"`{text.replace('|', chr(92) + '|')}`" if text else ""


def split_counts(dataset: FaceDataset, protocol: str | None, fold: int) -> pd.DataFrame:
    """Return rows per class (columns) and role (rows) under a protocol, with groups per role.

    Raises:
        UsageError: No such protocol or fold.
    """
    chosen = find_protocol(dataset.card, protocol)
    index = dataset.index
    roles = assign_roles(index, dataset.card, chosen, fold)
    labelled = in_label_set(index, chosen)
    classes = [e.value for e in chosen.label_set]
    table = pd.DataFrame(
        0, index=pd.Index(["train", "val", "test"], name="role"), columns=[*classes, "rows", "groups"]
    )
    for role in table.index:
        rows = index[(roles == role) & labelled]
        for name in classes:
            table.loc[role, name] = int((rows["label"] == name).sum())
        table.loc[role, "rows"] = len(rows)
        table.loc[role, "groups"] = int(rows["group"].nunique())
    table.attrs["protocol"] = f"{chosen.name}, fold {fold}"
    return table
