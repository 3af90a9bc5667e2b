"""A dev-run, or a preview, of a part of the grid."""

from tests.harness.project_fixture import OPENED, Bench

GRID = '[Params(m, t) for m in ("low", "high", "other") for t in (0.25, 0.5, 0.75)]'


def test_where_and_configs_choose_configurations(bench: Bench) -> None:
    bench.params(GRID)
    bench.run("dev-run", "--items=2", "--where", "model=high,threshold=0.50")
    assert {(r["params_model"], r["params_threshold"]) for r in bench.rows("dev")} == {
        ("high", 0.5)
    }
    assert len(bench.rows("dev")) == 2
    bench.run("dev-run", "--items=1", "--configs", "4")
    first = [row["task_key"] for row in bench.rows("dev")]
    assert len(first) == 4
    bench.forget()
    bench.run("dev-run", "--items=1", "--configs", "4")
    assert [row["task_key"] for row in bench.rows("dev")] == first
    assert not bench.executed()
    assert bench.run("dry-run", "--where", "model=low").out.count("threshold=") == 3


def test_a_part_that_is_none_is_said(bench: Bench) -> None:
    bench.params(GRID)
    assert "params have no family, only model, threshold" in (
        bench.run("dev-run", "--where", "family=x", expect=2).said
    )
    done = bench.run("dev-run", "--where", "model=forest", expect=2)
    assert "no configuration has model=forest; there are low, high, other" in done.said
    assert "gives no value" in bench.run("dev-run", "--where", "model", expect=2).said


def test_a_dev_run_of_a_part_does_not_open_the_gate_for_the_rest(bench: Bench) -> None:
    bench.params(GRID)
    bench.commit()
    bench.run("dev-run", "--where", "model=low")
    allow = OPENED.replace("dev-run,", "")
    done = bench.run("experiment", "e0.0.1", "--allow", allow, expect=1)
    assert "has not been dev-run" in done.said
    assert "--where" not in bench.run("experiment", "--help").said
