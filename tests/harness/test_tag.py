"""Promise 7, A tag is the whole truth: it brings back code, data and results."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import OPENED, Bench, once_each

LAYOUTS = ["append-only", "table-per-experiment", "database-per-experiment"]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def database(bench: Bench, layout: str, tag: str = "e0.0.1") -> Path:
    name = f"{tag}.db" if layout == "database-per-experiment" else "benchmark.db"
    return bench.root / "results" / name


def dvc(bench: Bench, *arguments: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder or bench.root,
        env=bench.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_tree_is_clean_and_the_tag_says_what_was_found(bench: Bench, layout: str) -> None:
    bench.settings(store={"layout": layout})
    bench.commit()
    bench.run("experiment", "e0.0.1", "--allow", OPENED, "--message", "first | 'look' ü 😀")
    assert bench.git("status", "--porcelain") == ""
    assert bench.git("cat-file", "-t", "e0.0.1") == "tag"
    words = bench.git("for-each-ref", "refs/tags/e0.0.1", "--format=%(contents)").splitlines()
    assert re.fullmatch(
        r"2 configurations, by correct 2 of them may be the best \| data=[0-9a-f]{12} \| "
        r"first \| 'look' ü 😀",
        words[0],
    )
    assert words[1] == ""
    assert [line.split(" | ")[0] for line in words[2:4]] == [
        "model=low threshold=0.25",
        "model=high threshold=0.75",
    ]
    assert re.fullmatch(r"model=low threshold=0\.25 \| n=4 correct=0\.\d+", words[2])
    db = database(bench, layout)
    kept = bench.git("ls-files", "results").splitlines()
    assert db.relative_to(bench.root).as_posix() in kept
    assert bench.git("rev-parse", "e0.0.1^{commit}") == bench.git("rev-parse", "HEAD")
    # The commit that ran stands in `runs`; the tagged one adds nothing but what came of it.
    [run] = bench.sql("SELECT commit_hash, message FROM runs", db)
    assert run["commit_hash"] == bench.git("rev-parse", "HEAD~1")
    changed = bench.git("diff", "--name-only", "HEAD~1", "HEAD").splitlines()
    assert all(name.startswith("results/") for name in changed)
    assert run["message"] == "first | 'look' ü 😀"


def test_the_configuration_that_is_ahead_of_all_others_is_named_first(bench: Bench) -> None:
    bench.items(40)
    bench.params('[Params("bad"), Params("good"), Params("middling")]')
    bench.score(
        """
        from harness import Score

        SCORES = {"correct": Score("proportion", better="higher")}


        def score(row):
            return {"correct": {"bad": 0, "good": 1}.get(row["params_model"], row["x"])}
        """
    )
    bench.predict('return {"prediction": 1, "ground_truth": 1, "x": item["label"]}')
    bench.experiment("e0.0.1")
    assert bench.git("for-each-ref", "--format=%(contents:subject)", "refs/tags").startswith(
        "model=good threshold=0.5 | correct=1 | "
    )


def test_two_experiments_in_one_file_keep_both(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    first = bench.rows("e0.0.1")
    bench.params('[Params("mid", 0.5)]')
    bench.experiment("e0.0.2")
    assert bench.rows("e0.0.1") == first
    assert len(bench.rows("e0.0.2")) == 4
    data = bench.sql("SELECT data_version AS d FROM runs LIMIT 1")[0]["d"]
    assert bench.run("tags").out.count(data[:12]) == 2
    bench.git("checkout", "-q", "e0.0.1")
    assert bench.rows("e0.0.1") == first
    assert bench.sql("SELECT DISTINCT experiment_version AS e FROM predictions") == [
        {"e": "e0.0.1"}
    ]


@pytest.mark.parametrize(
    ("layout", "engine"),
    [
        ("append-only", "sqlite"),
        pytest.param("append-only", "duckdb", marks=pytest.mark.slow),
        pytest.param("database-per-experiment", "sqlite", marks=pytest.mark.slow),
        pytest.param("table-per-experiment", "duckdb", marks=pytest.mark.slow),
    ],
)
def test_a_tag_is_the_whole_truth(
    make_bench: Callable[..., Bench], tmp_path: Path, layout: str, engine: str
) -> None:
    bench = make_bench(dvc=True)
    remote, store = tmp_path / "remote.git", tmp_path / "dvc-store"
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    bench.git("remote", "add", "origin", str(remote))
    dvc(bench, "remote", "add", "-q", "-d", "local", str(store))
    bench.settings(store={"layout": layout, "engine": engine})
    bench.dataset(
        """
        folder = Path(__file__).parents[2] / "data"
        return [{"id": p.stem, "page": p, "label": "one"} for p in sorted(folder.glob("*.txt"))]
        """
    )
    bench.predict('return {"prediction": item["page"].read_text(), "ground_truth": "one"}')
    for n in range(3):
        bench.file(f"data/page{n}.txt", f"page {n}")
    bench.run("data")
    bench.commit()
    bench.experiment("e0.0.1")
    assert bench.git("status", "--porcelain") == ""
    assert "up to date" in dvc(bench, "status")
    db = database(bench, layout)
    before = digest(db)

    for number in range(4):  # later work must not reach what was tagged
        bench.file(f"data/page{number}.txt", "later")
    bench.run("data")
    bench.commit()
    bench.experiment("e0.0.2")
    assert bench.git("status", "--porcelain") == ""

    clone = tmp_path / "clone"
    bench.git("clone", "-q", str(remote), str(clone))
    subprocess.run(["git", "checkout", "-q", "e0.0.1"], cwd=clone, check=True)
    dvc(bench, "pull", "-q", folder=clone)
    assert digest(clone / db.relative_to(bench.root)) == before
    assert (clone / "data/page1.txt").read_text() == "page 1"
    assert not (clone / "data/page3.txt").exists()
    table = "predictions_e0_0_1" if layout == "table-per-experiment" else "predictions"
    rows = bench.sql(f"SELECT * FROM {table}", clone / db.relative_to(bench.root))
    assert sorted({row["prediction"] for row in rows}) == ["page 0", "page 1", "page 2"]


def test_reading_results_does_not_change_them(make_bench: Callable[..., Bench]) -> None:
    """Else DVC and git would call a result modified that somebody merely looked at."""
    bench = make_bench(dvc=True)
    bench.experiment("e0.0.1")
    before = digest(bench.db)
    row = bench.rows()[0]
    # As `make setup` does, so that xetrack's duckdb engine needs no network.
    bench.python("import duckdb_extensions as e; e.import_extension('sqlite_scanner')")

    bench.xt("head", str(bench.db), "--table", "predictions")
    bench.xt("ls", str(bench.db), "track_id", "--unique", "--table", "runs")
    bench.xt("tail", str(bench.db), "--table", "db.predictions", "--engine", "duckdb")
    assert digest(bench.db) == before, "xt with a table changed it"
    bench.reader(bench.db, "predictions", "sqlite")
    bench.reader(bench.db, "db.metrics", "duckdb")
    assert digest(bench.db) == before, "xetrack.Reader changed it"
    bench.duckdb(bench.db, "SELECT count(*) FROM b.predictions")
    assert digest(bench.db) == before, "DuckDB changed it"
    bench.run("summary", expect=None)
    bench.run("explain", row["input_id"])
    bench.run("dry-run")
    assert digest(bench.db) == before, "a command of the harness changed it"
    # Without a table xetrack works on one called `default`, and makes it where there is none.
    bench.xt("sql", str(bench.db), "SELECT count(*) FROM predictions")
    bench.xt("assets", "ls", str(bench.db))
    assert digest(bench.db) == before, "xt without a table changed it"
    assert "up to date" in dvc(bench, "status")
    assert bench.git("status", "--porcelain") == ""


def test_data_that_dvc_has_not_recorded_blocks(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(dvc=True)
    bench.file("data/big.bin", "one")
    bench.run("data")
    bench.commit()
    bench.experiment("e0.0.1")
    bench.file("data/big.bin", "two")
    done = bench.experiment("e0.0.2", expect=1)
    assert "gate data:" in done.said
    assert "make data" in done.said
    bench.run("data")
    bench.experiment("e0.0.2")


# -- interrupted between the steps at the end

HOOK = """#!/bin/sh
# Ends the harness at this step of its own commit, once.
test -e {marker} && exit 0
touch {marker}
kill -9 $(ps -o ppid= -p $PPID)
sleep 0.2
exit 1
"""


@pytest.mark.parametrize(
    ("step", "with_dvc"),
    [
        ("prepare-commit-msg", True),
        ("post-commit", False),
        pytest.param("prepare-commit-msg", False, marks=pytest.mark.slow),
        pytest.param("post-commit", True, marks=pytest.mark.slow),
    ],
)
def test_killed_around_the_commit_and_resumed(
    make_bench: Callable[..., Bench], step: str, with_dvc: bool
) -> None:
    bench = make_bench(dvc=with_dvc, fresh=True)
    marker = bench.root.with_name("killed")
    bench.file(f".git/hooks/{step}", HOOK.format(marker=marker)).chmod(0o755)
    bench.run("experiment", "e0.0.1", "--allow", OPENED, expect=-9)
    assert marker.exists()
    assert bench.git("tag") == ""
    (bench.root / ".git/index.lock").unlink(missing_ok=True)  # git names it itself where it stays
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    assert bench.executed() == once_each(["low", "high"], 4)
    assert len(bench.rows()) == 8
    assert bench.git("tag") == "e0.0.1"
    assert bench.git("status", "--porcelain") == ""
    assert bench.git("rev-parse", "e0.0.1^{commit}") == bench.git("rev-parse", "HEAD")


def test_a_remote_that_cannot_be_reached_does_not_undo_the_tag(
    bench: Bench, tmp_path: Path
) -> None:
    remote = tmp_path / "remote.git"
    bench.git("remote", "add", "central", str(remote))
    done = bench.experiment("e0.0.1")
    push = "git push central HEAD refs/tags/e0.0.1"
    assert "note: central cannot be asked for its tags: git ls-remote: " in done.err
    assert "not pushed" in done.said
    assert push in done.said
    assert bench.git("tag") == "e0.0.1"
    # The same holds for a kill before the push: the same command says how to do it.
    again = bench.experiment("e0.0.1", expect=2)
    assert (
        f"e0.0.1 is taken but not pushed fix: {push}; the next one: make experiment" in again.said
    )
    subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
    bench.git(*push.split()[1:])
    assert "not pushed" not in bench.experiment("e0.0.1", expect=2).said


def test_only_the_results_are_committed(bench: Bench) -> None:
    """What a person has staged and not committed stays theirs."""
    bench.file("mine.txt", "x")
    bench.git("add", "mine.txt")
    bench.run("experiment", "e0.0.1", "--allow", f"{OPENED},clean")
    assert bench.git("status", "--porcelain") == "A  mine.txt"
    assert "mine.txt" not in bench.git("show", "--name-only", "--format=", "HEAD")


def test_discard_drops_an_unfinished_experiment_and_never_a_tagged_one(bench: Bench) -> None:
    bench.experiment("e0.0.1")
    refused = bench.run("discard", "e0.0.1", expect=2)
    assert "is tagged" in refused.said
    bench.git("tag", "-d", "e0.0.1")
    assert "not deleted" in bench.run("discard", "e0.0.1", expect=2).said, "its commit knows it"
    assert len(bench.rows()) == 8
    bench.file(".git/hooks/prepare-commit-msg", "#!/bin/sh\nexit 1\n").chmod(0o755)
    bench.experiment("e0.0.2", expect=1)
    bench.run("discard", "e0.0.2")
    assert bench.rows("e0.0.2") == []
    (bench.root / ".git/hooks/prepare-commit-msg").unlink()
    bench.forget()
    bench.experiment("e0.0.2")
    assert not bench.executed(), "its results stay in the cache"
