import json


def test_datasets_are_compared_and_kept_for_the_board(run_cli, tiny_root, tmp_path):
    store = tmp_path / "runs"
    store.mkdir()
    options = ("--data-root", tiny_root, "--runs-dir", store)
    names = ("-d", "oulu", "-d", "ckplus", "-d", "rafdb")
    code, out, err = run_cli("similarity", *options, *names, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [(p["first"], p["second"]) for p in found["pairs"]] == [
        ("oulu", "ckplus"),
        ("oulu", "rafdb"),
        ("ckplus", "rafdb"),
    ]
    assert all(0 <= p["told_apart"] <= 1 for p in found["pairs"])
    lab, wild = found["pairs"][:2]
    assert lab["distance"] > 0
    assert (wild["distance"], wild["expressions"]) == (None, [])  # too few faces of an expression
    file = store / "similarity" / "synthetic-clip-tiny-neutral.json"
    before = file.read_bytes()
    code, out, _ = run_cli("similarity", *options, *names)
    assert code == 0
    assert "told apart" in out
    assert file.read_bytes() == before


def test_one_dataset_is_refused(run_cli, tiny_root, tmp_path):
    (tmp_path / "runs").mkdir()
    code, _, err = run_cli(
        "similarity", "--data-root", tiny_root, "--runs-dir", tmp_path / "runs", "-d", "oulu"
    )
    assert code == 2
    assert "two datasets at least" in err
