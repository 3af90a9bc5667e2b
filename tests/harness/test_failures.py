"""Promise 3, Failures are rows: with type, message and attempts; never cached; tried again."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.project_fixture import OPENED, Bench, Done, eventually, finished, once_each

EXECUTORS = ["serial", "threads", "processes"]
ACCEPTED = f"{OPENED},failures"
GOOD = 'return {"prediction": 1, "ground_truth": 1}'


def settings(bench: Bench, executor: str = "serial", **more: Any) -> None:
    """Two workers and quick retries; a key goes to the section that has it."""
    retry = {"wait_seconds": 0.01, "max_wait_seconds": 0.05}
    retry |= {k: more.pop(k) for k in ("attempts", "errors", "wait_seconds") if k in more}
    bench.settings(run={"executor": executor, "workers": 2, **more}, retry=retry)


def by_item(bench: Bench, *names: str, experiment: str = "dev") -> dict[str, Any]:
    """Some columns of each row of the configuration `low`, by item."""
    return {
        row["input_id"]: tuple(row[name] for name in names)
        for row in bench.rows(experiment)
        if row["params_model"] == "low"
    }


@pytest.mark.parametrize("executor", EXECUTORS)
def test_failures_are_rows(bench: Bench, executor: str) -> None:
    settings(bench, executor)
    bench.items(5)
    bench.predict(
        f"""
        name = item["id"]
        if name == "i1":
            raise LookupError("nobody there")
        if name == "i2":
            return {{"error": "too hot", "error_type": "Overheated", "heat": 99}}
        if name == "i3":
            return {{"error": "just so"}}
        {GOOD}
        """
    )
    failed = bench.experiment("e0.0.1", expect=1)
    assert "6 datapoints failed" in failed.said
    assert "e0.0.1" not in bench.git("tag")
    found = by_item(bench, "error_type", "error", "attempts", "prediction", experiment="e0.0.1")
    assert found == {
        "i0": (None, None, 1, 1),
        "i1": ("LookupError", "nobody there", 1, None),
        "i2": ("Overheated", "too hot", 1, None),
        "i3": ("ReturnedError", "just so", 1, None),
        "i4": (None, None, 1, 1),
    }
    assert by_item(bench, "heat", experiment="e0.0.1")["i2"] == (99,)
    # Never cached: the same start tries exactly the failed ones again, the next experiment as well.
    bench.forget()
    bench.experiment("e0.0.1", expect=1)
    again = Counter((model, item) for model in ("low", "high") for item in ("i1", "i2", "i3"))
    assert bench.executed() == again
    assert len(bench.rows()) == 10
    bench.forget()
    bench.experiment("e0.0.2", allow=ACCEPTED)
    assert bench.executed() == again
    assert bench.git("tag") == "e0.0.2"


def test_a_failed_row_is_kept_until_a_later_start_replaces_it(bench: Bench) -> None:
    bench.predict(f'if not os.path.exists("../fixed"):\n    1 / 0\n{GOOD}', head="import os")
    settings(bench, max_errors=3)
    bench.experiment("e0.0.1", expect=1)
    assert {row["error_type"] for row in bench.rows()} == {"ZeroDivisionError"}
    first = {row["task_key"]: row for row in bench.rows()}
    bench.experiment("e0.0.1", expect=1)
    assert set(first) <= {row["task_key"] for row in bench.rows()}
    bench.root.with_name("fixed").touch()
    bench.experiment("e0.0.1")
    rows = bench.rows()
    assert len(rows) == 8
    assert {(row["error"], row["error_type"], row["cache"]) for row in rows} == {(None, None, "")}


# -- attempts


@pytest.mark.parametrize("executor", EXECUTORS)
def test_transient_errors_are_tried_again(bench: Bench, executor: str) -> None:
    settings(bench, executor, attempts=3, errors=["LookupError"])
    bench.params('[Params("low")]')
    bench.items(6)
    bench.predict(
        """
        name = item["id"]
        tries = counts[name] = counts.get(name, 0) + 1
        if name == "i1" and tries < 3:
            raise TransientError("busy")
        if name == "i2":
            raise TransientError("always busy")
        if name == "i3" and tries < 2:
            raise KeyError("a LookupError by inheritance")
        if name == "i4":
            raise ValueError("not named")
        if name == "i5" and tries < 2:
            return {"error": "busy", "error_type": "TransientError"}
        return {"prediction": tries, "ground_truth": 1}
        """,
        head="from harness import TransientError\ncounts = {}",
    )
    bench.dev_run(expect=1)
    assert by_item(bench, "attempts", "error_type", "error") == {
        "i0": (1, None, None),
        "i1": (3, None, None),
        "i2": (3, "TransientError", "always busy"),
        "i3": (2, None, None),
        "i4": (1, "ValueError", "not named"),
        "i5": (2, None, None),
    }
    assert sum(bench.executed().values()) == 1 + 3 + 3 + 2 + 1 + 2


def test_one_attempt_means_never_again(bench: Bench) -> None:
    settings(bench, attempts=1)
    bench.predict('raise TransientError("no")', head="from harness import TransientError")
    bench.dev_run(expect=1)
    assert set(bench.executed().values()) == {1}


def test_the_wait_that_a_server_asks_for_is_kept(bench: Bench) -> None:
    settings(bench, attempts=2, wait_seconds=0.0)
    bench.params('[Params("low")]')
    bench.items(2)
    bench.predict(
        """
        tries = counts[item["id"]] = counts.get(item["id"], 0) + 1
        if tries < 2:
            raise TransientError("slow down", retry_after=0.6 if item["id"] == "i0" else 0.0)
        return {"prediction": 1, "ground_truth": 1}
        """,
        head="from harness import TransientError\ncounts = {}",
    )
    bench.dev_run()
    at = {
        name: [t for words, t in bench.traced("ran") if words[1] == name] for name in ("i0", "i1")
    }
    assert 0.6 <= (at["i0"][1] - at["i0"][0]) / 1e9 < 1.5
    assert (at["i1"][1] - at["i1"][0]) / 1e9 < 0.4
    # function_time holds attempts and waits, latency the last attempt alone.
    times = by_item(bench, "function_time", "latency")
    assert times["i0"][0] >= 0.6
    assert times["i0"][1] < 0.3


# -- limits


@pytest.mark.parametrize("executor", EXECUTORS)
def test_permanent_errors_stop_the_run_soon(bench: Bench, executor: str) -> None:
    settings(bench, executor, max_permanent_errors=3, attempts=3)
    bench.items(200)
    bench.predict(
        'raise PermanentError("no such model")', head="from harness import PermanentError"
    )
    stopped = bench.experiment("e0.0.1", expect=1)
    assert "max_permanent_errors" in stopped.said
    assert 3 <= sum(bench.executed().values()) <= 3 + 2 * 2
    assert max(bench.executed().values()) == 1
    rows = bench.rows()
    assert len(rows) == sum(bench.executed().values())
    assert {row["error_type"] for row in rows} == {"PermanentError"}
    assert bench.sql("SELECT ended_how FROM runs") == [{"ended_how": "failed-limit"}]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_run_that_is_going_nowhere_stops(bench: Bench, executor: str) -> None:
    settings(bench, executor, max_errors=5)
    bench.items(300)
    bench.predict('raise ValueError("no")')
    stopped = bench.experiment("e0.0.1", expect=1)
    assert "max_errors" in stopped.said
    assert 5 <= sum(bench.executed().values()) <= 5 + 2 * 2
    assert len(bench.rows()) == sum(bench.executed().values())


def test_no_limit_on_errors_runs_to_the_end(bench: Bench) -> None:
    settings(bench, max_errors=0)
    bench.items(120)
    bench.predict('raise ValueError("no")')
    bench.dev_run(expect=1)
    assert bench.executed() == once_each(["low", "high"], 120)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_on_error_stop_lets_only_what_is_in_flight_finish(bench: Bench, executor: str) -> None:
    settings(bench, executor, on_error="stop")
    bench.items(200)
    # The others take a moment, so that the failure is known before many of them are done.
    bench.predict(
        f'if item["id"] == "i7":\n    raise ValueError("no")\ntime.sleep(0.02)\n{GOOD}',
        "import time",
    )
    stopped = bench.dev_run(expect=1)
    assert "on_error" in stopped.said
    assert 8 <= sum(bench.executed().values()) <= 8 + 3 * 2
    assert len(bench.rows("dev")) == sum(bench.executed().values())


def test_a_failure_counts_as_wrong_unless_the_score_leaves_it_out(bench: Bench) -> None:
    bench.params('[Params("low")]')
    bench.predict(f'if item["id"] == "i3":\n    raise ValueError("no")\n{GOOD}')
    settings(bench)
    for policy, correct in (("", 0.75), (', failure="left out"', 1.0)):
        bench.score(
            f"""
            from harness import Score

            SCORES = {{"correct": Score("proportion", better="higher"{policy})}}


            def score(row):
                return {{"correct": row["prediction"] == row["ground_truth"]}}
            """
        )
        bench.dev_run(expect=1)
        [metrics] = bench.sql("SELECT * FROM metrics", bench.dev_db)
        assert (metrics["n"], metrics["failed"], metrics["correct"]) == (4, 1, correct), policy
        assert metrics["latency_n"] == metrics["executed"]
        assert len(bench.rows("dev")) == 4


LOWER = """
[[hypotheses]]
id = "H1"
claim = "A threshold of 0.75 misses less than one of 0.25 does."
metric = "missed"
better = { threshold = 0.75 }
than = { threshold = 0.25 }
direction = "lower"
smallest_difference = 0.1
"""


def test_where_less_is_better_a_failure_counts_as_one_and_the_lowest_is_the_best(
    bench: Bench,
) -> None:
    bench.file("PLAN.toml", LOWER)
    settings(bench)
    bench.items(40)
    metrics = 'def score(row):\n    return {"missed": row["prediction"] != row["ground_truth"]}\n'
    skipping = (
        'from harness import Score\nSCORES = {"missed": Score("proportion", failure="left out")}\n'
    )
    broken = 'if item["x"] >= 0.75 and params.model == "high":\n    raise ValueError("no")\n'
    bench.predict(broken + GOOD)
    for policy, missed in ((skipping, 0.0), ("", 0.25)):
        bench.file("src/benchmark/metrics.py", policy + metrics)
        bench.dev_run(expect=1)
        found = bench.sql("SELECT missed FROM metrics ORDER BY params_threshold", bench.dev_db)
        assert [row["missed"] for row in found] == [0.0, missed], policy
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", f"{OPENED},failures,plan")
    first = bench.git("for-each-ref", "refs/tags/e0.0.1", "--format=%(contents)").splitlines()[0]
    assert first.startswith("model=low threshold=0.25 | missed=0 | ")
    said = bench.run("summary", "e0.0.1").said
    assert r"| 0.250 \[0.142, 0.402\] |" in said


# -- time


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_prediction_that_takes_too_long_is_a_row_and_the_rest_goes_on(
    bench: Bench, executor: str
) -> None:
    settings(bench, executor, timeout_seconds=0.5)
    bench.params('[Params("low")]')
    bench.items(8)
    bench.predict(
        f"""
        if item["id"] in ("i1", "i2", "i3", "i4"):
            try:
                time.sleep(30)
            except Exception:
                pass
        {GOOD}
        """,
        head="import time",
    )
    start = time.monotonic()
    bench.dev_run(expect=1)
    assert time.monotonic() - start < 25
    rows = by_item(bench, "error_type", "error", "attempts")
    late = ("PredictionTimeout", "took longer than 0.5 s ([run] timeout_seconds)", 1)
    assert rows == {f"i{n}": late if 1 <= n <= 4 else (None, None, 1) for n in range(8)}
    for seconds, _ in (by_item(bench, "function_time", "latency")[f"i{n}"] for n in range(1, 5)):
        assert 0.5 <= seconds < 5
    assert bench.executed() == once_each(["low"], 8)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_native_code_that_never_looks_up_is_timed_out_too(bench: Bench, executor: str) -> None:
    settings(bench, executor, timeout_seconds=0.5)
    bench.params('[Params("low")]')
    bench.predict(
        f"""
        if item["id"] == "i1":
            hashlib.pbkdf2_hmac("sha512", b"a", b"b", 10**9)  # half an hour in C
        {GOOD}
        """,
        head="import hashlib",
    )
    start = time.monotonic()
    bench.dev_run(expect=1)
    assert time.monotonic() - start < 25
    assert by_item(bench, "error_type") == {
        "i0": (None,),
        "i1": ("PredictionTimeout",),
        "i2": (None,),
        "i3": (None,),
    }


@pytest.mark.parametrize("executor", EXECUTORS)
def test_loading_the_resource_does_not_count_as_time_of_the_prediction(
    bench: Bench, executor: str
) -> None:
    settings(bench, executor, timeout_seconds=0.5)
    bench.params('[Params("low")]')
    bench.predict(
        GOOD,
        head="import time\n\n\ndef load(params):\n    time.sleep(1)\n    return 1\n",
        resource=True,
    )
    bench.dev_run()
    assert bench.executed() == once_each(["low"], 4)
    assert all(seconds < 0.5 for (seconds,) in by_item(bench, "function_time").values())


@pytest.mark.parametrize("executor", EXECUTORS)
def test_waits_between_attempts_do_not_count_as_time_of_the_prediction(
    bench: Bench, executor: str
) -> None:
    """The limit is on one call of predict: who waits because a server asked for it is not slow."""
    settings(bench, executor, timeout_seconds=0.5, attempts=2)
    bench.params('[Params("low")]')
    bench.items(2)
    bench.predict(
        f"""
        tries = counts[item["id"]] = counts.get(item["id"], 0) + 1
        if tries < 2:
            raise TransientError("later", retry_after=0.9)
        {GOOD}
        """,
        head="from harness import TransientError\ncounts = {}",
    )
    bench.dev_run()
    assert by_item(bench, "error_type", "attempts") == {"i0": (None, 2), "i1": (None, 2)}
    assert all(seconds >= 0.9 for (seconds,) in by_item(bench, "function_time").values())


# -- predict that is careless


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_predict_changes_in_an_item_reaches_no_other_datapoint(
    bench: Bench, executor: str
) -> None:
    """No other attempt, repeat or configuration, and no key: it is the same in every executor."""
    settings(bench, executor, repeats=2, attempts=2)
    bench.dataset("return items")
    path = bench.root / "src/benchmark/dataset.py"
    made = "items = [{'id': 'i0', 'words': ['a']}, {'id': 'i1', 'words': ['a']}]\n"
    bench.file("src/benchmark/dataset.py", path.read_text() + made)
    bench.predict(
        """
        item["words"].append("b")
        words = len(item.pop("words"))
        item.clear()
        tries.made = getattr(tries, "made", 0) + 1
        if tries.made % 2:
            raise TransientError("busy")
        return {"prediction": words, "ground_truth": 2}
        """,
        head="import threading\nfrom harness import TransientError\ntries = threading.local()",
    )
    bench.dev_run()
    rows = bench.rows("dev")
    assert Counter(row["input_id"] for row in rows) == {"i0": 4, "i1": 4}
    assert {row["prediction"] for row in rows} == {2}
    bench.forget()
    bench.dev_run()
    assert not bench.executed()


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_processes_that_predict_forks_are_its_own(
    make_bench: Callable[..., Bench], executor: str
) -> None:
    """multiprocessing ends its processes by SIGTERM; that stops them, and not the run."""
    bench = make_bench(fresh=True)
    # One worker: two threads that fork at once are unsafe in themselves, whoever started them.
    bench.settings(run={"executor": executor, "workers": 1})
    bench.items(2)
    bench.predict(
        """
        begun = fork.Event()
        child = fork.Process(target=work, args=(begun,))
        child.start()
        begun.wait()
        child.terminate()
        child.join(10)
        return {"prediction": child.exitcode, "ground_truth": 1}
        """,
        head="""
        import multiprocessing
        import time
        fork = multiprocessing.get_context("fork")
        def work(begun):
            begun.set()
            time.sleep(15)
        """,
    )
    done = bench.run("dev-run")
    assert {row["prediction"] for row in bench.rows("dev")} == {-signal.SIGTERM}
    assert "stopping" not in done.said


@pytest.mark.parametrize("executor", EXECUTORS)
def test_predict_may_go_to_another_folder(bench: Bench, executor: str) -> None:
    settings(bench, executor)
    bench.predict(f'os.chdir("/")\n{GOOD}', head="import os")
    bench.experiment("e0.0.1")
    assert len(bench.rows()) == 8
    assert bench.git("tag") == "e0.0.1"


# -- workers that die


@pytest.mark.parametrize(
    "death",
    [
        "os._exit(3)",
        "os.kill(os.getpid(), 9)",
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "os._exit(1)",
    ],
)
def test_a_worker_that_dies_takes_only_its_own_datapoint_along(bench: Bench, death: str) -> None:
    settings(bench, "processes", timeout_seconds=20)
    bench.params('[Params("low")]')
    bench.items(6)
    bench.predict(f'if item["id"] == "i2":\n    {death}\n{GOOD}', head="import os\nimport signal")
    bench.dev_run(expect=1)
    rows = by_item(bench, "error_type", "prediction")
    assert rows == {f"i{n}": ("WorkerDied", None) if n == 2 else (None, 1) for n in range(6)}
    assert bench.executed() == once_each(["low"], 6)


# -- errors of every kind


@pytest.mark.parametrize("executor", EXECUTORS)
def test_whatever_predict_throws_becomes_a_row(bench: Bench, executor: str) -> None:
    settings(bench, executor, max_errors=0)
    bench.params('[Params("low")]')
    bench.items(11)
    bench.predict(
        """
        what = item["id"]
        if what == "i0":
            raise Mute()
        if what == "i1":
            raise Broken()
        if what == "i2":
            sys.exit(0)
        if what == "i3":
            return predict(item, params)
        if what == "i4":
            raise ValueError("\\ud800 and \\x00 and [red]markup[/]")
        if what == "i5":
            raise ExceptionGroup("both", [ValueError(1), KeyError(2)])
        if what == "i6":
            raise Unpicklable(lambda: 1)
        if what == "i7":
            raise MemoryError
        if what == "i8":
            raise asyncio.CancelledError("given up")
        if what == "i9":
            return {"error": ""}
        return {"prediction": 1, "ground_truth": 1}
        """,
        head="""
        import asyncio
        import sys
        class Mute(Exception): pass
        class Broken(Exception):
            def __str__(self): raise RuntimeError("no words")
        class Unpicklable(Exception): pass
        sys.setrecursionlimit(200)
        """,
    )
    done = bench.dev_run(expect=1)
    assert "Traceback" not in done.said
    rows = by_item(bench, "error_type", "error")
    assert [rows[f"i{n}"][0] for n in range(11)] == [
        "Mute",
        "Broken",
        "SystemExit",
        "RecursionError",
        "ValueError",
        "ExceptionGroup",
        "Unpicklable",
        "MemoryError",
        "CancelledError",
        "ReturnedError",
        None,
    ]
    assert all(rows[f"i{n}"][1] for n in range(10))
    assert "_" not in rows["i9"][1]
    assert "and [red]markup[/]" in rows["i4"][1]
    assert "[red]markup[/]" in done.said or "8 x" in done.said or "ValueError" in done.said


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_resource_that_cannot_be_built_fails_its_own_configuration(
    bench: Bench, executor: str
) -> None:
    settings(bench, executor)
    bench.predict(
        GOOD,
        head="""
        def load(params):
            if params.model == "low":
                raise OSError("no such weights")
            return 1
        """,
        resource=True,
    )
    bench.dev_run(expect=1)
    assert Counter((row["params_model"], row["error_type"]) for row in bench.rows("dev")) == {
        ("low", "OSError"): 4,
        ("high", None): 4,
    }
    assert {row["error"] for row in bench.rows("dev")} == {None, "no such weights"}


# -- stopped by hand


def interrupt(bench: Bench, number: int, begun: int = 10, times: int = 1) -> tuple[Done, float]:
    """Start an experiment, send a signal to its group as a terminal does, and see how it ends.

    `begun`: how many datapoints have begun by then.
    """
    process = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    assert eventually(lambda: len(bench.traced("ran")) >= begun, 60)
    sent = time.monotonic()
    for _ in range(times):
        if number == signal.SIGTERM:
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
        time.sleep(0.3)
    done = finished(process)
    return done, time.monotonic() - sent


@pytest.mark.parametrize(
    ("executor", "number"),
    [
        ("threads", signal.SIGINT),
        ("processes", signal.SIGTERM),
        pytest.param("serial", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("processes", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("serial", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("threads", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_stopped_finishes_what_is_in_flight_and_resumes(
    make_bench: Callable[..., Bench], executor: str, number: int
) -> None:
    bench = make_bench(fresh=True)
    settings(bench, executor)
    bench.items(100)
    bench.predict(f'time.sleep(0.05)\nnote("end", params.model, item["id"])\n{GOOD}', "import time")
    bench.commit()
    stopped, seconds = interrupt(bench, number)
    assert stopped.code not in (0, -number)
    assert "Traceback" not in stopped.said
    assert "stopped by hand" in stopped.said
    assert seconds < 15
    begun = bench.executed()
    assert begun == bench.executed("end"), "something in flight was cut off"
    assert 10 <= sum(begun.values()) < 100
    assert len(bench.rows()) == sum(begun.values())
    assert bench.sql("SELECT ended_how FROM runs") == [{"ended_how": "stopped"}]
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    assert bench.executed() == once_each(["low", "high"], 100)
    assert len(bench.rows()) == 200
    assert bench.git("tag") == "e0.0.1"


@pytest.mark.slow
def test_a_stopped_run_begins_nothing_that_waits_behind_a_slow_server(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(fresh=True)
    bench.settings(run={"executor": "threads", "workers": 4}, limits={"requests_per_minute": 60})
    bench.items(40)
    bench.predict(GOOD)
    bench.commit()
    process = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    assert eventually(lambda: len(bench.traced("ran")) >= 2, 60)
    process.send_signal(signal.SIGTERM)
    begun = len(bench.traced("ran"))
    stopped = finished(process)
    assert "stopped by hand" in stopped.said
    # One for each thread, which waits for its turn already; none of those queued behind them.
    assert len(bench.traced("ran")) <= begun + 4 + 1


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_second_interrupt_stops_at_once_and_loses_nothing_recorded(
    make_bench: Callable[..., Bench], executor: str
) -> None:
    bench = make_bench(fresh=True)
    settings(bench, executor)
    bench.items(20)
    bench.predict(
        f'time.sleep(0.01 if len(item["id"]) < 3 else 25)\n{GOOD}',
        "import time",
    )
    bench.commit()
    stopped, seconds = interrupt(bench, signal.SIGINT, begun=11, times=2)
    assert stopped.code != 0
    assert seconds < 15
    assert "stopping after what is in flight" in stopped.said
    assert len(bench.rows()) == 10
