from tests.runs.conftest import plan, workspace

__all__ = ["plan", "workspace"]
