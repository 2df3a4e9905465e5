import pytest

from fer_bench.errors import DataError, UsageError
from fer_bench.runs.sweepfile import SWEEPS, find_sweep, packaged_sweeps, parse_grid, read_sweep


def test_a_grid_is_every_combination():
    assert parse_grid("gcn") == ("gcn", [()])
    assert parse_grid("gcn[lr=1e-3,1e-4,train.batch_size=16,32]") == (
        "gcn",
        [
            ("method.lr=1e-3", "train.batch_size=16"),
            ("method.lr=1e-3", "train.batch_size=32"),
            ("method.lr=1e-4", "train.batch_size=16"),
            ("method.lr=1e-4", "train.batch_size=32"),
        ],
    )
    pairs = parse_grid("gcn[train.augmentation.erase_area=[0.1,0.2],[0.2,0.3]]")[1]
    assert [change[0].partition("=")[2] for change in pairs] == ["[0.1,0.2]", "[0.2,0.3]"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("gnc[lr=1]", "did you mean gcn"),
        ("gcn[lr=1", "ends with"),
        ("gcn[]", "name=value"),
        ("gcn[1e-3]", "name=value"),
        ("gcn[lr=]", "name=value"),
    ],
)
def test_what_is_no_grid_is_named(text, word):
    with pytest.raises(UsageError, match=word):
        parse_grid(text)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("profile: quick\nmethods:\n  - gcn\n  - gnc[lr=1]\n", 4, "did you mean gcn"),
        ("profile: quick\n\nmethod: [gcn]\n", 3, "did you mean methods"),
        ("datasets: [oulu]\nseeds: [0, -1]\n", 2, "greater than or equal to 0"),
        ("datasets:\n- oulu\n- rafbd\n", 3, "did you mean rafdb"),
        ("targets: [rafdb,\n  ckpulus]\n", 2, "did you mean ckplus"),
        ("profile: quick\nprofile: huge\n", 1, "input should be"),
        ("devices: 0\n", 1, "greater than or equal to 1"),
        ("methods: [gcn]\nset:\n- train.batch_size=8\n- train.batchsize=8\n", 4, "did you mean batch_size"),
        ("methods:\n- gcn\n- gcn[lr=1e-3,-1]\n", 3, "greater than 0"),
        ("methods: [gcn]\nvariants:\n  a: [method.lr=1]\n  b: [method.lrr=1]\n", 4, "did you mean lr"),
        ("a: [\n", 2, "cannot be read"),
    ],
)
def test_file_line_and_value_are_named(tmp_path, text, line, word):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=word) as caught:
        read_sweep(file)
    assert (caught.value.file, caught.value.line) == (file, line)


def test_the_command_line_goes_before_the_file(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("methods: [gcn]\nseeds: [0, 1]\n")
    sweep = read_sweep(file, {"methods": ["resemotenet[lr=1e-3,1e-4]"], "datasets": ["oulu+ckplus"]})
    assert (sweep.name, sweep.seeds) == ("s", (0, 1))
    assert sweep.methods == ("resemotenet[lr=1e-3,1e-4]",)
    assert sweep.datasets == ("ckplus+oulu",)


@pytest.mark.parametrize("name", sorted(packaged_sweeps()))
def test_the_sweeps_of_the_package_are_valid_and_say_what_they_are_for(name):
    assert read_sweep(name).name == name
    assert len(packaged_sweeps()[name]) > 20


def test_a_name_is_a_sweep_of_the_package_and_a_path_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick").write_text("methods: [gcn]\ndatasets: [oulu]\n")
    assert find_sweep("quick") == SWEEPS / "quick.yaml"
    assert read_sweep("./quick").datasets == ("oulu",)


@pytest.mark.parametrize(
    ("name", "word"), [("quik", "did you mean quick"), ("benchmarks/quick.yaml", "quick"), ("zzz", "known: ")]
)
def test_an_absent_sweep_is_named_with_the_nearest_of_the_package(name, word):
    with pytest.raises(UsageError, match=rf"does not exist[^$]*{word}[^$]*fer-bench list sweeps"):
        find_sweep(name)


def test_class_names_are_texts_and_a_map_is_beside_the_sweep_file(tmp_path):
    file = tmp_path / "sweeps" / "s.yaml"
    file.parent.mkdir()
    start = "methods: [gcn]\ndatasets: [folder]\n"
    file.write_text(f"{start}classes:\n  0: anger\n  no: neutral\n  unknown: drop\ndrop: [misc]\n")
    sweep = read_sweep(file)
    assert sweep.classes == {"0": "anger", "no": "neutral", "unknown": "drop"}
    assert sweep.drop == ("misc",)
    assert read_sweep(file, {"drop": ["other"]}).drop == ("other",)
    (tmp_path / "map.yaml").write_text("glad: happiness\nsad: sadnes\n")
    file.write_text(f"{start}classes: ../map.yaml\n")
    with pytest.raises(DataError, match="neither an emotion") as caught:
        read_sweep(file)
    assert (caught.value.file.resolve(), caught.value.line) == (tmp_path / "map.yaml", 2)


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("datasets: [folder]\nclasses:\n  glad: happiness\n  sad: sadnes\n", 4, "neither an emotion"),
        ("datasets: [oulu]\nclasses: {glad: happiness}\n", 2, "which this command does not read"),
        ("datasets: [oulu]\ntargets: [rafdb]\n\ndrop: [unknown]\n", 4, "which this command does not read"),
    ],
)
def test_wrong_class_names_are_refused_with_their_line(tmp_path, text, line, word):
    file = tmp_path / "s.yaml"
    file.write_text(f"{text}methods: [gcn]\n")
    with pytest.raises(UsageError, match=word) as caught:
        read_sweep(file)
    assert (caught.value.file, caught.value.line) == (file, line)
