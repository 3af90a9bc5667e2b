"""`explain` says why a task was computed and not reused; `dry-run` says what would run."""

import pytest

from tests.harness.project_fixture import OPENED, Bench


def explained(bench: Bench, *keys: str) -> str:
    return bench.run("explain", *keys).out


def test_a_task_that_is_known(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    [row] = [r for r in bench.rows() if (r["params_model"], r["input_id"]) == ("low", "i1")]
    by_id = explained(bench, "i1")
    assert by_id.count("known: e0.0.1") == 2
    assert row["track_id"] in by_id
    by_key = explained(bench, row["task_key"][:12])
    assert by_key.count("known: e0.0.1") == 1
    assert "id i1" in by_key
    assert "low" in by_key


def test_what_never_ran(bench: Bench) -> None:
    assert "new: an item with this id never ran" in explained(bench, "i1")
    bench.experiment("e0.0.1")
    bench.params('[Params("low", 0.25), Params("mid", 0.5)]')
    said = explained(bench, "i1")
    assert "new: this item never ran under these params" in said
    assert "known: e0.0.1" in said


FILES = """
from pathlib import Path


def files(params):
    return [Path("prompts") / f"{params.model}.txt"]
"""


def test_a_file_that_one_configuration_reads(bench: Bench) -> None:
    bench.params("[Params('low', 0.25), Params('high', 0.75)]" + FILES)
    bench.items(12)
    bench.file("prompts/low.txt", "Say it.")
    bench.file("prompts/high.txt", "Say it well.")
    bench.experiment("e0.0.1")
    once = {(model, f"i{n}"): 1 for model in ("low", "high") for n in range(12)}
    assert bench.executed() == once

    bench.file("prompts/low.txt", "Sing it.")
    said = explained(bench, "i2")
    assert said.count("prompts/low.txt changed") == 1
    assert said.count("known: e0.0.1") == 1
    bench.experiment("e0.0.2")
    assert bench.executed() == once | {("low", f"i{n}"): 2 for n in range(12)}
    old, new = bench.sql("SELECT data_version, grid_files FROM runs ORDER BY timestamp")
    assert old["data_version"] == new["data_version"]
    assert old["grid_files"] != new["grid_files"]
    said = bench.run("compare", "e0.0.1", "e0.0.2").said
    assert "different data" not in said
    assert "file prompts/low.txt" in said


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("return ['prompts/no.txt']", "prompts/no.txt is no file; files in params.py names it"),
        ("return ['src']", "src is no file"),
        ("return ['/etc/hostname']", "lies outside the repository"),
        ("return 'prompts/low.txt'", "it returned the single 'prompts/low.txt'"),
        ("return None", "files in params.py gave no list of paths: TypeError"),
        ("raise ValueError('bad thing')", "ValueError: bad thing (params.py, line"),
    ],
)
def test_files_that_cannot_be_read_are_said_before_anything_is_deleted(
    bench: Bench, body: str, complaint: str
) -> None:
    bench.dev_run()
    bench.params(f"[Params('low')]\n\n\ndef files(params):\n    {body}")
    done = bench.run("dev-run", expect=2)
    assert complaint in done.said
    assert "Traceback" not in done.said
    assert len(bench.rows("dev")) == 8


def test_a_file_that_is_written_during_the_run_is_the_end_of_it(bench: Bench) -> None:
    bench.params("[Params('low')]" + FILES)
    bench.items(12)
    bench.file("prompts/low.txt", "Say it.")
    text = """
        file = Path("prompts/low.txt")
        if item["id"] == "i5" and "Say" in file.read_text() and not Path("once").exists():
            time.sleep(0.3)  # until the rows before this one are on the disk
            Path("once").touch()
            file.write_text("Sing it.")
            file.write_text("Say it.")
        return {"prediction": file.read_text(), "ground_truth": 1}
        """
    bench.predict(text, head="import time\nfrom pathlib import Path")
    stopped = bench.experiment("e0.0.1", expect=1)
    assert "prompts/low.txt was written while the run went on" in stopped.said
    assert len(bench.rows()) == 5
    (bench.root / "once").unlink()
    (bench.root / "once").touch()
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    assert {row["prediction"] for row in bench.rows()} == {"Say it."}


