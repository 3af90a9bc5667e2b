"""Whoever merges what in which order, the same rows come out."""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.version.merging.databases import LOG, copy_database, merge

KINDS = ("INTEGER", "REAL", "TEXT")
# Rows of a world in which a key has one content, whoever recorded it.
ROWS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 4)), unique=True, max_size=10
)  # experiment, task
DATABASES = st.fixed_dictionaries(
    {
        "rows": ROWS,
        "kind": st.sampled_from(KINDS),
        "more": st.sets(st.sampled_from(["params_a", "b", "c d"])),
        "notes": st.lists(st.integers(0, 1), max_size=4),
        "names": st.sets(st.integers(0, 3)),
    }
)


def value_of(experiment: int, task: int, kind: str) -> Any:
    """A number as a column of this type has it; one in five is beyond what a REAL holds."""
    number = 2**53 + 1 if task == 4 and kind != "REAL" else experiment * 10 + task
    return {"INTEGER": int, "REAL": float, "TEXT": str}[kind](number)


def written(path: Path, content: dict[str, Any]) -> Path:
    """A database of these rows; where a column is not there, its rows have nothing in it."""
    more = "".join(f', "{name}" TEXT' for name in sorted(content["more"]))
    with closing(sqlite3.connect(path)) as con:
        con.executescript(
            "CREATE TABLE predictions (track_id VARCHAR, timestamp VARCHAR, experiment_version TEXT"
            f", task_key TEXT, value {content['kind']}{more}, PRIMARY KEY (track_id, timestamp));"
            "CREATE UNIQUE INDEX once_predictions ON predictions (experiment_version, task_key);"
            "CREATE TABLE runs (track_id TEXT, experiment_version TEXT, sequence INTEGER);"
            "CREATE TABLE notes (text TEXT);"
            "CREATE TABLE scores (predictions TEXT, name TEXT, UNIQUE (predictions, name));"
            "CREATE TABLE judgements (track_id VARCHAR, timestamp VARCHAR, experiment_version TEXT,"
            " task_key TEXT, judge TEXT, verdict INTEGER, PRIMARY KEY (track_id, timestamp));"
            "CREATE TABLE judge_runs (track_id TEXT, experiment_version TEXT, sequence INTEGER);"
            "CREATE TABLE aggregate_resamples (experiment_version TEXT, params_key TEXT, name TEXT,"
            " estimate REAL, drawn TEXT);"
        )
        for experiment, task in content["rows"]:
            if content["kind"] == "REAL" and task == 4:
                continue
            con.execute(
                "INSERT INTO predictions (track_id, timestamp, experiment_version, task_key, value)"
                " VALUES (?, ?, ?, ?, ?)",
                (f"run{experiment}", str(task), f"e0.0.{experiment}", f"k{task}",
                 value_of(experiment, task, content["kind"])),
            )  # fmt: skip
        for experiment in sorted({experiment for experiment, _ in content["rows"]}):
            row = (f"run{experiment}", f"e0.0.{experiment}", experiment)
            con.execute("INSERT INTO runs VALUES (?, ?, ?)", row)
            con.execute("INSERT INTO judge_runs VALUES (?, ?, ?)", ("j" + row[0], *row[1:]))
            for name in ("f1", "auc"):
                draws = (row[1], '{"a": 1}', name, experiment / 7, f"[{experiment}.5, null]")
                con.execute("INSERT INTO aggregate_resamples VALUES (?, ?, ?, ?, ?)", draws)
        for experiment, task in content["rows"]:
            judged = (f"jrun{experiment}", str(task), f"e0.0.{experiment}", f"j{task}", "strict", 1)
            con.execute("INSERT INTO judgements VALUES (?, ?, ?, ?, ?, ?)", judged)
        con.executemany("INSERT INTO notes VALUES (?)", [(str(n),) for n in content["notes"]])
        con.executemany("INSERT INTO scores VALUES ('p', ?)", [(str(n),) for n in content["names"]])
        con.commit()
    return path


