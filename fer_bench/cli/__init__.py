"""The command line: one module per group of commands."""

import sys

from fer_bench.allocator import keep_memory
from fer_bench.arithmetic import keep_numpy_portable
from fer_bench.errors import UsageError, require_supported_platform

try:  # before a command imports what only these systems have
    require_supported_platform()
except UsageError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
keep_memory()  # before processes are forked, which keep it too
keep_numpy_portable()  # before a command imports numpy
