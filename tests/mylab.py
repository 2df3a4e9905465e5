"""A package of somebody else with several methods in several modules, installed for new processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

METHOD = """
from pydantic import Field
from torch import optim

from fer_bench.config import InputSpec, MethodSettings, ProfileSettings, TrainSettings
from fer_bench.methods.base import Method, Prediction, classification_loss
from mylab.nets import {net}


class {name}Settings(MethodSettings):
    lr: float = Field(default=0.05, gt=0)


class {name}(Method[{name}Settings]):
    name = "{entry}"
    settings_type = {name}Settings
    profiles = {{
        "quick": ProfileSettings(train=TrainSettings(max_epochs=2, batch_size=16)),
        "paper": ProfileSettings(train=TrainSettings(max_epochs=9, batch_size=16)),
    }}

    def __init__(self, classes, settings=None, train=None):
        super().__init__(classes, settings, train)
        self.network = {net}(len(self.task.classes))

    @classmethod
    def input_spec(cls, settings):
        return InputSpec(size=24)

    def forward(self, image):
        return Prediction(self.network(image))

    def training_step(self, batch, batch_idx):
        loss = classification_loss(self(batch["image"]).logits, batch["label"])
        self.log_losses(len(batch["label"]), total=loss)
        return loss

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=self.settings.lr)
"""
NET = """
from torch import nn

from .. import sizes


class {net}(nn.Sequential):
    def __init__(self, count):
        super().__init__(nn.Conv2d(3, sizes.WIDTH, 5, 4), nn.{act}(), nn.Flatten(), nn.Linear(100, count))
"""
FILES = {
    "mylab/__init__.py": "from .one import One\nfrom .two import Two\n\n__all__ = ['One', 'Two']\n",
    "mylab/one.py": METHOD.format(name="One", entry="one", net="First"),
    "mylab/two.py": METHOD.format(name="Two", entry="two", net="Second"),
    "mylab/sizes.py": "WIDTH = 4\n",
    "mylab/nets/__init__.py": "from .first import First\nfrom .second import Second\n",
    "mylab/nets/first.py": NET.format(net="First", act="Tanh"),
    "mylab/nets/second.py": NET.format(net="Second", act="ReLU"),
    "mylab-0.3.dist-info/METADATA": "Metadata-Version: 2.1\nName: mylab\nVersion: 0.3\n",
    "mylab-0.3.dist-info/entry_points.txt": "[fer_bench.methods]\none = mylab:One\ntwo = mylab:Two\n",
}


class Lab:
    """The package in a folder, and the command line in processes that find it there."""

    def __init__(self, folder, data_root):
        self.folder, self.data_root = folder, data_root
        for name in FILES:
            self.write(name, FILES[name])

    def write(self, name, text):
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def edit(self, name, old, new):
        text = (self.folder / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def call(self, *arguments):
        """Call the command line in a new process; return exit code, standard output and standard error."""
        paths = (self.folder, Path(__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        environment["FER_BENCH_DATA"] = str(self.data_root)
        done = subprocess.run(
            [sys.executable, "-m", "fer_bench.cli.main", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=self.folder,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def json(self, *arguments):
        code, out, err = self.call(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)
