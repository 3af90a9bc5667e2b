"""A benchmark with a past: two experiments on one branch, and one on a branch of its own."""

from tests.harness.project_fixture import OPENED, Bench

WHO = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
PLAN = """
questions = ["Is high better than low?"]

[[hypotheses]]
id = "h1"
claim = "high beats low"
metric = "correct"
better = {model = "high"}
than = {model = "low"}
direction = "higher"
smallest_difference = 0.01
"""
PARAMS = """
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Params:
    model: str
    threshold: float = 0.5


GRID = [Params("low", 0.25), Params("high", {high})]


def files(params):
    return ["prompts/ask.txt"]
"""
BETTER = """
return {
    "prediction": item["x"] > params.threshold or item["label"],
    "ground_truth": item["label"],
    "raw_response": {"x": item["x"]},
}
"""


def with_a_past(bench: Bench) -> Bench:
    """e0.0.1 (first), e0.1.0 (beside) on feat/beside, e1.0.0 (second) on feat/try after e0.0.1."""
    bench.items(40)
    bench.file("PLAN.toml", PLAN)
    bench.file("prompts/ask.txt", "How high?\n")
    bench.file("data/notes.csv", "a\n1\n")
    bench.file("src/benchmark/params.py", PARAMS.format(high=0.75))
    _experiment(bench, "e0.0.1", "first")
    bench.git("switch", "-q", "-c", "feat/beside")
    bench.file("src/benchmark/params.py", PARAMS.format(high=0.8))
    _experiment(bench, "e0.1.0", "beside")
    bench.git("switch", "-q", "feat/try")
    bench.file("src/benchmark/params.py", PARAMS.format(high=0.9))
    bench.file("prompts/ask.txt", "How high is it?\n")
    bench.file("data/notes.csv", "a\n2\n")
    bench.predict(BETTER)
    _experiment(bench, "e1.0.0", "second")
    return bench


def _experiment(bench: Bench, tag: str, message: str) -> None:
    bench.commit()
    bench.run("experiment", tag, "--allow", OPENED, "--message", message)


def state(bench: Bench) -> tuple[str, str, bytes]:
    """All that looking could harm: what is checked out, the tree with its index, the database."""
    status = bench.git("status", "--porcelain", "--ignored", "--untracked-files=all")
    return bench.git("rev-parse", "HEAD"), status, bench.db.read_bytes()