def test_an_experiment_is_not_resumed_with_another_file(bench: Bench) -> None:
    bench.params("[Params('low')]" + FILES)
    bench.file("prompts/low.txt", "Say it.")
    bench.predict(
        'if item["id"] == "i3":\n    raise ValueError("no")\n'
        'return {"prediction": 1, "ground_truth": 1}'
    )
    bench.experiment("e0.0.1", expect=1)
    bench.file("prompts/low.txt", "Sing it.")
    refused = bench.experiment("e0.0.1", expect=2)
    assert "e0.0.1 was begun with another prompts/low.txt" in refused.said
    assert "make discard TAG=e0.0.1" in refused.said
    assert "deleted 4 rows" in bench.run("discard", "e0.0.1").said
    bench.experiment("e0.0.1", expect=1)
    assert len(bench.rows()) == 4


def test_gates_are_blocked_by_a_file_that_was_edited_or_is_not_kept(bench: Bench) -> None:
    bench.params("[Params('low')]" + FILES)
    bench.file("prompts/low.txt", "Say it.")
    bench.commit()
    bench.dev_run()
    bench.file("prompts/low.txt", "Sing it.")
    bench.commit()
    blocked = bench.run("experiment", "e0.0.1", "--allow", "tests", expect=1)
    assert "prompts/low.txt has not been dev-run as it is now" in blocked.said
    bench.dev_run()
    bench.run("experiment", "e0.0.1", "--allow", "tests")
    bench.file(".gitignore", (bench.root / ".gitignore").read_text() + "\nprompts/\n")
    bench.git("rm", "-rq", "--cached", "prompts")
    bench.commit()
    blocked = bench.run("experiment", "e0.0.2", "--allow", OPENED, expect=None)
    assert "git does not keep prompts/low.txt" in blocked.said


def test_each_reason_is_named(bench: Bench) -> None:
    bench.file("src/benchmark/rule.py", "x = 1\n")
    bench.file("prompts/one.txt", "Say it.")
    bench.predict(
        'return {"prediction": rule.x, "ground_truth": 1}', head="from benchmark import rule"
    )
    bench.settings(key={"files": ["prompts/*.txt"], "packages": ["typer"]})
    bench.experiment("e0.0.1")
    assert "known" in explained(bench, "i2")

    bench.file("src/benchmark/rule.py", "x = 2\n")
    said = explained(bench, "i2")
    assert "not reused from e0.0.1" in said
    assert "code changed: src/benchmark/rule.py" in said
    assert "predict.py" not in said

    bench.file("src/benchmark/rule.py", "x = 1\n")
    bench.file("prompts/one.txt", "Sing it.")
    said = explained(bench, "i2")
    assert "file prompts/one.txt changed" in said
    assert "code" not in said

    bench.file("prompts/one.txt", "Say it.")
    bench.settings(key={"files": ["prompts/*.txt"], "packages": ["typer", "rich"]})
    assert "package rich changed: absent ->" in explained(bench, "i2")

    bench.settings(key={"files": ["prompts/*.txt"], "packages": ["typer"]})
    bench.items(4, more="n == 2")
    said = explained(bench, "i2")
    assert "the item's content changed" in said


def test_a_failed_task_says_that_it_is_tried_again(bench: Bench) -> None:
    bench.predict('if item["id"] == "i1":\n    raise ValueError("no")\nreturn {"prediction": 1}')
    bench.score("def score(row):\n    return {}\n")
    bench.experiment("e0.0.1", expect=1)
    assert "failed before and tried again: ValueError" in explained(bench, "i1")


def test_a_key_that_there_is_not(bench: Bench) -> None:
    assert "nothing_such: no task" in explained(bench, "nothing_such")


def test_a_recorded_key_of_old_code_is_explained_by_itself(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    key = bench.rows()[0]["task_key"]
    bench.predict('return {"prediction": 2, "ground_truth": 1}')
    said = explained(bench, key)
    assert "code changed: src/benchmark/predict.py" in said


def test_dry_run_counts_what_is_new_and_runs_nothing(bench: Bench) -> None:
    said = bench.run("dry-run").said
    assert "8 new, 0 cached" in said
    assert "cost" not in said  # predict.py has no estimate: there is nothing to pay
    assert not bench.executed()
    bench.experiment("e0.0.1")
    bench.params('[Params("low", 0.25), Params("mid", 0.5)]')
    bench.forget()
    said = bench.run("dry-run").said
    assert "4 new, 4 cached" in said
    assert not bench.executed()


def test_dry_run_says_what_the_new_ones_cost(bench: Bench) -> None:
    bench.predict(
        'return {"prediction": 1, "ground_truth": 1, "cost": 0.5}',
        head="def estimate(item, params):\n    return 0.5 if params.model == 'low' else 0.25",
    )
    said = bench.run("dry-run").said
    assert "at most about 3.0000 USD" in said
    bench.experiment("e0.0.1")
    assert "0 USD" in bench.run("dry-run").said
