from tests.results.conftest import make

__all__ = ["make"]
