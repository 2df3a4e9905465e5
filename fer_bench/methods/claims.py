"""What papers claim: the `claims.yaml` beside each method, read and checked.

A claim is a number somebody printed, with its place and its protocol. It never enters a score, a rank or a
default; the board shows it beside runs on real data under the paper profile only.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fer_bench.errors import UsageError
from fer_bench.methods import entry

FILE = "claims.yaml"
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Number = Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d+)?$")]
"""In percent, digits as printed: "94.7" and "94.70" are two statements."""


class Evidence(BaseModel):
    """A statement about a claim.

    Attributes:
        text: What was found, in our words.
        where: Where it can be read: an address, a file of the authors' code, or `arithmetic` with its inputs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: Text
    where: Text


class Claim(BaseModel):
    """One printed number.

    Attributes:
        of: Whose number: a method of this suite, or the name of a baseline in the same table.
        variant: The paper's name of the variant, where it has several.
        source: Datasets trained on, by the names of `fer-bench list datasets`; `mean` is no dataset.
        target: Dataset tested on, or `mean` for a table's mean over targets.
        metric: What was averaged, in the field's terms.
        value: Percent, as printed.
        where: Table, figure or section.
        note: What a reader must know to compare, the protocol above all.
        evidence: What is known for or against it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    of: Text
    variant: Text | None = None
    source: Annotated[tuple[Text, ...], Field(min_length=1)]
    target: Text
    metric: Literal["accuracy", "uar", "macro_f1"]
    value: Number
    where: Text
    note: Text | None = None
    evidence: tuple[Evidence, ...] = ()


class Claims(BaseModel):
    """All claims of one paper.

    Attributes:
        paper: Authors and identifier.
        note: What holds for all of them.
        claims: The numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    paper: Text
    note: Text | None = None
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]


@cache
def claims_of(method: str) -> Claims | None:
    """Return the claims that stand beside a method, None where its folder has none.

    Args:
        method: A name of the registry.

    Raises:
        UsageError: No such method.
        UsageError: The file is no such list.
    """
    spec = find_spec(entry(method).target.partition(":")[0].rpartition(".")[0])
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / FILE
    return read_claims(path) if path.is_file() else None


def read_claims(path: Path) -> Claims:
    """Read a file of claims.

    Raises:
        UsageError: It is no YAML, or an entry is not as `Claims` says.
    """
    try:
        return Claims.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise UsageError("the file is no valid YAML", file=path, value=str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{place}: {first['msg']}", file=path, value=str(first["input"])) from error
