"""Cards and splits as text: what `fer-bench data describe` and `data stats` print."""

from __future__ import annotations

import textwrap

import pandas as pd

from fer_bench.data.card import Card
from fer_bench.data.dataset import FaceDataset
from fer_bench.data.protocols import assign_roles, find_protocol, in_label_set

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
    lines += ["", "Protocols (label set; * is the default):"]
    for p in card.protocols:
        mark = "*" if p.name == card.default_protocol else " "
        lines += [f" {mark}{p.name:16} {', '.join(p.label_set)}{f'; {p.note}' if p.note else ''}"]
    if card.counts:
        lines += ["", "Published counts:"]
        for n in card.counts:
            what = "all" if n.code is None else f"class {n.code}"
            split = "" if n.split == "none" else f" {n.split}"
            lines.append(f"  {n.n:>8} {n.unit}{split}, {what} [{n.trust}: {n.source}]")
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
