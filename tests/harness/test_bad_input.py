"""Bad input: one clear sentence with the command that fixes it, exit code not 0, nothing lost."""

import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import (
    OPENED,
    SCORE,
    Bench,
    Done,
    eventually,
    finished,
    once_each,
)

GOOD = 'return {"prediction": 1, "ground_truth": 1}'
LONG = 'time.sleep(0.002)\nreturn {"prediction": 1, "ground_truth": 1, "raw_response": "x" * 3000}'


def refused(done: Done, *words: str, code: int = 2) -> None:
    """The command was refused in one breath: what is wrong, where, and what fixes it."""
    assert done.code == code, done.out + done.err
    assert "Traceback" not in done.said
    assert "error:" in done.err
    assert re.search(r"fix: \S", " ".join(done.err.split())), done.err
    for word in words:
        assert word in done.said, done.said
    assert len(done.err) < 1500


# -- items


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ('return [{"id": "a"}, {"x": 1}]', ["item 2", 'no "id"']),
        ('return [{"id": None}]', ["item 1", 'no "id"']),
        ('return [{"id": "a"}, {"id": "b"}, {"id": "a"}]', ["items 1 and 3", "'a'"]),
        ('return [{"id": 1}, {"id": "1"}]', ["items 1 and 2", "'1'"]),
        ('return [{"id": "a", "x": {1, 2}}]', ["item 1", "'a'", "set", "JSON"]),
        ('return [{"id": "a", "x": [1, float("nan")]}]', ["item 1", "'a'", "JSON"]),
        (
            'import datetime\nreturn [{"id": "a", "x": datetime.date(2026, 1, 2)}]',
            ["item 1", "'a'", "date", "JSON"],
        ),
        ('return [{"id": "a", "x": float("inf")}]', ["item 1", "'a'", "JSON"]),
        ('return [{"id": "a", "x": Path("data/gone.csv")}]', ["gone.csv", "make pull"]),
        ('return ["a", "b"]', ["item 1", "str", "dict"]),
        ("return []", ["no items"]),
        ("return None", ["dataset.py"]),
        ("return open('data/gone.csv')", ["dataset.py", "gone.csv", "FileNotFoundError"]),
        (
            'yield {"id": "a"}\nraise RuntimeError("the disk came off")',
            ["dataset.py", "the disk came off"],
        ),
    ],
)
def test_items(bench: Bench, load: str, words: list[str]) -> None:
    bench.dataset(load)
    refused(bench.dev_run(expect=None), *words)
    refused(bench.experiment("e0.0.1", expect=None), *words)
    assert not bench.executed()
    assert not bench.git("tag")


def test_many_bad_items_are_named_but_not_all_of_them(bench: Bench) -> None:
    bench.dataset('return [{"x": n} for n in range(10_000)]')
    done = bench.dev_run(expect=None)
    refused(done, "item 1", "item 2")
    assert done.err.count("item ") < 20


# -- params


@pytest.mark.parametrize(
    ("grid", "fields", "words"),
    [
        ("[]", "model: str", ["GRID", "empty"]),
        ("None", "model: str", ["GRID"]),
        ("[Params([1, 2])]", "model: list", ["GRID[0].model", "list", "tuple"]),
        ("[Params({'a': 1})]", "model: dict", ["GRID[0].model", "dict"]),
        ("[Params(('a', [1]))]", "model: tuple", ["GRID[0].model[1]", "list"]),
        ("[Params(float('nan'))]", "model: float", ["GRID[0].model", "nan"]),
        ("[Params(float('inf'))]", "model: float", ["GRID[0].model", "inf"]),
        ("[Params('a'), Params('b'), Params('a')]", "model: str", ["GRID[2]", "same"]),
        ("[Params('a'), 'b']", "model: str", ["GRID[1]", "str"]),
        ("[Params('a\\ud800')]", "model: str", ["GRID[0].model"]),
        ("[Params(print)]", "model: object", ["GRID[0].model", "builtin_function"]),
        ("[Params(1), Params('1')]", "model: object", ["Params(model='1')", "Params(model=1)"]),
        ("[Params(1, 2)]", "model: int\nModel: int", ["Model", "case"]),
    ],
)
def test_params(bench: Bench, grid: str, fields: str, words: list[str]) -> None:
    bench.params(grid, fields)
    refused(bench.dev_run(expect=None), *words, "params.py")


