"""Results of another checkout, database, branch or tag are added to those here, or nothing is."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.harness.project_fixture import OPENED, PROJECT, Bench
from tests.harness.test_fit import model_files, with_large_models
from tests.harness.test_published import clone, shared

OTHER_GRID = '[Params("mid", 0.5), Params("low", 0.25)]'


def branched(bench: Bench, tag: str, grid: str = OTHER_GRID, branch: str = "exp/other") -> None:
    """An experiment on a branch of its own; then back to where we were."""
    before = bench.git("branch", "--show-current")
    bench.git("switch", "-q", "-c", branch)
    bench.params(grid)
    bench.experiment(tag)
    bench.git("switch", "-q", before)


@pytest.fixture(scope="module")
def _two(make_module_bench: Callable[[], Bench]) -> Bench:
    """e0.0.1 here; e0.0.1 and e0.0.2 on the branch exp/other."""
    bench = make_module_bench()
    bench.experiment("e0.0.1")
    branched(bench, "e0.0.2")
    return bench


@pytest.fixture
def two(_two: Bench, tmp_path: Path) -> Bench:
    return _two.copy(tmp_path / "bench")


def every_row(db: Path) -> dict[str, list[Any]]:
    """All tables but the log of merges, each row as a sorted list of what it holds."""
    with closing(sqlite3.connect(db)) as con:
        con.row_factory = sqlite3.Row
        names = con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: sorted(
                repr(sorted((k, v) for k, v in dict(row).items() if v is not None))
                for row in con.execute(f'SELECT * FROM "{name}"')
            )
            for (name,) in names
            if name != "merges"
        }


def test_a_branch_is_merged_once_and_everything_reads_it(two: Bench) -> None:
    there = two.root.with_name("there.db")
    there.write_bytes(
        subprocess.run(
            ["git", "show", "exp/other:results/benchmark.db"], cwd=two.root, capture_output=True
        ).stdout
    )
    said = two.run("merge", "exp/other").said
    assert "results/benchmark.db: 12 rows merged from exp/other" in said
    assert 'git add results/benchmark.db && git commit -m "merge the results of exp/other"' in said
    assert every_row(two.db) == every_row(there)
    assert [row["origin"] for row in two.sql("SELECT origin FROM merges")] == ["exp/other"]
    before = two.db.read_bytes()
    assert "nothing new in exp/other" in two.run("merge", "exp/other").said
    assert "nothing new in e0.0.1" in two.run("merge", "e0.0.1").said
    assert two.db.read_bytes() == before

    for engine in ("sqlite", "duckdb"):
        assert len(two.reader(two.db, "predictions", engine)) == 16
    assert "e0.0.2" in two.xt("head", str(two.db), "--n=16", "--table=predictions")
    assert len(two.duckdb(two.db, "SELECT * FROM b.predictions")) == 16
    two.run("compare", "e0.0.1", "e0.0.2", expect=None)
    assert "no findings" in two.run("validate").said
    # And the next experiment goes on from it.
    two.commit()
    two.experiment("e0.0.3")
    assert len(two.rows("e0.0.3")) == 8


@pytest.mark.parametrize(
    "layout",
    ["table-per-experiment", pytest.param("database-per-experiment", marks=pytest.mark.slow)],
)
def test_a_folder_of_another_layout_is_merged(two: Bench, tmp_path: Path, layout: str) -> None:
    other = two.copy(tmp_path / "other")
    other.git("switch", "-q", "exp/other")
    other.settings(store={"layout": layout})
    other.commit()
    other.experiment("e0.0.3")
    two.run("merge", str(other.root), "--allow", "data,schema")
    have = two.sql("SELECT experiment_version AS e, count(*) AS n FROM predictions GROUP BY 1")
    assert {row["e"]: row["n"] for row in have}["e0.0.3"] == 8
    assert {row["name"] for row in two.sql("SELECT name FROM scores")} == {"correct"}


def test_rows_that_differ_stop_the_merge_and_are_listed(two: Bench) -> None:
    other = two.root.with_name("other.db")
    shutil.copy(two.db, other)
    with closing(sqlite3.connect(other)) as con:
        con.execute("UPDATE predictions SET correct = 9 WHERE input_id = 'i2'")
        con.commit()
    before = two.db.read_bytes()
    refused = two.run("merge", str(other), expect=1)
    assert "conflict: e0.0.1: 2 rows of predictions differ from those in" in refused.said
    assert "in correct" in refused.said
    assert "input_id=i2, model=high, threshold=0.75" in refused.said
    assert two.db.read_bytes() == before

    said = two.run("rebase", str(other)).said
    assert "what was here before is results/aside/benchmark.db.before-rebase.1" in said
    backup = two.root / "results/aside/benchmark.db.before-rebase.1"
    assert backup.read_bytes() == before
    assert every_row(two.db) == every_row(other)


def test_an_experiment_that_two_ran_is_one_sentence(two: Bench, tmp_path: Path) -> None:
    other = two.copy(tmp_path / "other")
    other.git("tag", "-d", "e0.0.2")
    for bench in (two, other):
        bench.git("branch", "-q", "-D", "exp/other", check=False)
    two.git("tag", "-d", "e0.0.2")
    two.params('[Params("a", 0.1)]')
    two.experiment("e0.0.2")
    other.experiment("e0.0.2")
    refused = two.run("merge", str(other.root), expect=1)
    assert "made_twice: e0.0.2: it was run here and, separately, in" in refused.said
    assert "make retag TAG=e0.0.2 TO=" in refused.said
    assert "conflict:" not in refused.said
    assert len(two.rows("e0.0.2")) == 4

    # Theirs was published first: our rows get another name, and nothing is run again.
    other.git("remote", "add", "origin", str(two.root))
    other.run("retag", "e0.0.2", "e0.0.4")
    two.run("merge", str(other.root))
    assert len(two.rows("e0.0.2")) == 4
    assert len(two.rows("e0.0.4")) == 8


def test_other_data_columns_and_types_are_refused_until_they_are_allowed(two: Bench) -> None:
    two.git("switch", "-q", "exp/other")
    two.items(5, extra="n")
    two.params('[Params("deep", 3)]', fields="model: str\ndepth: int = 1")
    two.predict('return {"prediction": "yes", "ground_truth": "yes", "certainty": 0.5}')
    two.run("experiment", "e0.0.3", "--allow", f"{OPENED},schema,clean", expect=None)
    shutil.copy(two.db, two.root.with_name("other.db"))
    two.git("stash", "-q", "--include-untracked")
    two.git("switch", "-q", "feat/try")
    other, before = str(two.root.with_name("other.db")), two.db.read_bytes()
    refused = two.run("merge", other, expect=1)
    assert "e0.0.3 ran on the data" in refused.said
    assert "params_depth is no column here" in refused.said
    assert "certainty is no column here" in refused.said
    assert "ALLOW=data,schema" in refused.said
    assert "data" in two.run("merge", other, "--allow", "schema", expect=1).said
    assert "allow" in two.run("merge", other, "--allow", "everything", expect=2).said
    assert two.db.read_bytes() == before

    with closing(sqlite3.connect(other)) as con:
        con.execute("ALTER TABLE predictions DROP COLUMN correct")
        con.execute("ALTER TABLE predictions ADD COLUMN correct TEXT")
        con.execute("UPDATE predictions SET correct = 'one' WHERE experiment_version = 'e0.0.3'")
        con.execute("DELETE FROM predictions WHERE experiment_version <> 'e0.0.3'")
        con.commit()
    refused = two.run("merge", other, "--allow", "data,schema", expect=1)
    assert "predictions.correct is INTEGER here and TEXT there" in refused.said
    two.run("merge", other, "--allow", "data,schema,types")
    [log] = two.sql("SELECT differences FROM merges")
    assert "certainty is no column here" in log["differences"]
    assert "is INTEGER here and TEXT there" in log["differences"]
    kinds = two.sql("SELECT DISTINCT typeof(correct) AS t FROM predictions")
    assert [row["t"] for row in kinds] == ["text"]


def test_what_cannot_be_merged_is_a_sentence_and_changes_nothing(
    two: Bench, tmp_path: Path
) -> None:
    before = two.db.read_bytes()

    def refused(origin: str, *words: str, code: int = 2) -> None:
        said = two.run("merge", origin, expect=code).said
        for word in words:
            assert word in said, said
        assert two.db.read_bytes() == before

    refused("nowhere", "there is no file, folder, branch or tag 'nowhere' here")
    refused("", "git has no unmerged results here", "make merge FROM=")
    refused(".", "is what is here already")
    refused("benchmark.toml", "benchmark.toml is no SQLite database")
    (tmp_path / "empty").mkdir()
    refused(str(tmp_path / "empty"), "has no results")

    stranger = tmp_path / "stranger.db"
    shutil.copy(two.db, stranger)
    with closing(sqlite3.connect(stranger)) as con:
        con.execute("UPDATE runs SET settings = replace(settings, '\"tiny\"', '\"other\"')")
        con.commit()
    refused(str(stranger), "it is of the benchmark other, and this one is tiny", code=1)
    stranger.write_bytes(before[:8000])
    refused(str(stranger), "stranger.db: it is damaged or no database", code=1)

    with closing(sqlite3.connect(two.db)) as con:
        con.execute("PRAGMA user_version = 7")  # as of a file from elsewhere
    edited = two.run("merge", "exp/other", expect=1).said
    assert "results/benchmark.db is not the version that git records now" in edited
    assert "git checkout HEAD -- results/benchmark.db" in edited
    two.git("checkout", "-q", "--", "results")

    two.git("checkout", "-q", "--detach")
    refused("exp/other", "no branch is checked out", "git switch -c")
    two.git("switch", "-q", "feat/try")
    left = two.root / "results/aside/merging/work"  # by a merge that was killed
    left.mkdir(parents=True)
    (left / "benchmark.db").write_bytes(b"half")
    two.run("merge", "exp/other")
    assert not left.exists()
    assert two.git("status", "--porcelain") == "M results/benchmark.db"


def test_a_shallow_clone_says_what_it_lacks(two: Bench, tmp_path: Path) -> None:
    shared(two, tmp_path)
    shallow = clone(two, tmp_path / "shallow", "--no-tags", "--depth=1")
    said = shallow.run("merge", "e0.0.2", expect=2).said
    assert "this clone is shallow" in said
    assert "git fetch --unshallow --tags" in said
    refused = shallow.run("experiment", "e0.0.1", "--allow", OPENED, expect=2)
    assert "note: this clone is shallow" in refused.said
    shallow.git("fetch", "-q", "--unshallow", "--tags")
    assert "12 rows merged" in shallow.run("merge", "e0.0.2").said


def test_a_database_of_an_earlier_harness_is_merged_by_name(two: Bench) -> None:
    """It had no tables of declarations, no sequence of runs, and other columns."""
    other = two.root.with_name("old.db")
    shutil.copy(two.db, other)
    with closing(sqlite3.connect(other)) as con:
        con.execute("UPDATE predictions SET experiment_version = 'e0.0.0', track_id = 'old'")
        con.execute("UPDATE metrics SET experiment_version = 'e0.0.0', track_id = 'old'")
        con.execute("UPDATE runs SET experiment_version = 'e0.0.0', track_id = 'old'")
        con.execute("ALTER TABLE runs DROP COLUMN sequence")
        con.execute("ALTER TABLE runs DROP COLUMN published")
        con.execute("DROP TABLE score_declarations")
        con.execute("DROP TABLE uncounted_scores")
        con.execute("ALTER TABLE predictions DROP COLUMN fit_asset")
        con.commit()
    two.run("merge", str(other))
    assert len(two.rows("e0.0.0")) == 8
    assert "e0.0.0" in two.run("summary", "e0.0.0", expect=None).out


def test_a_database_of_a_newer_harness_is_merged_when_that_is_asked(two: Bench) -> None:
    """It has a table and columns that nobody here knows; nothing of it is lost."""
    other = two.root.with_name("new.db")
    shutil.copy(two.db, other)
    with closing(sqlite3.connect(other)) as con:
        for table in ("predictions", "metrics", "runs"):
            con.execute(f"ALTER TABLE {table} ADD COLUMN joules REAL")
            con.execute(f"UPDATE {table} SET experiment_version = 'e0.7.0', track_id = 'new', "
                        "joules = 2.5")  # fmt: skip
        con.execute("CREATE TABLE energy (experiment_version, task_key, joules REAL)")
        con.execute("INSERT INTO energy VALUES ('e0.7.0', 'k', 1.5)")
        con.commit()
    before = two.db.read_bytes()
    refused = two.run("merge", str(other), expect=1)
    assert "joules is no column here" in refused.said
    assert "ALLOW=schema" in refused.said
    assert two.db.read_bytes() == before
    two.run("merge", str(other), "--allow", "schema")
    assert two.sql("SELECT * FROM energy") == [
        {"experiment_version": "e0.7.0", "task_key": "k", "joules": 1.5}
    ]
    assert {row["joules"] for row in two.rows("e0.7.0")} == {2.5}
    assert {row["joules"] for row in two.rows()} == {None}
    assert two.run("summary", "e0.7.0", expect=None).out
    assert "nothing new" in two.run("merge", str(other), "--allow", "schema").said


KILLED = """
import atexit, importlib, os, sys
step, watched = int(sys.argv[1]), sys.argv[2].split(",")
left = [step]
atexit.register(lambda: print("steps:", step - left[0], file=sys.stderr))
def stop(event, arguments):
    if event in watched:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), 9)
