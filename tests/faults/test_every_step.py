"""Every step of an experiment: a signal, another command, git and DVC that fail."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.steps import STEPS, Stops
from tests.faults.test_faults import RUN, is_whole
from tests.harness.project_fixture import Bench, finished

PUSH = ("push", "-q", "origin", "HEAD", "refs/tags/e0.0.1")


def with_remote(bench: Bench) -> Path:
    remote = bench.root.with_name("remote.git")
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    bench.git("remote", "add", "origin", str(remote))
    return remote


def is_published(bench: Bench, remote: Path) -> None:
    """The remote has the one tag, at the commit that it names here."""
    asked = ["git", "-C", str(remote), "rev-parse", "e0.0.1^{commit}"]
    there = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    assert there == bench.git("rev-parse", "e0.0.1^{commit}")


@pytest.mark.parametrize(
    ("number", "dvc", "steps"),
    [
        pytest.param(signal.SIGKILL, False, STEPS[3::3], id="kill-some"),
        pytest.param(signal.SIGKILL, True, STEPS, id="kill"),
        pytest.param(signal.SIGTERM, False, STEPS, id="terminate"),
        pytest.param(signal.SIGINT, False, STEPS, id="interrupt"),
    ],
)
@pytest.mark.slow
def test_a_signal_at_each_step_in_turn_and_the_next_start_goes_on(
    make_bench: Callable[..., Bench], number: int, dvc: bool, steps: tuple[str, ...]
) -> None:
    bench = make_bench(fresh=True, dvc=dvc)
    bench.commit()
    remote = with_remote(bench)
    stops = Stops(bench)
    for step in steps:
        tagged = bench.git("tag") != ""
        done = finished(bench.start(*RUN, before=None, **stops.at(step, signal=number)))
        if tagged:
            assert done.code == 2, done.said
            assert "e0.0.1 is taken" in done.said
            break
        assert stops.reached(step), (step, done.said)
        # A run that is asked to stop ends its row first; what comes after it is cut off.
        allowed = (-number,) if number == signal.SIGKILL else (0, 1, 130, -number)
        assert done.code in allowed, (step, done.said)
        assert "Traceback" not in done.said, step
    done = bench.run(*RUN, expect=None)
    assert done.code in (0, 2), done.said
    if "not pushed" in done.said:
        bench.git(*PUSH)
    is_whole(bench, 4)
    is_published(bench, remote)


@pytest.mark.slow
def test_a_second_experiment_and_a_dev_run_at_each_step_of_one(
    make_bench: Callable[..., Bench],
) -> None:
    """The other experiment is refused by name; the dev phase is a world of its own."""
    bench = make_bench()
    bench.commit()
    stops = Stops(bench)
    steps = STEPS[:-1]
    first = bench.start(*RUN, before=None, **stops.at(*steps))
    for step in steps:
        assert stops.reached(step, 60), (step, finished(first, 5).said)
        other = bench.run("experiment", "e0.0.2", *RUN[2:], expect=2)
        assert "another run is writing" in other.said, step
        assert "the experiment e0.0.1" in other.said, step
        bench.run("dev-run")
        stops.go_on(step)
    done = finished(first)
    assert done.code == 0, done.said
    bench.forget()
    rows = bench.rows()
    assert len(rows) == len({row["task_key"] for row in rows}) == 8
    assert bench.git("tag") == "e0.0.1"
    bench.run("experiment", "e0.0.2", *RUN[2:])
    assert not bench.executed(), "what e0.0.1 computed is known to e0.0.2"


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["add", "push"])
def test_dvc_fails_in_the_middle_of_the_finish(
    make_bench: Callable[..., Bench], broken: str
) -> None:
    bench = make_bench(fresh=True, dvc=True)
    place = bench.root.with_name("storage")
    if broken == "add":
        hindered = bench.root / ".dvc/cache"
    else:
        hindered = place
        bench.run_dvc("remote", "add", "-d", "there", str(place))
    bench.commit()
    hindered.write_text("no folder")
    done = bench.run(*RUN, expect=None)
    assert done.code != 0, done.said
    assert "Traceback" not in done.said
    assert f"error: dvc {broken}" in done.said
    assert bench.git("tag") == ""
    assert len(bench.rows()) == 8
    hindered.unlink()
    bench.run(*RUN)
    is_whole(bench, 4)
