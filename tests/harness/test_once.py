"""Promise 1, Once: for each task of an experiment `predict` ran once and one row says so."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.harness.project_fixture import Bench, once_each


@pytest.fixture
def restarted(make_bench: Callable[..., Bench]) -> Bench:
    """Each command in a process of its own from the start, with a hash seed of its own."""
    return make_bench(fresh=True)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_once(restarted: Bench, executor: str) -> None:
    restarted.settings(run={"executor": executor, "workers": 2})
    restarted.items(20)
    restarted.experiment("e0.0.1")
    assert restarted.executed() == once_each(["low", "high"], 20)
    rows = restarted.rows()
    assert Counter((row["params_model"], row["input_id"]) for row in rows) == once_each(
        ["low", "high"], 20
    )
    assert {(row["cache"], row["error"], row["attempts"]) for row in rows} == {("", None, 1)}
    [run] = restarted.sql("SELECT * FROM runs")
    assert (run["planned"], run["executed"], run["cached"], run["failed"]) == (40, 40, 0, 0)
    assert run["ended_how"] == "finished"
    assert {row["track_id"] for row in rows} == {run["track_id"]}


def test_second_process_gets_hits(restarted: Bench) -> None:
    restarted.dev_run()
    once = restarted.executed()
    again = restarted.dev_run()
    assert restarted.executed() == once == once_each(["low", "high"], 4)
    assert "0 executed, 8 cached" in again.said
    assert len(restarted.rows("dev")) == 8
    assert all(row["cache"] for row in restarted.rows("dev"))


def test_next_experiment_executes_nothing_and_names_the_run_it_came_from(restarted: Bench) -> None:
    restarted.experiment("e0.0.1")
    restarted.forget()
    restarted.experiment("e0.0.2")
    assert not restarted.executed()
    first, second = restarted.rows("e0.0.1"), restarted.rows("e0.0.2")
    [origin] = {row["track_id"] for row in first}
    assert {row["cache"] for row in second} == {origin}
    assert origin not in {row["track_id"] for row in second}
    kept = [
        "params_model",
        "params_threshold",
        "input_id",
        "prediction",
        "raw_response",
        "task_key",
    ]
    assert [[row[name] for name in kept] for row in second] == [
        [row[name] for name in kept] for row in first
    ]
    assert {row["params_model"] for row in second} == {"low", "high"}
    # A reused row took no time of its own, and no latency may be computed from it.
    assert {(row["function_time"], row["latency"]) for row in second} == {(0.0, None)}
    metrics = restarted.sql("SELECT * FROM metrics WHERE experiment_version = 'e0.0.2'")
    assert [(m["n"], m["executed"], m["cached"], m["latency_n"]) for m in metrics] == [
        (4, 0, 4, 0),
        (4, 0, 4, 0),
    ]


def test_reused_rows_of_a_third_experiment_name_the_run_that_computed_them(bench: Bench) -> None:
    for tag in ("e0.0.1", "e0.0.2", "e0.0.3"):
        bench.experiment(tag)
    [origin] = {row["track_id"] for row in bench.rows("e0.0.1")}
    assert {row["cache"] for row in bench.rows("e0.0.3")} == {origin}


def test_restart_executes_only_what_is_missing(bench: Bench) -> None:
    bench.items(10)
    bench.predict(
        """
        if item["id"] == "i6" and not os.path.exists("fixed"):
            raise ValueError("not yet")
        return {"prediction": 1, "ground_truth": 1}
        """,
        head="import os",
    )
    bench.settings(run={"on_error": "stop"})
    bench.experiment("e0.0.1", expect=1)
    before = bench.executed()
    assert before["low", "i0"] == 1
    assert before["high", "i0"] == 0
    (bench.root / ".cache/fixed").touch()
    (bench.root / "fixed").symlink_to(bench.root / ".cache/fixed")
    bench.file(".git/info/exclude", "fixed\n")
    bench.experiment("e0.0.1")
    assert bench.executed() == once_each(["low", "high"], 10) + Counter({("low", "i6"): 1})
    assert len(bench.rows()) == 20


def test_a_finished_experiment_without_a_tag_is_only_tagged(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    bench.untag("e0.0.1")
    bench.forget()
    bench.experiment("e0.0.1")
    assert not bench.executed()
    assert len(bench.rows()) == 8
    assert bench.git("tag") == "e0.0.1"


def test_repeats_are_tasks_of_their_own(bench: Bench) -> None:
    bench.settings(run={"repeats": 3})
    bench.experiment("e0.0.1")
    assert bench.executed() == Counter(
        {task: 3 for task in once_each(["low", "high"], 4)},
    )
    rows = bench.rows()
    assert len(rows) == len({row["task_key"] for row in rows}) == 24
    assert Counter(row["repeat"] for row in rows) == {0: 8, 1: 8, 2: 8}
    bench.settings(run={"repeats": 4})
    bench.forget()
    bench.experiment("e0.0.2")
    assert bench.executed() == once_each(["low", "high"], 4)


def test_without_a_cache_an_experiment_still_resumes_and_the_next_one_computes(
    bench: Bench,
) -> None:
    bench.settings(run={"cache": False})
    bench.experiment("e0.0.1")
    bench.untag("e0.0.1")
    bench.experiment("e0.0.1")
    assert bench.executed() == once_each(["low", "high"], 4)
    bench.experiment("e0.0.2")
    assert set(bench.executed().values()) == {2}


def test_an_expensive_resource_is_built_once_for_a_worker_and_configuration(bench: Bench) -> None:
    bench.predict(
        """
        return {"prediction": resource, "ground_truth": params.model}
        """,
        head="""
        def load(params):
            note("loaded", params.model)
            return params.model
        """,
        resource=True,
    )
    bench.dev_run()
    assert bench.executed("loaded") == Counter([("low",), ("high",)])
    for executor in ("threads", "processes"):
        bench.forget()
        bench.settings(run={"executor": executor, "workers": 2, "cache": False})
        bench.dev_run()
        loaded = bench.executed("loaded")
        assert set(loaded) == {("low",), ("high",)}
        # A worker that waits at the border of two configurations may see neither or both.
        assert all(1 <= times <= 2 for times in loaded.values())
        assert {r["prediction"] for r in bench.rows("dev")} == {"low", "high"}