for name in sys.argv[3].split(","):
    importlib.import_module(name)  # now, since Python renames what it compiles
sys.addaudithook(stop)
sys.argv = ["harness", *sys.argv[4:]]
from harness.cli import main
main()
"""


WATCHED = ("os.rename", "os.remove", "sqlite3.connect", "shutil.copyfile")
MERGING = "harness.version.merging.results,harness.cli.sharing"


def killed(
    bench: Bench,
    step: int,
    *command: str,
    watched: tuple[str, ...] = WATCHED,
    imported: str = MERGING,
) -> bool:
    """Kill -9 a command as it renames, removes, copies or opens its n-th file; whether it was."""
    return _watched(bench, step, command, watched, imported).returncode != 0


def steps_of(bench: Bench, *command: str, watched: tuple[str, ...], imported: str) -> int:
    """How many such steps a command has; it is run."""
    done = _watched(bench, 10**6, command, watched, imported)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.decode().rpartition("steps:")[2])


def _watched(
    bench: Bench, step: int, command: tuple[str, ...], watched: tuple[str, ...], imported: str
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(step), ",".join(watched), imported, *command],
        cwd=bench.root, env=bench.environment(), capture_output=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_kill_at_any_point_leaves_the_old_results_or_the_new(two: Bench, tmp_path: Path) -> None:
    old = every_row(two.db)
    two.copy(tmp_path / "whole").run("merge", "exp/other")
    new = every_row(tmp_path / "whole/results/benchmark.db")
    seen = set()
    for step in range(1, 40):
        bench = two.copy(tmp_path / f"bench{step}")
        if not killed(bench, step, "merge", "exp/other"):
            break
        now = every_row(bench.db)
        assert now in (old, new), step
        seen.add(now == new)
        bench.run("merge", "exp/other")
        assert every_row(bench.db) == new
    assert seen == {True, False}


# -- the script, on whatever database or Parquet file


def script(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    path = PROJECT / "scripts/merge_artifacts.py"
    return subprocess.run(
        [sys.executable, str(path), *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


def test_the_script_merges_databases_that_anybody_wrote(tmp_path: Path) -> None:
    for name, rows in (("a", "('r1', 't1', 1), ('r1', 't2', 2)"), ("b", "('r2', 't1', 3)")):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as con:
            con.execute("CREATE TABLE events (track_id, timestamp, loss REAL, "
                        "PRIMARY KEY (track_id, timestamp))")  # fmt: skip
            con.execute(f"INSERT INTO events VALUES {rows}")
            con.commit()
    done = script("a.db", "b.db", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "1 rows merged into a.db\n"), done.stderr
    assert "0 rows" in script("a.db", "b.db", cwd=tmp_path).stdout
    with closing(sqlite3.connect(tmp_path / "b.db")) as con:
        con.execute("UPDATE events SET loss = 9")
        con.commit()
    done = script("a.db", "b.db", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 row of events differ from those in b.db" in done.stdout
    assert script("a.db", "b.db", "--rebase", cwd=tmp_path).returncode == 0
    with closing(sqlite3.connect(tmp_path / "a.db")) as con:
        assert con.execute("SELECT sum(loss) FROM events").fetchone() == (12.0,)
    assert "no file" in script("a.db", "c.db", cwd=tmp_path).stderr


def test_the_script_merges_parquet_files(tmp_path: Path) -> None:
    con = duckdb.connect()
    for name, rows in (
        ("a", "SELECT 'e1' AS experiment_version, 'k' || i AS task_key, i AS x FROM range(3) t(i)"),
        ("b", "SELECT 'e1' AS experiment_version, 'k' || i AS task_key, i + 0.0 AS x, 'n' AS y "
              "FROM range(2, 5) t(i)"),
    ):  # fmt: skip
        con.execute(f"COPY ({rows}) TO '{tmp_path / name}.parquet' (FORMAT parquet)")
    wrong = script("a.parquet", "b.parquet", cwd=tmp_path)
    assert wrong.returncode in (1, 2)
    con.execute(f"COPY (SELECT * REPLACE (x::DOUBLE AS x) FROM '{tmp_path}/b.parquet') "
                f"TO '{tmp_path}/c.parquet' (FORMAT parquet)")  # fmt: skip
    differs = script("a.parquet", "c.parquet", cwd=tmp_path)
    assert (differs.returncode, "differs: e1, k2" in differs.stdout) == (1, True), differs.stderr
    done = script("a.parquet", "c.parquet", "--rebase", cwd=tmp_path)
    assert done.returncode == 0
    read = con.execute(f"SELECT task_key, x, y FROM '{tmp_path}/a.parquet' ORDER BY 1").fetchall()
    assert read == [("k0", 0, None), ("k1", 1, None), ("k2", 2, "n"), ("k3", 3, "n"),
                    ("k4", 4, "n")]  # fmt: skip
    assert "0 rows" in script("a.parquet", "c.parquet", cwd=tmp_path).stdout


@pytest.mark.slow
@pytest.mark.parametrize("dvc", [False, True])
def test_models_that_are_files_come_along(
    make_bench: Callable[..., Bench], tmp_path: Path, dvc: bool
) -> None:
    bench = make_bench(dvc=dvc)
    with_large_models(bench)
    branched(bench, "e0.0.2", grid='[Params("low"), Params("high")]')
    shutil.rmtree(bench.root / "results/fitted", ignore_errors=True)  # what DVC left here
    bench.db.unlink(missing_ok=True)
    said = " ".join(bench.run("merge", "exp/other").said.split())
    names = [file.name for file in model_files(bench)]
    assert len(names) == 2
    kept = "results/fitted/e0.0.2.dvc" if dvc else "results/fitted/e0.0.2"
    assert f"{kept} " in said, "git is to keep them too"
    if dvc:
        return
    # What was lost comes back with the same merge, from a folder too; what it lacks is said.
    there = tmp_path / "there"
    shutil.copytree(bench.root, there)
    shutil.rmtree(bench.root / "results/fitted")
    bench.run("merge", str(there))
    assert [file.name for file in model_files(bench)] == names
    (there / "results/fitted/e0.0.2" / names[0]).write_bytes(b"damaged")
    shutil.rmtree(bench.root / "results/fitted")
    said = " ".join(bench.run("merge", str(there)).said.split())
    assert "1 fitted model is not there" in said
    assert [file.name for file in model_files(bench)] == names[1:]
