"""The LightningDataModule classes of the datasets: importable by name, without torch before that."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys

import pytest
from lightning import LightningDataModule

from fer_bench import datasets
from fer_bench.data.loading.datamodule import FaceDataModule

SEVEN = ("CKPlus", "MMI", "OuluCASIA", "RAFDB", "AffectNet7", "ExpW", "AffWild2")
EXTRAS = ("FER2013", "FERPlus", "SFEW", "JAFFE", "KDEF", "MMAFEDB", "Folder")


def test_each_dataset_has_a_class_of_its_own():
    found = {}
    for name in dir(datasets):
        if name.endswith("DataModule"):
            kind = getattr(datasets, name)
            assert issubclass(kind, FaceDataModule)
            assert issubclass(kind, LightningDataModule)
            found[name] = kind.reader.card.name
    assert sorted(found.values()) == sorted(datasets.names())
    assert {f"{name}DataModule" for name in (*SEVEN, *EXTRAS)} <= set(found)
    assert [found[f"{name}DataModule"] for name in SEVEN] == list(datasets.MAIN_SEVEN)


def test_a_class_is_made_once_and_can_be_pickled():
    from fer_bench.datasets import RAFDBDataModule

    assert RAFDBDataModule is datasets.RAFDBDataModule
    assert pickle.loads(pickle.dumps(RAFDBDataModule)) is RAFDBDataModule
    module = pickle.loads(pickle.dumps(RAFDBDataModule(image_size=32, fold=1)))
    assert type(module) is RAFDBDataModule
    assert module.spec.size == 32


def test_its_documentation_names_dataset_and_protocol():
    from fer_bench.datasets import OuluCASIADataModule

    text = inspect.getdoc(OuluCASIADataModule) or ""
    first = text.splitlines()[0]
    card = OuluCASIADataModule.reader.card
    assert card.title in first
    assert card.default_protocol in first
    assert set(inspect.signature(OuluCASIADataModule).parameters) <= {
        line.split(":")[0].strip() for line in text.splitlines()
    }


@pytest.mark.parametrize("name", ["NoneSuchDataModule", "RAFDB", "something"])
def test_other_names_are_not_there(name):
    with pytest.raises(AttributeError, match=name):
        getattr(datasets, name)


@pytest.mark.long
def test_the_registry_needs_no_torch_until_a_class_is_asked_for():
    code = (
        "import sys, fer_bench.datasets as datasets\n"
        "[datasets.get(name) for name in datasets.names()], dir(datasets)\n"
        "assert 'torch' not in sys.modules and 'lightning' not in sys.modules\n"
        "datasets.KDEFDataModule\n"
        "assert 'lightning' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
