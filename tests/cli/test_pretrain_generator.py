"""`pretrain-generator`: a generator with its card, the runs that may use it, and what is refused."""

import json

import pytest

from fer_bench.methods.gcn.generator import open_generator

SMALL = ("--width", "0.125", "--epochs", "2")
RUN = ("run", "-m", "gcn", "--profile", "quick", "--max-epochs", "1", "--targets", "none", "--json")


def learn(run_cli, tiny_root, *more):
    return run_cli("pretrain-generator", *SMALL, "--data-root", tiny_root, *more)


def run(run_cli, tiny_root, file, *more):
    settings = (f"generator_weights={file}", "width=0.125", "hidden=8")
    chosen = [each for setting in settings for each in ("--set", f"method.{setting}")]
    return run_cli(*RUN, *chosen, "--data-root", tiny_root, *more)


def test_a_generator_of_one_dataset_starts_runs_on_another(run_cli, tiny_root, tmp_path):
    code, out, err = learn(run_cli, tiny_root, "--dataset", "ckplus", "--out", "rest.safetensors")
    assert code == 0, err
    assert "SYNTHETIC DATA" in out
    assert "people held out: error" in out
    card = json.loads((tmp_path / "rest.json").read_text())
    assert card["settings"]["width"] == 0.125
    assert card["people"]["ckplus"]
    assert card["held_out"]["people"] >= 1
    code, out, err = run(run_cli, tiny_root, "rest.safetensors", "-d", "oulu")
    assert code == 0, err
    record = json.loads(out)
    assert record["key_fields"]["weights"] == {"generator": card["sha256"]}
    assert "ckplus" in record["pretrained"]["generator"]["text"]
    assert "in training" in record["pretrained"]["generator"]["exposure"].values()


def test_its_own_people_are_not_tested(run_cli, tiny_root):
    assert learn(run_cli, tiny_root, "-d", "oulu", "--out", "all.safetensors")[0] == 0
    code, _, err = run(run_cli, tiny_root, "all.safetensors", "-d", "oulu", "--fold", "1")
    assert code == 2
    assert "whose faces its generator was trained on before" in err
    assert "--fold N" in err
    code, _, err = learn(
        run_cli, tiny_root, "-d", "oulu", "--fold", "1", "--protocol", "6-4fold", "--out", "f1.safetensors"
    )
    assert code == 0, err
    code, _, err = run(run_cli, tiny_root, "f1.safetensors", "-d", "oulu", "--fold", "1")
    assert code == 0, err
    code, _, err = run(run_cli, tiny_root, "f1.safetensors", "-d", "oulu", "--fold", "3")
    assert code == 2  # another fold tests people of the first one's training


def test_the_same_call_writes_the_same_bytes(run_cli, tiny_root, tmp_path):
    for name in ("a", "b"):
        assert learn(run_cli, tiny_root, "-d", "oulu", "--out", f"{name}.safetensors", "--json")[0] == 0
    first, second = (open_generator(str(tmp_path / f"{name}.safetensors")) for name in "ab")
    assert first.sha256 == second.sha256


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-d", "rafdb"), "nobody in rafdb has a neutral frame"),
        (("-d", "oulu", "-d", "ckplus", "--fold", "1"), "a fold is of one dataset"),
        (("-d", "oulu", "--out", "x.pt"), "written as .safetensors"),
        (("-d", "olu"), "oulu"),
        (("-d", "oulu", "--fold", "99", "--protocol", "6-4fold"), "99"),
    ],
)
def test_what_cannot_be_learned_is_refused(run_cli, tiny_root, tmp_path, arguments, words):
    code, _, err = learn(run_cli, tiny_root, *arguments)
    assert code == 2
    assert words in err
    assert not list(tmp_path.glob("*.safetensors"))
