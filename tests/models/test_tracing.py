"""Networks that are traced in a process whose runs are forked."""

import subprocess
import sys

import pytest

TRACE = """
import os, torch
from fer_bench.models.tracing import ready_autograd

def compute_gradient():
    network = torch.nn.Linear(2, 1)
    network(torch.zeros(1, 2)).sum().backward()

if {first}:
    ready_autograd()
torch.export.export(torch.nn.Linear(2, 1), (torch.zeros(1, 2),))
compute_gradient()
child = os.fork()
if child == 0:
    try:
        compute_gradient()
    except RuntimeError as error:
        assert "fork" in str(error), error
        os._exit(3)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(("first", "code"), [(True, 0), (False, 3)])
@pytest.mark.long
def test_a_fork_computes_gradients_after_tracing_where_autograd_looked_for_devices_first(first, code):
    """Where the second case no longer fails, torch does without what `ready_autograd` is for."""
    command = [sys.executable, "-W", "ignore", "-c", TRACE.format(first=first)]
    environment = {"CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin"}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(found.stdout) == code
