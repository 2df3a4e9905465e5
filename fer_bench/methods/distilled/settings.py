"""The settings of distilled."""

from __future__ import annotations

from pydantic import Field

from fer_bench.methods.erm.settings import ERMSettings


class DistilledSettings(ERMSettings):
    """Settings of distilled: those of erm, which are the student's, and what it learns from the teacher.

    Attributes:
        teacher: The teacher's file, which `fer-bench distill` writes: a Lightning checkpoint of a method.
        temperature: Divides the logits of both before they are compared (Hinton et al., arXiv:1503.02531).
        imitation: Weight of the comparison of logits; the cross-entropy of the labels has the rest of 1.
        similarity: Weight of the comparison of features (Tung and Mori, arXiv:1907.09682); 0 leaves it out.
    """

    backbone: str = "mobilenetv3_small_050"
    teacher: str | None = None
    temperature: float = Field(default=4.0, gt=0, le=100)
    imitation: float = Field(default=0.9, ge=0, le=1)
    similarity: float = Field(default=1.0, ge=0)
