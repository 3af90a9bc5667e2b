"""DVC's own commands work on params, metrics and figures of the experiments."""

import json
import sys
from collections.abc import Callable

import pytest

from tests.harness.project_fixture import PROJECT, Bench

COMMAND = "make --no-print-directory experiment TAG=next"


@pytest.mark.slow
def test_dvc_runs_the_next_experiment_and_tells_two_apart(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(dvc=True)
    text = (PROJECT / "dvc.yaml").read_text(encoding="utf-8")
    assert COMMAND in text
    ours = f"{sys.executable} -m harness experiment next --allow dev-run,tests"
    bench.file("dvc.yaml", text.replace(COMMAND, ours))
    for name in ("PLAN.toml", "requirements.lock", "data/x.csv"):
        bench.file(name, "")
    for name in (".dvcignore", "results/incoming/.gitignore"):
        bench.file(name, (PROJECT / name).read_text(encoding="utf-8"))
    bench.commit()
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
    assert changed == {"old": [0.25, 0.75], "new": [0.25, 0.9]}
    metrics = json.loads(bench.run_dvc("metrics", "show", "--json"))
    shown = metrics[""]["data"]["results/latest/metrics.json"]["data"]
    assert shown["model=low, threshold=0.25"]["correct"] == 0.5
    assert "index.html" in bench.run_dvc("plots", "diff", "e0.0.1", "e0.1.0", "-o", ".dev/plots")
