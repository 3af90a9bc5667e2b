"""Whatever breaks: one more `make experiment` finishes it, or one sentence says what is wrong.

Kills at any moment are in tests/harness/test_killed.py, damaged databases in
test_damaged_database.py; `make test-faults` runs them too.
"""

import os
import random
import resource
import signal
import stat
import time
from collections.abc import Callable

import pytest

from tests.harness.project_fixture import OPENED, Bench, eventually, finished, once_each

SLOW = "time.sleep(0.02)\nreturn {'prediction': item['x'] > 0.5, 'ground_truth': item['label']}"
RUN = ("experiment", "e0.0.1", "--allow", OPENED)


def is_whole(bench: Bench, items: int, again: int = 0) -> None:
    """One row and one execution for each datapoint, one tag, nothing left to commit.

    `again`: how many executions kills may have cost.
    """
    assert len(bench.rows()) == 2 * items
    if again:
        assert set(bench.executed()) == set(once_each(["low", "high"], items))
        assert bench.executed().total() <= 2 * items + again
    else:
        assert bench.executed() == once_each(["low", "high"], items)
    assert bench.git("tag") == "e0.0.1"
    assert bench.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("number", "seed"),
    [
        pytest.param(signal.SIGTERM, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 3, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 4, marks=pytest.mark.slow),
    ],
)
def test_a_signal_at_any_moment_up_to_the_tag(
    make_bench: Callable[..., Bench], number: int, seed: int
) -> None:
    """Also while it starts, scores, validates, commits and tags.

    What may end in peace cuts off nothing; a kill costs what was in flight and the last rows.
    """
    bench = make_bench(fresh=True)
    bench.items(10)
    bench.predict(SLOW, head="import time")
    bench.commit()
    chance = random.Random(seed)
    for _ in range(3):
        if bench.git("tag"):
            break  # the signal before came after it
        process = bench.start(*RUN)
        begun = len(bench.traced("ran"))
        until = time.monotonic() + chance.uniform(0.5, 20)
        while process.poll() is None and time.monotonic() < until:
            if len(bench.traced("ran")) > begun + chance.randrange(1, 12):
                time.sleep(chance.uniform(0, 1))
                break
            time.sleep(0.01)
        process.send_signal(number)
        done = finished(process)
        assert done.code in (0, 1, 130, -number), done.said
        if done.code != -number:  # before Python could set up anything
            assert "Traceback" not in done.err or number == signal.SIGINT
    bench.run(*RUN, expect=None)  # 2 where the kill came after the tag
    # At 20 ms a datapoint, a kill costs one in flight and what 50 ms and a busy machine add.
    is_whole(bench, 10, again=3 * 10 if number == signal.SIGKILL else 0)


@pytest.mark.slow
def test_two_experiments_at_once_in_one_repository(make_bench: Callable[..., Bench]) -> None:
    """One of them runs, to its tag; the other says who does."""
    bench = make_bench(fresh=True)
    bench.items(10)
    bench.predict(SLOW, head="import time")
    bench.commit()
    both = [finished(each) for each in [bench.start(*RUN), bench.start(*RUN)]]
    codes = sorted(done.code for done in both)
    assert codes[0] == 0, [done.said for done in both]
    for done in both:
        assert "Traceback" not in done.said
    is_whole(bench, 10)


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["commit", "tag"])
def test_git_fails_in_the_middle_of_the_finish(
    make_bench: Callable[..., Bench], broken: str
) -> None:
    bench = make_bench(fresh=True)
    bench.commit()
    shims = bench.root.with_name("shims")
    shims.mkdir()
    real = os.popen("command -v git").read().strip()
    shim = shims / "git"
    fail = '{ echo "disk on fire" >&2; exit 128; }'
    shim.write_text(
        f'#!/bin/sh\nfor word; do [ "$word" = {broken} ] && {fail}; done\nexec {real} "$@"\n'
    )
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    path = f"{shims}{os.pathsep}{os.environ['PATH']}"
    failed = bench.run(*RUN, expect=None, PATH=path)
    assert failed.code != 0
    assert "disk on fire" in failed.said
    assert "Traceback" not in failed.said
    assert bench.git("tag") == ""
    bench.run(*RUN)
    is_whole(bench, 4)


@pytest.mark.slow
def test_a_disk_that_is_full_is_said_and_what_is_recorded_stays(
    make_bench: Callable[..., Bench],
) -> None:
    """A limit on the size of a file stands for the disk: SQLite sees the same failed write."""
    bench = make_bench(fresh=True)
    bench.items(200)
    bench.predict(
        'return {"prediction": 1, "ground_truth": 1, "raw_response": "x" * 5000}', head=""
    )
    bench.commit()

    def little() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))

    done = bench.run(*RUN, expect=None, before=little)
    assert done.code != 0
    assert "Traceback" not in done.said
    before = len(bench.executed())
    bench.run(*RUN)
    assert len(bench.rows()) == 400
    assert bench.git("tag") == "e0.0.1"
    assert before <= 400


EDITS = {
    "src/benchmark/predict.py": ("> 0.5", "> 0.6"),
    "src/benchmark/params.py": ("0.75", "0.8"),
    "data/words.txt": ("one", "two"),
}


def has_begun(bench: Bench, more_than: int) -> bool:
    return eventually(lambda: len(bench.traced("ran")) > more_than, 60)


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "threads", "processes", "async", "dask"])
def test_what_is_edited_during_a_run_is_never_tagged(
    make_bench: Callable[..., Bench], executor: str
) -> None:
    """Code, params and data in turn; put back, the same command finishes the experiment."""
    if executor == "dask":
        pytest.importorskip("distributed")
    bench = make_bench(fresh=True)
    bench.settings(run={"executor": executor, "workers": 2}, key={"files": ["data/words.txt"]})
    bench.file("data/words.txt", "one\n")
    bench.items(60)
    bench.predict(SLOW.replace("time.sleep", "await asyncio.sleep"), head="import asyncio")
    predict = bench.root / "src/benchmark/predict.py"
    bench.file(
        "src/benchmark/predict.py", predict.read_text().replace("def pred", "async def pred")
    )
    bench.commit()
    for name, (old, new) in EDITS.items():
        path = bench.root / name
        before = path.read_text()
        begun = len(bench.traced("ran"))
        process = bench.start(*RUN)
        assert has_begun(bench, begun + 4)
        path.write_text(before.replace(old, new))
        done = finished(process)
        assert done.code == 1, (name, done.said)
        assert name in done.said
        assert bench.git("tag") == ""
        path.write_text(before)
    bench.run(*RUN)
    assert len(bench.rows()) == 120
    assert bench.git("tag") == "e0.0.1"
