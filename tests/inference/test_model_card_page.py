from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.model_card import CardGap, Int8Report, model_card
from fer_bench.inference.model_card_page import int8_lines, page
from fer_bench.inference.source_rows import record_of

REPORT = Int8Report(
    calibration_rows=256,
    validation_rows=200,
    size=(4 * 2**20, 2**20),
    accuracy=(0.6, 0.59),
    accuracy_change=(-0.01, (-0.02, 0.0)),
    uar=(0.5, 0.5),
    uar_change=(0.0, None),
    same_answer=0.98,
    latency={1: 0.5, 32: 1.25},
    processor="a processor, one thread",
)


def test_the_page_says_what_the_card_holds(trained):
    opened = CheckpointModel(trained / "checkpoints" / "val.pt", "cpu")
    card = model_card(opened.card, record_of(opened))
    (score,) = card.scores
    gap = CardGap(
        compared=2, lowest=("a|b", 0.25), highest=("c", 0.5), rows=(9, 8), gap=0.25, classes=("fear",)
    )
    score = score.model_copy(
        update={"gaps": {"gender": gap}, "note": "a copy", "affect": {"va_ccc": 0.5, "abaw": 1.25}}
    )
    text = page(card.model_copy(update={"scores": (score,), "warnings": ("<script>",), "int8": REPORT}))
    for part in (
        "# resemotenet",
        "**SYNTHETIC DATA**",
        "- **run**: " + opened.card.key,
        "| oulu (in-domain) |",
        "| oulu | gender | 2 | 1 | a\\|b 25.0% of 9 | c 50.0% of 8 | 25.0 |",
        "- oulu: mean CCC of valence and arousal 0.50, sum of the ABAW challenge 1.25",
        "- oulu: a copy",
        "Art. 5(1)(f)",
        "- **code**: MIT",
        "&lt;script&gt;",
        "0.50 at batch 1, 1.25 at batch 32",
    ):
        assert part in text
    assert "<script>" not in text


def test_the_page_of_imported_weights_has_no_scores(trained):
    opened = CheckpointModel(trained / "checkpoints" / "val.pt", "cpu")
    text = page(model_card(opened.card.model_copy(update={"data_kind": "unknown"}), None))
    assert "## Scores" not in text
    assert "SYNTHETIC" not in text
    assert "the weights were imported" in text


def test_the_cost_of_eight_bits_is_told_with_its_interval_or_why_there_is_none():
    lines = "\n".join(int8_lines(REPORT))
    assert "size: 1.00 MiB instead of 4.00 (0.25 of it)" in lines
    assert (
        "accuracy on 200 validation rows: 59.0 % instead of 60.0 % (-1.0 points, 95 % interval -2.0 to +0.0)"
        in lines
    )
    assert "UAR on 200 validation rows: 50.0 % instead of 50.0 % (+0.0 points, too few units" in lines