def test_params_of_numpy_numbers_are_welcome(bench: Bench) -> None:
    bench.params('[Params("m", t) for t in np.linspace(0, 1, 3)]')
    path = bench.root / "src/benchmark/params.py"
    bench.file("src/benchmark/params.py", "import numpy as np\n" + path.read_text())
    bench.dev_run()
    assert {row["params_threshold"] for row in bench.rows("dev")} == {0.0, 0.5, 1.0}


def test_params_that_are_not_frozen(bench: Bench) -> None:
    path = bench.root / "src/benchmark/params.py"
    bench.file("src/benchmark/params.py", path.read_text().replace("frozen=True", "frozen=False"))
    refused(bench.dev_run(expect=None), "frozen")


def test_a_dataclass_inside_params_that_is_not_frozen(bench: Bench) -> None:
    bench.file(
        "src/benchmark/params.py",
        "from dataclasses import dataclass\n\n@dataclass\nclass Inner:\n    x: int = 1\n\n"
        "@dataclass(frozen=True)\nclass Params:\n    inner: Inner\n\nGRID = [Params(Inner())]\n",
    )
    refused(bench.dev_run(expect=None), "GRID[0].inner", "frozen")


def test_params_that_are_no_dataclass(bench: Bench) -> None:
    bench.file("src/benchmark/params.py", "class Params: pass\nGRID = [Params()]\n")
    refused(bench.dev_run(expect=None), "dataclass Params", "params.py")


# -- the four files


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("predict.py", "def predict(item, params)\n", ["predict.py", "line 1"]),
        ("predict.py", "import nothing_such\ndef predict(i, p): ...\n", ["predict.py", "line 1"]),
        ("predict.py", "import nothing.such\n", ["add the name under which you know it"]),
        ("predict.py", "def guess(item, params): ...\n", ["predict.py", "no function predict"]),
        ("predict.py", "def predict(item): ...\n", ["1 arguments", "item, params"]),
        ("predict.py", "def load(p): ...\ndef predict(i, p): ...\n", ["item, params, resource"]),
        (
            "predict.py",
            "def load(p): ...\ndef fit(p, f): ...\ndef predict(i, p, r): ...\n",
            ["both load and fit"],
        ),
        ("predict.py", None, ["no src/benchmark/predict.py"]),
        ("dataset.py", "items = []\n", ["dataset.py", "no function load"]),
        ("metrics.py", "import nothing_such\n", ["metrics.py", "nothing_such"]),
        ("metrics.py", "", ["metrics.py", "no function score"]),
        ("params.py", "1 / 0\n", ["params.py", "ZeroDivisionError", "line 1"]),
    ],
)
def test_the_four_files(bench: Bench, name: str, text: str | None, words: list[str]) -> None:
    if text is None:
        (bench.root / "src/benchmark" / name).unlink()
    else:
        bench.file(f"src/benchmark/{name}", text)
    refused(bench.dev_run(expect=None), *words)


# -- what predict returns


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("[1, 2]", "list"),
        ("None", "NoneType"),
        ("'text'", "str"),
        ("(x for x in [1])", "generator"),
        ('{"track_id": 1}', "track_id"),
        ('{"timestamp": 1}', "timestamp"),
        ('{"task_key": 1}', "task_key"),
        ('{"cache": "x"}', "cache"),
        ('{"params_model": "x"}', "params_model"),
        ('{"function_time": 1}', "function_time"),
        ('{"cost": "free"}', "cost"),
        ('{"cost": [0.1]}', "cost"),
        ("{1: 2}", "1"),
        ('{"not a name": 2}', "not a name"),
        ('{"a": 1, "A": 2}', "case"),
        ('{"input_id": "other"}', "input_id"),
    ],
)
def test_what_predict_returns(bench: Bench, returned: str, words: str) -> None:
    bench.items(50)
    bench.predict(f"return {returned}")
    done = bench.dev_run(expect=1)
    refused(done, "InvalidResult", words, "max_permanent_errors", code=1)
    rows = bench.rows("dev")
    assert len(rows) == sum(bench.executed().values()) <= 5
    assert all(row["error_type"] == "InvalidResult" and words in row["error"] for row in rows)


