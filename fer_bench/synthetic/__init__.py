"""Synthetic faces with known expression, laid out on disk as each dataset lays its files out.

The real datasets are licensed and cannot be shipped. These faces replace them: every reader, method and page
of the package works on them, and everything made from them says *synthetic*.
"""

from __future__ import annotations

GENERATOR_VERSION = "4"
"""Raised whenever the same seed gives other bytes; stored in every marker file."""
