"""What cannot be asked is one clear sentence with its fix, and what is recorded stays."""

from pathlib import Path

import pytest

from tests.kinds.llm.conftest import LlmProject
from tests.kinds.llm.fault_server import FaultServer


def _grid(project: LlmProject, endpoint: str, more: str = "") -> None:
    project.grid(f'[Params("guide", 0, endpoint="{endpoint}", max_output_tokens=9{more})]')


@pytest.mark.slow
def test_an_endpoint_a_key_and_a_setting_that_are_wrong_are_named(
    project: LlmProject, tmp_path: Path
) -> None:
    project.setting("run", max_permanent_errors=1)
    with (
        FaultServer(tmp_path / "good") as good,
        FaultServer(tmp_path / "shut", lambda _: ["401"] * 9) as shut,
        FaultServer(tmp_path / "picky", refuses={"temperature"}) as picky,
    ):
        for name, server in (("good", good), ("shut", shut), ("picky", picky)):
            project.endpoint(name, server.url, api_key_env=f"{name.upper()}_KEY", model="faulty-1")
        _grid(project, "good")
        code, printed = project.experiment()
        assert code == 0, printed
        before = project.rows("results/benchmark.db")
        for endpoint, more, words in (
            ("nobody", "", "no endpoint is called 'nobody' (there are: "),
            ("shut", "", "SHUT_KEY, whose key is for [llm.endpoints.shut], is not set"),
            ("picky", ", temperature=0.5", "faulty-1 does not take temperature: leave it unset"),
        ):
            _grid(project, endpoint, more)
            code, printed = project.harness("dev-run", "--items=1")
            assert code != 0, printed
            assert words in printed
            assert "Traceback" not in printed
        assert "models.toml" in printed
        assert project.rows("results/benchmark.db") == before