def test_a_name_that_another_column_has_in_other_letters(bench: Bench) -> None:
    """SQLite does not tell the two apart."""
    bench.predict('return {"prediction": 1, "ground_truth": 1, "Prediction": 2}')
    assert "InvalidResult" in bench.dev_run(expect=1).said
    bench.predict('return {"prediction": 1, "ground_truth": 1, "Task_Key": 2}')
    assert "Task_Key" in bench.dev_run(expect=1).said


def test_an_input_id_that_agrees_is_welcome(bench: Bench) -> None:
    bench.predict('return {"prediction": 1, "ground_truth": 1, "input_id": item["id"]}')
    bench.dev_run()
    assert {row["input_id"] for row in bench.rows("dev")} == {"i0", "i1", "i2", "i3"}


# -- scores


@pytest.mark.parametrize(
    ("score", "words", "code"),
    [
        ("def score(row):\n    return row['nothing']\n", ["metrics.score", "KeyError"], 1),
        ("def score(row):\n    return 1\n", ["metrics.score", "int", "dict"], 2),
        ("def score(row):\n    return {'prediction': 1}\n", ["metrics.score", "prediction"], 2),
        ("def score(row):\n    return {'error': 1}\n", ["metrics.score", "error"], 2),
        (
            "def score(row):\n    return {}\n"
            "AGGREGATES = {'bad': lambda rows: rows['gone'].sum()}\n",
            ["AGGREGATES", "bad", "KeyError"],
            1,
        ),
    ],
)
def test_scores(bench: Bench, score: str, words: list[str], code: int) -> None:
    bench.score(score)
    refused(bench.experiment("e0.0.1", expect=None), *words, "metrics.py", code=code)
    assert len(bench.rows()) == 8
    assert not bench.git("tag")
    bench.score("def score(row):\n    return {'fine': 1}\n")
    bench.experiment("e0.0.1")
    assert bench.executed() == once_each(["low", "high"], 4)
    assert {row["fine"] for row in bench.rows()} == {1}


# -- benchmark.toml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nexecutor = 'serial'\n\nworkerz = 2\n", ["line 4", "run.workerz", "no such"]),
        ("[run]\nworkers = 'two'\n", ["line 2", "run.workers", "integer"]),
        ("[run]\n\n# how\nexecutor = 'magic'\n", ["line 4", "run.executor", "'threads'"]),
        ("[store]\nlayout = 'flat'\n", ["line 2", "store.layout", "'append-only'"]),
        ("[run]\nworkers = 0\n", ["line 2", "run.workers"]),
        ("[run]\ntimeout_seconds = -1\n", ["line 2", "run.timeout_seconds"]),
        ("[run]\ntimeout_seconds = nan\n", ["line 2", "run.timeout_seconds"]),
        ("[run]\nrepeats = 1.5\n", ["line 2", "run.repeats"]),
        ("\n[rum]\nworkers = 1\n", ["line 2", "rum", "no such"]),
        ("workers = 1\n", ["line 1", "workers", "no such"]),
        ("run = 3\n", ["line 1", "run"]),
        ("[run]\nworkers = \n", ["line 2"]),
        ("[run]\nworkers = 1\nworkers = 2\n", ["line 3"]),
        ("[retry]\nerrors = 'ConnectionError'\n", ["line 2", "retry.errors"]),
        ("[key]\nfiles = ['a', 3]\n", ["line 2", "key.files"]),
        (
            "[run]\nworkers = 0\n[store]\nengine = 'oracle'\n",
            ["line 2", "run.workers", "line 4", "store.engine"],
        ),
        (b"[benchmark]\nname = '\xff'\n", ["UTF-8"]),
        ("[key]\nfiles = ['prompts/*.txt']\n", ["prompts/*.txt", "nothing in the repository"]),
        ("[key]\nfiles = ['']\n", ["''", "nothing in the repository"]),
        ("[key]\nfiles = ['/etc/hosts']\n", ["/etc/hosts", "nothing in the repository"]),
        ("[key]\nfiles = ['../*']\n", ["../*", "nothing in the repository"]),
        ("[key]\npackages = ['no-such-package']\n", ["no-such-package", "not installed"]),
    ],
)
def test_settings(bench: Bench, text: str | bytes, words: list[str]) -> None:
    bench.file("benchmark.toml", text)
    refused(bench.dev_run(expect=None), *words)


