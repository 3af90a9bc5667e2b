"""Code, prompts and data that are edited while a run goes on never stand under the earlier key."""

import os
import shutil
import time

import pytest

from tests.harness.project_fixture import OPENED, Bench, eventually, finished

EXECUTORS = ("serial", "threads", "processes")
# Imports rule.py late, as a worker that starts in the middle of a run does.
LATE = """
word = "OLD"
if int(item["id"][1:]) >= 3:
    edit()
    from benchmark.rule import word
return {"prediction": word, "ground_truth": "OLD"}
"""
EDIT = """
import pathlib
import time

ONCE = pathlib.Path(__file__).parents[3] / "edited-once"
RULE = pathlib.Path(__file__).with_name("rule.py")


def edit():
    if not ONCE.exists():
        time.sleep(0.3)  # until the rows before this one are on the disk
        ONCE.touch()
        RULE.write_text("word = 'NEW'\\n")
"""


def late_bench(bench: Bench, executor: str) -> Bench:
    """A benchmark whose predict edits its own rule.py, once, and imports it afterwards."""
    bench.file("src/benchmark/rule.py", "word = 'OLD'\n")
    bench.items(12)
    bench.params('[Params("only")]')
    bench.predict(LATE, head=EDIT)
    bench.settings(run={"executor": executor, "workers": 2})
    bench.commit()
    return bench


@pytest.mark.parametrize("executor", EXECUTORS)
def test_rows_of_edited_code_never_stand_under_the_old_key(bench: Bench, executor: str) -> None:
    late_bench(bench, executor)
    stopped = bench.experiment("e0.0.1", expect=1)
    assert "src/benchmark/rule.py was written while the run went on" in stopped.said
    assert {row["prediction"] for row in bench.rows()} <= {"OLD"}
    assert bench.git("tag") == ""
    # Put back, and the same command goes on: what was computed by the edited code is not there.
    bench.git("checkout", "-q", "src")
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    assert [row["prediction"] for row in bench.rows()] == ["OLD"] * 12
    # Nor is it in the cache.
    bench.experiment("e0.0.2")
    again = bench.rows("e0.0.2")
    assert [row["prediction"] for row in again] == ["OLD"] * 12
    assert all(row["cache"] for row in again)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_dev_run_keeps_nothing_of_edited_code_either(bench: Bench, executor: str) -> None:
    late_bench(bench, executor)
    stopped = bench.dev_run(expect=1)
    assert "src/benchmark/rule.py was written while the run went on" in stopped.said
    bench.git("checkout", "-q", "src")
    bench.dev_run()
    assert [row["prediction"] for row in bench.rows("dev")] == ["OLD"] * 12


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_edit_that_was_put_back_ends_the_run_too(bench: Bench, executor: str) -> None:
    late_bench(bench, executor)
    bench.predict(LATE, head=EDIT.replace("word = 'NEW'\\n\")", "word = 'OLD'\\n\")"))
    stopped = bench.experiment("e0.0.1", expect=1)
    assert "src/benchmark/rule.py was written while the run went on" in stopped.said
    # A process that is slow to start may have computed its first row only after the edit.
    assert {row["input_id"] for row in bench.rows()} <= {"i0", "i1", "i2"}


def test_an_edit_from_outside_while_processes_work(bench: Bench) -> None:
    """As in an editor: a worker that is killed is replaced by one that imports the edited code."""
    bench.items(30)
    bench.params('[Params("only")]')
    body = """
    time.sleep(0.05)
    if item["id"] == "i9" and not ONCE.exists():
        ONCE.touch()
        os.kill(os.getpid(), 9)
    return {"prediction": WORD, "ground_truth": "OLD"}
    """
    head = """
    import os
    import pathlib
    import time

    WORD = "OLD"
    ONCE = pathlib.Path(__file__).parents[3] / "killed-once"
    """
    bench.predict(body, head=head)
    bench.settings(run={"executor": "processes", "workers": 2})
    bench.commit()
    running = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    assert eventually(lambda: len(bench.executed()) >= 5)
    predict = bench.root / "src/benchmark/predict.py"
    predict.write_text(predict.read_text().replace('"OLD"\nONCE', '"NEW"\nONCE'))
    done = finished(running)
    assert done.code == 1
    assert "src/benchmark/predict.py was written while the run went on" in done.said
    bench.git("checkout", "-q", "src")
    bench.run("experiment", "e0.0.1", "--allow", f"{OPENED},failures")
    bench.experiment("e0.0.2", allow=f"{OPENED},failures")
    for tag in ("e0.0.1", "e0.0.2"):
        good = [row for row in bench.rows(tag) if row["error"] is None]
        assert {row["prediction"] for row in good} == {"OLD"}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_model_that_edited_code_fitted_is_not_kept(bench: Bench, executor: str) -> None:
    bench.items(4, fold="n % 2")
    bench.params('[Params("only")]')
    fit = """
def fit(params, fold):
    edit()
    from benchmark.rule import word
    return word
"""
    bench.file("src/benchmark/rule.py", "word = 'OLD'\n")
    bench.predict(
        'return {"prediction": resource, "ground_truth": "OLD"}', head=EDIT + fit, resource=True
    )
    bench.settings(run={"executor": executor, "workers": 2})
    stopped = bench.experiment("e0.0.1", expect=1)
    assert "src/benchmark/rule.py was written" in stopped.said
    assert not bench.rows()
    bench.git("checkout", "-q", "src")
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    assert [row["prediction"] for row in bench.rows()] == ["OLD"] * 4


