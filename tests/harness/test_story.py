"""A year in short: two people, several places; all merged, promoted, and found again."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import LONG_SECONDS, OPENED, Bench, finished
from tests.harness.test_merge_driver import WHO, merged, ready_to_merge
from tests.harness.test_published import clone, shared

LOAD = """
    lines = Path("data/items.csv").read_text().splitlines()
    return [{"id": f"i{n}", "x": float(x), "label": n % 2 == 0} for n, x in enumerate(lines)]
"""
FIT = "def fit(params, fold):\n    return {'threshold': params.threshold}\n"
PREDICT = """
return {
    "prediction": item["x"] > resource["threshold"],
    "ground_truth": item["label"],
    "raw_response": str(item["x"]),
}
"""
OTHER = PREDICT.replace(">", "<=")
ALLOW = f"{OPENED},schema,tag"
TAGS = ("e0.1.0", "e0.2.0", "e0.3.0", "e1.0.0", "e1.1.0")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def published(bench: Bench, tag: str) -> dict[str, str]:
    """What a tag stands for: database, data, summary, figures."""
    names = ("results/benchmark.db", "data/items.csv", f"results/{tag}.md", f"results/{tag}.json")
    return {name: digest(bench.root / name) for name in names}


def merge(bench: Bench, branch: str) -> None:
    done = merged(bench, branch)
    assert done.returncode == 0, done.stdout + done.stderr
    bench.run_dvc("checkout", "-q")


@pytest.mark.slow
def test_every_experiment_of_everybody_comes_back_from_a_fresh_clone(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench(dvc=True)
    bench.run_dvc("remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    ready_to_merge(bench)
    bench.dataset(LOAD)
    bench.file("data/items.csv", "".join(f"{n / 20}\n" for n in range(20)))
    bench.run("data")
    bench.predict(PREDICT, head=FIT, resource=True)
    shared(bench, tmp_path)
    truth: dict[str, dict[str, str]] = {}

    # A baseline, and a sweep.
    bench.experiment("e0.1.0")
    truth["e0.1.0"] = published(bench, "e0.1.0")
    bench.params('[Params("low", 0.25), Params("high", 0.75), Params("half", 0.5)]')
    bench.experiment("e0.2.0")
    truth["e0.2.0"] = published(bench, "e0.2.0")

    # A colleague begins here, and two worktrees: one with other code, one with other data.
    colleague = clone(bench, tmp_path / "colleague")
    bench.run("worktree", "code")
    bench.run("worktree", "data")
    code, data = (bench.at(bench.root.with_name(f"bench-{name}")) for name in ("code", "data"))
    code.predict(OTHER, head=FIT, resource=True)
    code.commit()
    data.file("data/items.csv", "".join(f"{n / 10}\n" for n in range(24)))
    data.run("data")
    data.commit()
    running = [
        each.start("experiment", tag, "--allow", ALLOW)
        for each, tag in ((code, "e1.0.0"), (data, "e1.1.0"))
    ]
    for process in running:
        done = finished(process, 3 * LONG_SECONDS)
        assert done.code == 0, done.said
    truth["e1.0.0"], truth["e1.1.0"] = published(code, "e1.0.0"), published(data, "e1.1.0")

    ready_to_merge(colleague)
    colleague.run_dvc("pull", "-q")
    colleague.git("switch", "-q", "-c", "exp/colleague")
    colleague.params('[Params("low", 0.25), Params("theirs", 0.6)]')
    colleague.experiment("e0.3.0", allow=ALLOW)
    truth["e0.3.0"] = published(colleague, "e0.3.0")

    # All of it comes together.
    bench.git("fetch", "-q", "--tags", "origin", "exp/colleague:refs/remotes/origin/exp/colleague")
    for branch in ("exp/code", "exp/data", "origin/exp/colleague"):
        merge(bench, branch)
    have = bench.sql("SELECT experiment_version AS e, count(*) AS n FROM predictions GROUP BY 1")
    assert {row["e"]: row["n"] for row in have} == {
        "e0.1.0": 40, "e0.2.0": 60, "e0.3.0": 40, "e1.0.0": 60, "e1.1.0": 72
    }  # fmt: skip
    assert "error" not in bench.run("validate", expect=None).out

    # The winner is promoted, on evidence.
    bench.run("model", "add", "e0.1.0:model=low")
    bench.run("model", "promote", "e0.1.0:model=low")
    bench.run("model", "add", "e1.0.0:model=half")
    bench.run("model", "promote", "e1.0.0:model=half", "--force")
    bench.run("model", "get", "production", "--out=winner.pkl")
    winner = digest(bench.root / "winner.pkl")
    (bench.root / "winner.pkl").unlink()
    bench.commit("all together")
    bench.run_dvc("push", "-q")
    bench.git("push", "-q", "--tags", "origin", "HEAD")

    # Everything that is only here goes.
    for name in ("code", "data"):
        branch = f"exp/{name}"
        bench.git("push", "-q", "origin", branch, check=False)
        bench.run("worktree-remove", name)
        assert bench.git("branch", "--list", branch) == ""
    shutil.rmtree(bench.root / ".dvc/cache")
    shutil.rmtree(bench.root / ".cache")
    shutil.rmtree(colleague.root)

    fresh = clone(bench, tmp_path / "fresh")
    fresh.run_dvc("pull", "-q")
    fresh.run("model", "get", "production", "--out=winner.pkl")
    assert digest(fresh.root / "winner.pkl") == winner
    (fresh.root / "winner.pkl").unlink()
    for one in TAGS:
        for other in TAGS:
            if one < other:
                said = fresh.run("compare", one, other, "--force", expect=None)
                assert said.code in (0, 1), said.said
    assert "error" not in fresh.run("validate", expect=None).out
    for tag in TAGS:
        fresh.git("checkout", "-q", tag)
        fresh.run_dvc("pull", "-q", "--force")
        assert published(fresh, tag) == truth[tag], tag
    fresh.git("switch", "-q", "feat/try")
    assert len(fresh.git(*WHO, "tag").split()) == len(TAGS)