def test_no_settings_at_all(bench: Bench) -> None:
    (bench.root / "benchmark.toml").unlink()
    refused(bench.dev_run(expect=None), "benchmark.toml", "own folder")


# -- the database


def test_a_database_that_another_run_is_writing_to(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(fresh=True)
    bench.predict(
        f'while not os.path.exists("../go"):\n    time.sleep(0.02)\n{GOOD}', "import os, time"
    )
    bench.commit()
    first = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    assert eventually(lambda: bool(bench.executed()), 60)
    second = bench.run("experiment", "e0.0.1", "--allow", OPENED, expect=None)
    third = bench.run("experiment", "e0.0.2", "--allow", OPENED, expect=None)
    bench.root.with_name("go").touch()
    ended = finished(first)
    assert ended.code == 0, ended.err
    refused(second, "another run", f"process {first.pid}", "the experiment e0.0.1")
    refused(third, "another run", "the experiment e0.0.1")
    assert bench.executed() == once_each(["low", "high"], 4)
    assert len(bench.rows()) == 8


def test_nothing_else_writes_while_an_experiment_is_scored(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(fresh=True)
    bench.file(
        "src/benchmark/metrics.py",
        f"import os, time\n{SCORE}".replace(
            "def score(row):\n",
            "def score(row):\n"
            '    open("../scoring", "w").close()\n'
            '    while not os.path.exists("../go"):\n'
            "        time.sleep(0.02)\n",
        ),
    )
    bench.commit()
    first = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    assert eventually(bench.root.with_name("scoring").exists, 60)
    assert len(bench.executed()) == 8
    for command in (
        ("experiment", "e0.0.1", "--allow", OPENED),
        ("experiment", "e0.0.2", "--allow", OPENED),
        ("rescore", "e0.0.1"),
        ("discard", "e0.0.1"),
    ):
        refused(bench.run(*command, expect=None), "another run", "the experiment e0.0.1")
    bench.root.with_name("go").touch()
    ended = finished(first)
    assert ended.code == 0, ended.err
    assert bench.git("tag", "--list").split() == ["e0.0.1"]


def test_the_dev_phase_and_an_experiment_may_run_at_the_same_time(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(fresh=True)
    bench.predict(
        f'while not os.path.exists("../go"):\n    time.sleep(0.02)\n{GOOD}', "import os, time"
    )
    bench.commit()
    first = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    assert eventually(lambda: bool(bench.executed()), 60)
    second = bench.start("dev-run")
    assert eventually(lambda: sum(bench.executed().values()) == 2, 60)
    bench.root.with_name("go").touch()
    assert (finished(first).code, finished(second).code) == (0, 0)
    assert (len(bench.rows()), len(bench.rows("dev"))) == (8, 8)


@pytest.mark.slow
def test_a_database_that_another_program_has_locked(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    recorded = bench.rows()
    connection = sqlite3.connect(bench.db, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        locked = bench.experiment("e0.0.2", expect=None)
    finally:
        connection.close()
    refused(locked, "benchmark.db", "another program", code=1)
    bench.experiment("e0.0.2")
    assert bench.rows() == recorded
    assert len(bench.rows("e0.0.2")) == 8


@pytest.mark.slow
def test_a_viewer_that_reads_all_the_time_costs_no_row(bench: Bench) -> None:
    """A dashboard beside a study that writes to SQLite: optuna/optuna-dashboard#545."""
    bench.items(100)
    bench.predict(
        "time.sleep(0.02)\nreturn {'prediction': 1, 'ground_truth': 1}", head="import time"
    )
    bench.commit()
    process = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    viewer = reading_since(bench, 10)
    try:
        done = finished(process, 200)
    finally:
        viewer.close()
    assert done.code == 1, done.said
    assert "benchmark.db: another program has it open" in done.said
    assert len(bench.rows()) == 200
    assert set(bench.executed().values()) == {1}
    bench.experiment("e0.0.1")
    assert set(bench.executed().values()) == {1}, "what was recorded ran again"
    assert bench.git("tag") == "e0.0.1"


def reading_since(bench: Bench, rows: int) -> sqlite3.Connection:
    """A connection that reads, and does not end to, once so many rows are there."""
    assert eventually(lambda: bench.executed().total() > rows, 100)
    viewer = sqlite3.connect(bench.db, isolation_level=None)
    viewer.execute("BEGIN")
    viewer.execute("SELECT count(*) FROM predictions").fetchone()
    return viewer


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_a_database_that_is_damaged(bench: Bench, engine: str) -> None:
    bench.settings(store={"engine": engine})
    garbage = b"this is no database\n" * 500
    bench.db.write_bytes(garbage)
    refused(bench.experiment("e0.0.1", expect=None), "benchmark.db", "git checkout", code=1)
    assert bench.db.read_bytes() == garbage
    bench.db.unlink()
    bench.experiment("e0.0.1")


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_limit_on_the_size_of_files(bench: Bench, executor: str) -> None:
    """Nearly a full disk, where none can be made: SQLite cannot write on."""
    bench.settings(run={"executor": executor, "workers": 2})
    bench.items(300)
    bench.predict(LONG, head="import time")
    bench.commit()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    done = bench.run("experiment", "e0.0.1", "--allow", OPENED, expect=None, before=limit)
    refused(done, "cannot write", code=1)
    bench.experiment("e0.0.1")
    assert len(bench.rows()) == 600
    again = sum(bench.executed().values()) - 600
    assert again < 300, "what was recorded before the disk was full was computed again"


FULL = """
import os, subprocess, sys
root, place = sys.argv[1:3]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", place], check=True)
command = [sys.executable, "-m", "harness", "experiment", "e0.0.1", "--allow", sys.argv[3]]
first = subprocess.run(command, cwd=root, capture_output=True, text=True)
subprocess.run(["mount", "-o", "remount,size=50m", place], check=True)
second = subprocess.run(command, cwd=root, capture_output=True, text=True)
import json, sqlite3
rows = sqlite3.connect(os.path.join(root, "results/benchmark.db")).execute(
    "SELECT count(*), count(DISTINCT task_key) FROM predictions").fetchone()
print(json.dumps([first.returncode, first.stderr, second.returncode, second.stderr, rows]))
"""


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("duckdb", marks=pytest.mark.slow)])
@pytest.mark.parametrize("full", ["results", ".cache"])
def test_a_full_disk(bench: Bench, engine: str, full: str) -> None:
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    if not shutil.which("unshare") or subprocess.run([*own, "true"]).returncode:
        pytest.skip("a small disk of its own needs root or user namespaces")
    bench.settings(store={"engine": engine})
    bench.items(300)
    bench.predict(LONG, head="import time")
    bench.commit()
    place = bench.root / full
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        [*own, sys.executable, "-c", FULL, str(bench.root), str(place), f"{OPENED},clean"],
        env=bench.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    code, err, second_code, second_err, rows = json.loads(done.stdout)
    refused(Done(code, "", err), "full" if full == "results" else "cache", "space", code=1)
    assert second_code == 0, second_err
    assert rows == [600, 600]
    assert sum(bench.executed().values()) < 900


# -- the cache


def entries(bench: Bench) -> sqlite3.Connection:
    return sqlite3.connect(bench.root / ".cache/cache.db", isolation_level=None)


@pytest.mark.parametrize(
    ("damage", "big"),
    [
        pytest.param("UPDATE Cache SET value = x'80049502'", False, id="cut off"),
        pytest.param("UPDATE Cache SET value = x''", False, marks=pytest.mark.slow, id="empty"),
        pytest.param(
            "UPDATE Cache SET value = 'a word', mode = 1", False, marks=pytest.mark.slow, id="other"
        ),
        pytest.param("UPDATE Cache SET filename = 'gone.val'", True, id="file gone"),
    ],
)
def test_an_entry_of_the_cache_that_is_damaged(bench: Bench, damage: str, big: bool) -> None:
    size = 200_000 if big else 10
    bench.predict(f'return {{"prediction": "x" * {size}, "ground_truth": 1}}')
    bench.experiment("e0.0.1")
    keys = [row["task_key"] for row in bench.rows() if row["input_id"] == "i2"]
    connection = entries(bench)
    for key in keys:
        assert connection.execute(f"{damage} WHERE key = ?", (key,)).rowcount == 1
    connection.close()
    bench.forget()
    done = bench.experiment("e0.0.2")
    assert bench.executed() == {("low", "i2"): 1, ("high", "i2"): 1}
    assert "2 cache entries could not be read and were computed again" in done.said
    rows = bench.rows("e0.0.2")
    assert {row["prediction"] for row in rows} == {"x" * size}
    bench.forget()
    assert "could not be read" not in bench.experiment("e0.0.3").said
    assert not bench.executed(), "the entries were not repaired"


@pytest.mark.parametrize(
    "damage",
    ["middle", *(pytest.param(each, marks=pytest.mark.slow) for each in ("header", "empty"))],
)
def test_a_cache_that_is_damaged_as_a_whole(bench: Bench, damage: str) -> None:
    bench.experiment("e0.0.1")
    path = bench.root / ".cache/cache.db"
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:100] = b"x" * 100
    elif damage == "middle":
        content[4096:] = os.urandom(len(content) - 4096)
    else:
        content = bytearray()
    path.write_bytes(content)
    for name in ("cache.db-wal", "cache.db-shm"):
        path.with_name(name).unlink(missing_ok=True)
    bench.forget()
    done = bench.experiment("e0.0.2", expect=None)
    if done.code:  # it opened, and was found to be damaged only later
        refused(done, "cache", "mv .cache .cache-damaged", code=done.code)
        path.parent.rename(bench.root.with_name("damaged"))
        bench.experiment("e0.0.2")
    # What stands in rows is not paid for again, whatever became of the cache.
    assert not bench.executed() or damage == "middle"
    if damage == "header":
        assert "cache" in done.said
        assert "damaged" in done.said or "could not be read" in done.said
    assert len(bench.rows("e0.0.2")) == 8
    bench.forget()
    bench.experiment("e0.0.3")
    assert not bench.executed()


# -- the command line


@pytest.mark.parametrize(
    "command",
    [
        ["dev-run", "--items", "0"],
        ["dev-run", "--items", "many"],
        ["experiment"],
        ["experiment", "e0.0.1", "--allow", "everything"],
        ["no-such-command"],
        ["explain"],
    ],
)
def test_commands_that_do_not_exist_or_miss_something(bench: Bench, command: list[str]) -> None:
    done = bench.run(*command, expect=2)
    assert "Traceback" not in done.said
    assert "│" not in done.said  # a sentence, not a box
    assert not bench.executed()


def test_a_folder_that_is_no_benchmark(bench: Bench, tmp_path: Path) -> None:
    text = (
        "import sys; from harness.__main__ import main; sys.argv = ['harness', 'dev-run']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        cwd=tmp_path,
        env=bench.environment(),
        capture_output=True,
        text=True,
    )
    refused(Done(done.returncode, done.stdout, done.stderr), "benchmark.toml")