def test_a_declared_file_that_is_written_during_a_run_ends_it(bench: Bench) -> None:
    bench.file("rules.txt", "OLD")
    bench.settings(key={"files": ["rules.txt"], "harmless": ["BENCH_TRACE"]})
    bench.items(12)
    bench.params('[Params("only")]')
    head = EDIT.replace('with_name("rule.py")', "parents[2] / 'rules.txt'").replace(
        "word = 'NEW'\\n", "NEW"
    )
    bench.predict(
        'if int(item["id"][1:]) >= 3:\n    edit()\n'
        'return {"prediction": RULE.read_text(), "ground_truth": "OLD"}',
        head=head,
    )
    stopped = bench.experiment("e0.0.1", expect=1)
    assert "rules.txt was written while the run went on" in stopped.said
    assert [row["prediction"] for row in bench.rows()] == ["OLD"] * 3


def test_a_new_file_that_hides_a_module_takes_the_results_of_the_run_with_it(bench: Bench) -> None:
    """No file that was known is written, so it is seen at the end only."""
    bench.file("rule.py", "word = 'OLD'\n")
    bench.params('[Params("only")]')
    body = """
    if item["id"] == "i1" and not ONCE.exists():
        ONCE.touch()
        HIDES.write_text("word = 'NEW'\\n")
    if item["id"] != "i0":
        from rule import word
        return {"prediction": word, "ground_truth": "OLD"}
    return {"prediction": "OLD", "ground_truth": "OLD"}
    """
    head = """
    import pathlib

    ONCE = pathlib.Path(__file__).parents[3] / "hidden-once"
    HIDES = pathlib.Path(__file__).parents[1] / "rule.py"
    """
    bench.predict(body, head=head)
    stopped = bench.experiment("e0.0.1", expect=1)
    assert "rule.py changed while the run went on" in stopped.said
    (bench.root / "src/rule.py").unlink()
    shutil.rmtree(bench.root / "src/__pycache__", ignore_errors=True)
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    assert [row["prediction"] for row in bench.rows()] == ["OLD"] * 4


def test_what_no_key_holds_may_be_edited_during_a_run(bench: Bench) -> None:
    """metrics.py, for one: the run goes on, and only the tag is refused."""
    bench.items(20)
    bench.predict('time.sleep(0.02)\nreturn {"prediction": 1, "ground_truth": 1}', "import time")
    bench.commit()
    running = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    assert eventually(lambda: len(bench.executed()) >= 3)
    metrics = bench.root / "src/benchmark/metrics.py"
    before = metrics.read_text()
    metrics.write_text(before + "# more\n")
    done = finished(running)
    assert done.code == 1
    assert "src/benchmark/metrics.py changed while the experiment ran" in done.said
    assert len(bench.rows()) == 40
    metrics.write_text(before)
    began = time.monotonic_ns()
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    assert not [words for words, at in bench.traced("ran") if at > began]


def test_bytecode_of_an_earlier_version_is_not_run(bench: Bench) -> None:
    """Edited back and forth within one second, and of one length."""
    path = bench.root / "src/benchmark/predict.py"
    for word in ("one", "two", "one", "six"):
        bench.predict(f'return {{"prediction": "{word}", "ground_truth": "one"}}')
        # As `rsync -t` leaves it: size and time say nothing.
        os.utime(path, (1e9, 1e9))
        bench.dev_run()
        assert {row["prediction"] for row in bench.rows("dev")} == {word}
