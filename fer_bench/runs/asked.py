"""What planning asks a method; answers are kept, so that finished runs are found without importing torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from fer_bench import methods
from fer_bench.provenance import package_folder
from fer_bench.provenance.answers import kept

if TYPE_CHECKING:
    from fer_bench.config import RunConfig

T = TypeVar("T")


def ask(
    method: str,
    question: str,
    given: Any,
    answer: Callable[[], T],
    *,
    keeps: Callable[[T], bool] | None = None,
) -> T:
    """Return a method's answer to a question.

    Args:
        method: Its name. The answers of other packages' methods are not kept: their code changes by itself.
        question: What is asked.
        given: What the answer depends on besides the method's code: plain values.
        answer: Asks the method; plain values, as JSON returns them.
        keeps: See `fer_bench.provenance.answers.kept`.
    """
    if method not in methods.BUILT_IN:
        return answer()
    module = methods.BUILT_IN[method].target.partition(":")[0]
    return kept(f"{method}: {question}", given, answer, unless_loaded=module, keeps=keeps)


def names_own_weights(config: RunConfig) -> bool:
    """Return whether a run's pretrained weights all come with this package; so it is where it has none.

    Others are files that can change, or that a hub may deliver anew.
    """
    kind = methods.get(config.method)
    cards = {card.stem: card for card in (package_folder() / "methods" / "shipped").glob("*.json")}
    named = {config.method_settings.get(name) for name in kind.weight_settings}
    if not named <= {None, *cards}:
        return False
    own = {json.loads(card.read_text(encoding="utf-8")).get("sha256") for card in cards.values()}
    return set(kind.weights(kind.build_settings(config.method_settings)).values()) <= own
