"""Read and check the `claims.yaml` of each method: the numbers that papers print.

A claim is a printed number with its place and its protocol. It never enters a score, a rank or a default; the
leaderboard shows it only beside runs on real data under the paper profile.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fer_bench.errors import UsageError
from fer_bench.methods import entry
from fer_bench.provenance.modules import folders_of

FILE = "claims.yaml"
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Number = Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d+)?$")]
"""In percent, with the digits as printed: "94.7" and "94.70" differ."""


class Evidence(BaseModel):
    """Evidence for or against a claim.

    Attributes:
        text: What was found, paraphrased.
        where: Where to read it: an address, a file of the authors' code, or `arithmetic` with its inputs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: Text
    where: Text


class Claim(BaseModel):
    """One printed number.

    Attributes:
        of: The method the number is about, or a baseline of the same table.
        variant: The paper's name for the variant, if there are several.
        source: Datasets trained on, by the names of `fer-bench list datasets`; never `mean`.
        target: Dataset tested on, or `mean` for a mean over targets.
        metric: The metric.
        value: Percent, as printed.
        where: Table, figure or section.
        note: What a reader must know to compare, above all the protocol.
        evidence: Evidence for or against it.
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
        note: What applies to all of them.
        claims: The numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    paper: Text
    note: Text | None = None
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]


@cache
def claims_of(method: str) -> Claims | None:
    """Return the claims in a method's folder, None if it has none.

    Args:
        method: A name of the registry.

    Raises:
        UsageError: No such method.
        UsageError: The file is not a valid list of claims.
    """
    module = entry(method).target.partition(":")[0]
    folders = folders_of(module.rpartition(".")[0] or module)
    path = next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)
    return read_claims(path) if path is not None else None


def read_claims(path: Path) -> Claims:
    """Read a file of claims.

    Raises:
        UsageError: The file is not valid YAML, or an entry does not match `Claims`.
    """
    try:
        return Claims.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise UsageError("the file is not valid YAML", file=path, value=str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{place}: {first['msg']}", file=path, value=str(first["input"])) from error
