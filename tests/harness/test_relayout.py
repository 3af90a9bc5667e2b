"""Results move from one layout to another without losing a byte, and every command goes on."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.record.columns import quoted
from tests.harness.project_fixture import Bench
from tests.harness.test_merge import killed

LAYOUTS = ("append-only", "table-per-experiment", "database-per-experiment")
FITTED = """
from harness import Score

SCORES = {"correct": Score("proportion", better="higher")}


def score(row):
    return {"correct": row["prediction"] == row["ground_truth"]}
"""


@pytest.fixture(scope="module")
def _two(make_module_bench: Callable[[], Bench]) -> Bench:
    """e0.0.1 with fitted models (assets), e0.0.2 with a param and a result more, scored again."""
    bench = make_module_bench()
    bench.predict(
        "return {'prediction': item['x'] > resource, 'ground_truth': item['label']}",
        head="def fit(params, fold):\n    return params.threshold\n",
        resource=True,
    )
    bench.experiment("e0.0.1")
    bench.params('[Params("low", 0.25, 3)]', "model: str\nthreshold: float = 0.5\ndepth: int = 1")
    bench.predict("return {'prediction': True, 'ground_truth': item['label'], 'more': 1.5}")
    bench.experiment("e0.0.2", allow="dev-run,tests,schema")
    bench.score(FITTED.replace("==", "!="))
    bench.commit()
    bench.run("rescore", "e0.0.2")
    bench.commit("rescored")
    return bench


@pytest.fixture
def bench(_two: Bench, tmp_path: Path) -> Bench:
    return _two.copy(tmp_path / "bench")


def content(root: Path) -> set[tuple[str, str]]:
    """Every row, in whichever file; predictions by their columns that hold something."""
    found = set()
    for path in sorted((root / "results").glob("*.db")):
        with closing(sqlite3.connect(path)) as con:
            con.row_factory = sqlite3.Row
            tables = con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in tables:
                called = "predictions" if name.startswith("predictions") else name
                for row in con.execute(f"SELECT * FROM {quoted(name)}"):
                    values = {k: v for k, v in dict(row).items() if v is not None}
                    if name == "scores":
                        values.pop("predictions")  # the name of a table
                    found.add((called, repr(sorted(values.items()))))
    return found


def answers(bench: Bench) -> dict[str, Any]:
    """What commands say of the results."""
    said: dict[str, Any] = {
        tag: bench.run("summary", tag, expect=None).out for tag in ("e0.0.1", "e0.0.2")
    }
    query = "SELECT * FROM predictions ORDER BY experiment_version, task_key"
    said["sql"] = bench.run("sql", f"--query={query}", "--format=json").out
    said["validate"] = bench.run("validate", expect=None).out.count("error")
    return said


@pytest.mark.slow
def test_the_same_rows_and_answers_in_every_layout(bench: Bench) -> None:
    before, said = content(bench.root), answers(bench)
    first = bench.db.read_bytes()
    for layout in ("database-per-experiment", "table-per-experiment", "append-only"):
        told = bench.run("layout", layout).said
        assert f"the results are {layout}" in told
        assert "git add -A results benchmark.toml && git commit" in told
        assert f'layout = "{layout}"' in (bench.root / "benchmark.toml").read_text()
        bench.commit(layout)
        assert content(bench.root) == before
        assert answers(bench).items() >= {k: said[k] for k in ("e0.0.1", "e0.0.2")}.items()
        assert f"are {layout} already" in bench.run("layout", layout).said
        if layout == "database-per-experiment":
            assert not bench.db.exists()
            assert (bench.root / "results/e0.0.2.db").exists()
            bench.run("rescore", "e0.0.1")
            bench.git("checkout", "-q", "--", "results")
    assert (bench.root / "results/aside/benchmark.db.before-layout.1").read_bytes() == first
    bench.experiment("e0.0.3", allow="dev-run,tests,schema")
    assert not bench.executed().total() or len(bench.rows("e0.0.3")) == 4


def test_a_layout_that_cannot_be_changed_to_is_a_sentence(bench: Bench) -> None:
    refused = bench.run("layout", "folders", expect=2)
    assert "there is no layout 'folders'" in refused.said
    assert "table-per-experiment" in refused.said
    bench.git("checkout", "-q", "--detach")
    assert "no branch is checked out" in bench.run("layout", LAYOUTS[1], expect=2).said
    bench.git("switch", "-q", "feat/try")
    (bench.root / "results/e0.0.1.db").write_bytes(bench.db.read_bytes())
    bench.git("add", "-f", "results/e0.0.1.db")
    bench.commit("somebody's copy")
    refused = bench.run("layout", LAYOUTS[2], expect=2)
    assert "e0.0.1.db is recorded already" in refused.said
    assert 'layout = "' not in (bench.root / "benchmark.toml").read_text()
    assert bench.git("status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["database-per-experiment", "table-per-experiment"])
def test_a_kill_at_any_point_can_be_read_and_gone_on_from(
    bench: Bench, tmp_path: Path, layout: str
) -> None:
    said = bench.run("summary", "e0.0.1", expect=None).out
    bench.copy(tmp_path / "whole").run("layout", layout)
    wanted, left = content(tmp_path / "whole"), names_of(bench.at(tmp_path / "whole"))
    seen = set()
    # The last few are after the change itself, where what is left over is removed.
    for step in [*range(1, 20, 3), *range(20, 60)]:
        tried = bench.copy(tmp_path / f"bench{step}")
        if not killed(tried, step, "layout", layout):
            break
        assert tried.run("summary", "e0.0.1", expect=None).out == said, step
        seen.add(layout in (tried.root / "benchmark.toml").read_text())
        told = tried.run("layout", layout).said
        assert "git add -A results benchmark.toml && git commit" in told, step
        assert content(tried.root) == wanted, step
        assert names_of(tried) == left, step
    assert seen == {True, False}


def names_of(bench: Bench) -> set[str]:
    """What lies in results/ itself."""
    return {path.name for path in (bench.root / "results").iterdir() if path.suffix == ".db"}


@pytest.mark.slow
def test_dvc_follows_to_the_new_layout(tagged_by_dvc: Bench, tmp_path: Path) -> None:
    bench = tagged_by_dvc
    bench.run("layout", "database-per-experiment")
    bench.git("add", "-A", "results", "benchmark.toml")
    bench.commit("layout")
    assert not (bench.root / "results/benchmark.db.dvc").exists()
    assert (bench.root / "results/e0.0.1.db.dvc").exists()
    bench.experiment("e0.0.2")
    shared = tmp_path / "group"
    bench.run("shared-cache", str(shared))
    assert "cache.shared=group" in bench.run_dvc("config", "--list")
    kept = (bench.root / "results/e0.0.2.db").read_bytes()
    (bench.root / "results/e0.0.2.db").unlink()
    bench.run_dvc("checkout", "-q", "results/e0.0.2.db.dvc")
    assert (bench.root / "results/e0.0.2.db").read_bytes() == kept
    assert list(shared.rglob("files/md5/*/*"))
    bench.experiment("e0.0.3")
