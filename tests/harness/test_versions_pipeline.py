"""DVC's own commands work on params, metrics and figures of the experiments."""

import json
import sys
from collections.abc import Callable

import pytest

from tests.harness.project_fixture import PROJECT, Bench

# What make would run, with the gates that have tests of their own opened.
COMMANDS = {
    "make --no-print-directory experiment TAG=next": "experiment next --allow dev-run,tests",
    "make --no-print-directory merge FROM=results/incoming": "merge results/incoming",
}


def with_pipeline(bench: Bench) -> None:
    """The template's dvc.yaml, and what its stages depend on."""
    text = (PROJECT / "dvc.yaml").read_text(encoding="utf-8")
    for make, ours in COMMANDS.items():
        assert make in text
        text = text.replace(make, f"{sys.executable} -m harness {ours}")
    bench.file("dvc.yaml", text)
    for name in ("PLAN.toml", "requirements.lock", "data/x.csv"):
        bench.file(name, "")
    for name in (".dvcignore", "results/incoming/.gitignore"):
        bench.file(name, (PROJECT / name).read_text(encoding="utf-8"))
    bench.commit()


@pytest.mark.slow
def test_dvc_runs_the_next_experiment_and_tells_two_apart(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(dvc=True)
    with_pipeline(bench)
    bench.run_dvc("repro")
    assert bench.git("tag") == "e0.0.1"
    first = bench.rows()
    assert "didn't change, skipping" in bench.run_dvc("repro")
    assert bench.git("tag") == "e0.0.1"

    bench.params('[Params("low", 0.25), Params("high", 0.9)]')
    bench.commit()
    bench.run_dvc("repro")
    assert bench.git("tag").split() == ["e0.0.1", "e0.1.0"]
    assert bench.rows() == first, "a re-run deletes nothing"
    assert "dvc.lock" in bench.git("ls-tree", "--name-only", "e0.1.0")

    params = json.loads(bench.run_dvc("params", "diff", "--json", "e0.0.1", "e0.1.0"))
    changed = params["results/latest/params.json"]["threshold"]
    assert changed == {"old": "[0.25, 0.75]", "new": "[0.25, 0.9]"}
    told = json.loads(bench.run_dvc("metrics", "diff", "--json", "e0.0.1", "e0.1.0"))
    assert "model=high, threshold=0.9.correct" in told["results/latest/metrics.json"]
    metrics = json.loads(bench.run_dvc("metrics", "show", "--json"))
    shown = metrics[""]["data"]["results/latest/metrics.json"]["data"]
    assert shown["model=low, threshold=0.25"]["correct"] == 0.5
    assert "index.html" in bench.run_dvc("plots", "diff", "e0.0.1", "e0.1.0", "-o", "dvc_plots")
    plots = (bench.root / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert "model=high, threshold=0.9" in plots
    assert "each metric of each configuration" in plots


@pytest.mark.slow
def test_dvc_merges_what_somebody_puts_into_incoming(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(dvc=True)
    with_pipeline(bench)
    bench.run_dvc("repro")
    other = bench.copy(bench.root.with_name("other"))
    other.params('[Params("low", 0.25), Params("top", 0.9)]')
    other.experiment("e0.5.0")
    here = bench.db.read_bytes()
    bench.run_dvc("repro")
    assert bench.db.read_bytes() == here, "nothing came in, so nothing is merged"

    bench.file("results/incoming/theirs.db", other.db.read_bytes())
    assert "results/benchmark.db" in bench.run_dvc("repro", "merge")
    assert {row["experiment_version"] for row in bench.rows("e0.5.0")} == {"e0.5.0"}
    assert len(bench.rows("e0.0.1")) == 8, "a stage deletes nothing"
    merged = bench.db.read_bytes()
    assert "didn't change, skipping" in bench.run_dvc("repro", "merge")
    assert bench.db.read_bytes() == merged
    assert bench.run_dvc("status", "results/benchmark.db.dvc").strip().endswith("up to date.")
    bench.git("add", "results/benchmark.db.dvc", "dvc.lock")
    bench.commit("merged")
    # What DVC repeats because dvc.lock was thrown away changes nothing either.
    bench.git("rm", "-q", "dvc.lock")
    bench.commit()
    assert "nothing new in results/incoming" in bench.run_dvc("repro", "merge")
    assert bench.db.read_bytes() == merged
