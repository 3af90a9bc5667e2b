"""Runs come in the order in which they began, whatever a clock or a zone says of them."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.harness.project_fixture import OPENED, Bench

EAST, WEST = "Pacific/Kiritimati", "Pacific/Pago_Pago"  # 25 hours apart
PLAN = """
[[hypotheses]]
id = "{id}"
claim = "low is better"
metric = "correct"
better = {{ model = "low" }}
than = {{ model = "high" }}
direction = "higher"
smallest_difference = 0.0
"""
FAILS_ONCE = """
from pathlib import Path
from typing import Any
if item["id"] == "i1" and not Path("repaired").exists():
    raise ValueError("broken")
return {"prediction": True, "ground_truth": item["label"], "raw_response": "yes"}
"""


def change(db: Path, *statements: str) -> None:
    connection = sqlite3.connect(db)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def stopped_clock(bench: Bench) -> str:
    """A PYTHONPATH with which it is always the same microsecond."""
    bench.file(
        "../clock/sitecustomize.py",
        "import time\n_then = 1_792_800_000_000_000_000\ntime.time_ns = lambda: _then\n",
    )
    path = bench.environment()["PYTHONPATH"]
    return f"{(bench.root / '../clock').resolve()}:{path}"


def test_times_are_recorded_in_utc_and_shown_where_one_is(bench: Bench) -> None:
    bench.items(30)
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", OPENED, TZ=EAST)
    [run] = bench.sql("SELECT * FROM runs")
    rows = bench.sql("SELECT timestamp FROM predictions UNION ALL SELECT timestamp FROM metrics")
    for text in (run["started"], run["ended"], run["timestamp"], *(r["timestamp"] for r in rows)):
        at = datetime.fromisoformat(text)
        assert at.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - at) < timedelta(minutes=10)
    assert len({len(row["timestamp"]) for row in rows}) == 1  # so that text sorts as times do
    assert bench.run("summary", TZ="Asia/Tokyo").said.count("+09:00") == 2


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_xetracks_own_programs_read_these_times(
    make_bench: Callable[..., Bench], engine: str
) -> None:
    bench = make_bench()
    bench.settings(store={"engine": engine})
    bench.experiment("e0.0.1")
    times = [row["timestamp"] for row in bench.reader(bench.db, "predictions", engine)]
    assert len(times) == 8
    assert times == sorted(times)
    assert times[-1] in bench.xt("tail", str(bench.db), "--n=1", "--table=predictions")
    [read] = bench.duckdb(
        bench.db, "SELECT max(CAST(timestamp AS TIMESTAMP)) AS t FROM b.predictions"
    )
    assert read["t"] == datetime.fromisoformat(times[-1]).replace(tzinfo=None)


def test_a_resume_in_another_zone_is_the_later_run(bench: Bench) -> None:
    bench.predict(FAILS_ONCE)
    bench.file("PLAN.toml", PLAN.format(id="planned"))
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", OPENED, TZ=EAST, expect=1)
    change(bench.db, "UPDATE runs SET ended = NULL, ended_how = NULL")  # as a kill leaves it
    bench.file("PLAN.toml", PLAN.format(id="thought-up-later"))
    bench.file("repaired", "")
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", OPENED, TZ=WEST)
    assert [r["sequence"] for r in bench.sql("SELECT sequence FROM runs ORDER BY rowid")] == [1, 2]
    said = bench.run("summary", TZ=WEST, expect=None).out
    assert "did not finish" not in said
    assert "the first run's is judged" in said
    assert "planned" in said
    assert "thought-up-later" not in said
    assert bench.run("validate").said.endswith("the experiments: no findings")


def test_the_gate_dev_run_opens_in_any_zone(bench: Bench) -> None:
    bench.file("prompt.txt", "one")
    bench.params('[Params("low")]', "model: str\nthreshold: float = 0.5")
    bench.file(
        "src/benchmark/params.py",
        (bench.root / "src/benchmark/params.py").read_text()
        + '\n\ndef files(params):\n    return ["prompt.txt"]\n',
    )
    bench.run("dev-run", TZ=EAST)
    bench.file("prompt.txt", "two")
    bench.commit()
    blocked = bench.run("experiment", "e0.0.1", "--allow=tests", TZ=WEST, expect=1)
    assert "prompt.txt has not been dev-run as it is now" in blocked.said
    bench.run("dev-run", TZ=WEST)
    bench.run("experiment", "e0.0.1", "--allow=tests", TZ=WEST)


def test_rows_of_one_microsecond_have_keys_of_their_own(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(fresh=True)
    bench.predict(FAILS_ONCE)
    bench.commit()
    clock = stopped_clock(bench)
    bench.run("experiment", "e0.0.1", "--allow", OPENED, expect=1, PYTHONPATH=clock)
    [first] = bench.sql("SELECT track_id FROM runs")
    # Killed between the cache and the table, so that the next run writes rows of the first one.
    change(bench.db, "DELETE FROM predictions WHERE input_id = 'i0'")
    bench.file("repaired", "")
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", OPENED, PYTHONPATH=clock)
    rows = bench.rows()
    assert len({(row["track_id"], row["timestamp"]) for row in rows}) == len(rows) == 8
    assert sum(row["track_id"] == first["track_id"] for row in rows) == 6
    assert set(bench.executed().values()) == {1, 2}  # i1 failed and ran again; nothing else did


def test_results_of_before_are_read_in_the_order_in_which_they_were_written(bench: Bench) -> None:
    bench.predict(FAILS_ONCE)
    bench.file("PLAN.toml", PLAN.format(id="planned"))
    bench.experiment("e0.0.1", expect=1)
    bench.file("PLAN.toml", PLAN.format(id="thought-up-later"))
    bench.experiment("e0.0.1", expect=1)
    as_before = (
        "ALTER TABLE runs DROP COLUMN sequence",
        "UPDATE predictions SET timestamp = substr(timestamp, 1, 26)",
        # The second run was made further west.
        "UPDATE runs SET timestamp = '2026-10-0' || (3 - rowid) || ' 10:00:00.000000', "
        "started = '2026-10-0' || (3 - rowid) || 'T10:00:00', ended_how = 'finished'",
        "UPDATE runs SET ended_how = NULL WHERE rowid = 1",
    )
    change(bench.db, *as_before)
    said = bench.run("summary", "e0.0.1", expect=None).out
    assert "thought-up-later" not in said
    assert "did not finish" not in said
    assert "2026-10-02T10:00:00" in said  # nobody knows which zone that was
    bench.file("repaired", "")
    bench.experiment("e0.0.1")
    runs = bench.sql("SELECT sequence FROM runs ORDER BY rowid")
    assert [run["sequence"] for run in runs] == [None, None, 3]
    assert "thought-up-later" not in bench.run("summary", "e0.0.1", expect=None).out


def test_a_column_that_runs_did_not_have_then_is_no_text_of_that_name(bench: Bench) -> None:
    bench.dev_run()
    change(bench.dev_db, *(f"ALTER TABLE runs DROP COLUMN {n}" for n in ("grid_files", "inputs")))
    bench.commit()
    done = bench.run("ready")
    assert "ok dev-run" in done.said
    assert "ok inputs" in done.said


def test_a_program_that_seeds_pythons_generator_keeps_a_row_of_each_run(bench: Bench) -> None:
    bench.predict(FAILS_ONCE, head="import random\nrandom.seed(42)")
    bench.experiment("e0.0.1", expect=1)
    bench.file("repaired", "")
    bench.experiment("e0.0.1")
    runs = bench.sql("SELECT track_id FROM runs")
    assert len({run["track_id"] for run in runs}) == len(runs) == 2


# -- another machine, whose clock is wrong


def other_clock(bench: Bench, days: float) -> tuple[Bench, dict[str, Any]]:
    """The same project on a machine whose clock is so many days ahead; its environment."""
    bench.file(
        "../other/sitecustomize.py",
        "import time\n_ns, _s = time.time_ns, time.time\n"
        f"time.time_ns = lambda: _ns() + int({days} * 86_400) * 10**9\n"
        f"time.time = lambda: _s() + {days} * 86_400\n",
    )
    path = f"{(bench.root / '../other').resolve()}:{bench.environment()['PYTHONPATH']}"
    now = datetime.now(UTC) + timedelta(days=days)
    dates = dict.fromkeys(("GIT_COMMITTER_DATE", "GIT_AUTHOR_DATE"), now.isoformat())
    fresh = bench.at(bench.root)
    fresh.warm = None
    return fresh, {"PYTHONPATH": path, **dates}


def test_a_clock_that_is_behind_changes_no_order_and_is_said(tagged: Bench, tmp_path: Path) -> None:
    colleague = tagged.copy(tmp_path / "colleague")
    tagged.file("low.bin", b"low")
    tagged.file("high.bin", b"high")
    low = tagged.run("model", "add", "e0.0.1:model=low", "--file=low.bin").out.split()[0]
    tagged.run("model", "promote", low)
    tagged.commit()
    behind, clock = other_clock(tagged, -400.5)
    said = behind.run("experiment", "e0.0.2", "--allow", OPENED, **clock).said
    assert "the last commit is 400 days" in said
    assert "one of two clocks is wrong" in said
    high = behind.run("model", "add", "e0.0.2:model=high", "--file=high.bin", **clock)
    behind.run("model", "promote", high.out.split()[0], "--force", **clock)
    assert "e0.0.2:model=high" in tagged.run("model", "info", "production").out
    tagged.commit()

    listed = tagged.run("tags")
    lines = [line.split()[0] for line in listed.out.splitlines() if line.startswith(" e")]
    assert lines == ["e0.0.1", "e0.0.2"]
    words = "e0.0.2 is dated before e0.0.1: one was made after the other, so a clock is wrong"
    assert words in listed.err
    assert tagged.run("next").out.startswith("e0.0.3")
    tagged.run("history")
    page = (tagged.root / "results/reports/history.html").read_text(encoding="utf-8")
    assert words in page
    assert page.rindex(">e0.0.2<") < page.rindex(">e0.0.1<"), "the newest first, by version"
    assert "no findings" in tagged.run("validate").said

    # Who merges it has all rows, in the order in which the runs began.
    colleague.git("remote", "add", "origin", str(tagged.root))
    colleague.git("fetch", "-q", "--tags", "origin")
    colleague.run("merge", "e0.0.2")
    runs = colleague.sql("SELECT experiment_version AS e FROM runs ORDER BY sequence")
    assert [run["e"] for run in runs] == ["e0.0.1", "e0.0.2"]
    assert [len(colleague.rows(tag)) for tag in ("e0.0.1", "e0.0.2")] == [8, 8]
    colleague.run("compare", "e0.0.1", "e0.0.2", expect=None)


def test_a_tag_from_a_clock_that_is_ahead_is_said_too(bench: Bench) -> None:
    bench.commit()
    ahead, clock = other_clock(bench, 400)
    ahead.run("experiment", "e0.0.1", "--allow", OPENED, **clock)
    assert "e0.0.1 is dated after today: a clock is wrong" in bench.run("tags").err
    bench.git("switch", "-q", "-c", "feat/beside", "HEAD~1")
    assert "ahead of this machine's clock" not in bench.run("ready", expect=None).said
    bench.git("switch", "-q", "feat/try")
    assert "ahead of this machine's clock" in bench.experiment("e0.0.2").said
    assert "e0.0.2 is dated before e0.0.1" in bench.run("tags").err
    assert bench.run("next").out.startswith("e0.0.3")