def content_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows without their order, by the names of columns that hold something."""
    found = {}
    with closing(sqlite3.connect(path)) as con:
        con.row_factory = sqlite3.Row
        tables = con.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in tables:
            rows = con.execute(f'SELECT * FROM "{name}"').fetchall()
            found[name] = sorted(
                (
                    tuple(sorted((k, v) for k, v in dict(row).items() if v is not None))
                    for row in rows
                ),
                key=repr,
            )
    found.pop(LOG, None)
    return found


def types_of(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as con:
        return {(row[1], row[2]) for row in con.execute("PRAGMA table_info(predictions)")}


def merged(folder: Path, name: str, first: Path, *others: Path) -> Path:
    path = folder / f"{name}.db"
    copy_database(first, path)
    for other in others:
        assert not merge(path, other, "elsewhere").stopped
    return path


@given(st.lists(DATABASES, min_size=3, max_size=3))
@settings(max_examples=15, deadline=None)
def test_merging_is_associative_commutative_and_idempotent(contents: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        a, b, c = (written(folder / f"{i}.db", content) for i, content in enumerate(contents))
        ab, ba = merged(folder, "ab", a, b), merged(folder, "ba", b, a)
        assert content_of(ab) == content_of(ba)
        assert types_of(ab) == types_of(ba)
        left = merged(folder, "left", ab, c)
        right = merged(folder, "right", a, merged(folder, "bc", b, c))
        assert content_of(left) == content_of(right)
        assert types_of(left) == types_of(right)
        before = left.stat().st_size
        for again in (a, b, c, ab):
            assert merge(left, again, "elsewhere").rows == 0
        assert left.stat().st_size == before
        # Its log of merges is new here, its results are not.
        assert merge(left, right, "elsewhere").rows == 0
        assert content_of(left) == content_of(right)


@given(DATABASES, DATABASES, st.data())
@settings(max_examples=10, deadline=None)
def test_a_merge_with_what_both_began_from_takes_each_sides_changes(
    base: dict[str, Any], theirs: dict[str, Any], data: st.DataObject
) -> None:
    """What one side deleted stays deleted, what it added is added; git does so with lines."""
    kind = base["kind"]
    mine = {**base, "rows": data.draw(st.lists(st.sampled_from(base["rows"] or [(1, 0)]),
                                               unique=True))}  # fmt: skip
    added = [row for row in theirs["rows"] if row not in base["rows"]]
    yours = {**base, "kind": kind, "rows": [*base["rows"], *added]}
    wanted = {**base, "rows": [*mine["rows"], *added]}
    if not base["rows"]:
        return
    with TemporaryDirectory() as place:
        folder = Path(place)
        paths = [written(folder / f"{i}.db", each) for i, each in enumerate((base, mine, yours))]
        expected = written(folder / "expected.db", wanted)
        for ours, other in ((1, 2), (2, 1)):
            work = folder / f"work{ours}.db"
            copy_database(paths[ours], work)
            assert not merge(work, paths[other], "elsewhere", paths[0]).stopped
            assert content_of(work)["predictions"] == content_of(expected)["predictions"]


def test_a_clash_changes_nothing_and_names_the_rows(tmp_path: Path) -> None:
    content = {
        "rows": [(1, 0), (1, 1)], "kind": "REAL", "more": {"b"}, "notes": [], "names": {0},
    }  # fmt: skip
    a, b = written(tmp_path / "a.db", content), written(tmp_path / "b.db", content)
    with closing(sqlite3.connect(b)) as con:
        con.execute("UPDATE predictions SET value = 77 WHERE task_key = 'k1'")
        con.commit()
    before = content_of(a)
    outcome = merge(a, b, "elsewhere")
    assert outcome.stopped
    assert content_of(a) == before
    [clash] = outcome.clashes
    assert (clash.table, clash.experiment, clash.count) == ("predictions", "e0.0.1", 1)
    assert clash.columns == ["value"]
    assert not merge(a, b, "elsewhere", replace=True).stopped
    assert content_of(a) == content_of(b)


@pytest.mark.parametrize(
    ("table", "change", "columns"),
    [
        ("judgements", "verdict = 0 WHERE task_key = 'j1'", ["verdict"]),
        ("judge_runs", "sequence = 9", ["sequence"]),
        ("aggregate_resamples", "drawn = '[2.5]' WHERE name = 'auc'", ["drawn"]),
    ],
)
def test_judgements_and_draws_that_differ_are_no_second_rows(
    tmp_path: Path, table: str, change: str, columns: list[str]
) -> None:
    """Without a key of their own both would be kept, and readers take whichever comes last."""
    content = {"rows": [(1, 0), (1, 1)], "kind": "REAL", "more": set(), "notes": [], "names": {0}}
    a, b = written(tmp_path / "a.db", content), written(tmp_path / "b.db", content)
    base = written(tmp_path / "base.db", content)
    with closing(sqlite3.connect(b)) as con:
        con.execute(f"UPDATE {table} SET {change}")
        con.commit()
    before = content_of(a)
    [clash] = merge(a, b, "elsewhere").clashes
    assert (clash.table, clash.count, clash.columns) == (table, 1, columns)
    assert content_of(a) == before
    work = tmp_path / "work.db"
    copy_database(a, work)
    assert not merge(work, b, "elsewhere", base).stopped, "one side alone has changed it"
    assert content_of(work) == content_of(b)
    assert not merge(a, b, "elsewhere", replace=True).stopped
    assert content_of(a) == content_of(b)


def test_scores_made_anew_on_one_side_are_no_second_metrics(tmp_path: Path) -> None:
    for name, version, value in (("a", "", 0.5), ("b", "s2", 0.6)):
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as con:
            con.execute(
                "CREATE TABLE metrics (experiment_version, params_key, score_version, f1 REAL)"
            )
            con.execute("INSERT INTO metrics VALUES ('e0.0.1', '{}', ?, ?)", (version, value))
            con.execute("CREATE TABLE metrics_history AS SELECT * FROM metrics")
            con.commit()
    a, b = tmp_path / "a.db", tmp_path / "b.db"
    [clash] = merge(a, b, "elsewhere").clashes
    assert (clash.table, clash.columns) == ("metrics", ["score_version", "f1"])
    assert not merge(a, b, "elsewhere", replace=True).stopped
    assert content_of(a) == content_of(b)


@pytest.mark.parametrize("columns", [1500])
def test_rows_of_very_many_columns_are_compared(tmp_path: Path, columns: int) -> None:
    names = ", ".join(f"c{n} INTEGER" for n in range(columns))
    for path in (tmp_path / "a.db", tmp_path / "b.db"):
        with closing(sqlite3.connect(path)) as con:
            con.execute(f"CREATE TABLE predictions (experiment_version, task_key, {names})")
            con.execute("INSERT INTO predictions (experiment_version, task_key) VALUES ('e', 'k')")
            con.execute("CREATE TABLE runs (track_id TEXT)")
            con.commit()
    assert merge(tmp_path / "a.db", tmp_path / "b.db", "elsewhere").rows == 0
