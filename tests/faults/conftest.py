"""The fault suite uses the benchmark repositories of the harness's tests."""

from tests.harness.conftest import bench, home, make_bench, warm

__all__ = ["bench", "home", "make_bench", "warm"]
