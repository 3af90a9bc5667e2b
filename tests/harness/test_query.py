"""`analysis.query`: a person's SQL over every layout, read-only; and the recipes in sql/."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from harness.cli.reading import sql
from harness.errors import HarnessError
from harness.tell import query
from harness.tell.query import run_sql
from tests.harness.recorded import change, clean, prediction, write

RECIPES = sorted((Path(__file__).parents[2] / "{{cookiecutter.project_slug}}/sql").glob("*.sql"))
NAMED = (
    "cache_effectiveness cost duplicates errors hardest_items head_to_head hyperparameters "
    "over_time overview percentiles rank rolling"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean(tmp_path_factory.mktemp("made") / "benchmark.db")


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "benchmark.db"))


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The same rows in each of the three layouts."""
    found: dict[str, list[Path]] = {}
    for layout in ("one table", "table each", "database each"):
        folder = tmp_path_factory.mktemp("layout")
        for tag in ("e0.0.1", "e0.0.2"):
            rows = [
                prediction(tag, i, c, cost=0.01, error="E: no" if i == 7 else None)
                for i in range(110)
                for c in (0, 1)
            ]
            name = f"{tag}.db" if layout == "database each" else "benchmark.db"
            table = f"predictions_{tag.replace('.', '_')}"
            write(folder / name, table if layout == "table each" else "predictions", rows)
        found[layout] = sorted(folder.iterdir())
    return found


def answer(db: Path, sql: str, **variables: str) -> list[dict[str, str]]:
    """The rows of a query, as its CSV export has them."""
    target = db.with_suffix(".csv")
    run_sql([db], sql, "csv", target, variables)
    with target.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_recipes_are_there_and_say_what_they_answer() -> None:
    assert [path.stem for path in RECIPES] == NAMED.split()
    for path in RECIPES:
        first = path.read_text().splitlines()[0]
        assert first.startswith("-- ")
        assert "?" in first


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_each_recipe_gives_the_same_on_each_layout(
    layouts: dict[str, list[Path]], recipe: Path, tmp_path: Path
) -> None:
    results = []
    for layout, databases in layouts.items():
        target = tmp_path / f"{layout}.csv"
        run_sql(databases, recipe.read_text(), "csv", target, {"metric": "correct"})
        results.append(sorted(target.read_text().splitlines()))
    assert results[0] == results[1] == results[2]
    assert (len(results[0]) > 1) == (recipe.stem != "duplicates")


def recipe(name: str) -> str:
    return next(path for path in RECIPES if path.stem == name).read_text()


def test_recipes_count_right(db: Path) -> None:
    rows = [prediction("e0.0.3", i, 0, correct=1) for i in range(4)]
    rows += [prediction("e0.0.3", i, 1, correct=int(i < 1)) for i in range(4)]
    write(db, "predictions", rows)
    (pair,) = answer(db, recipe("head_to_head"), experiment="e0.0.3")
    assert [pair[k] for k in ("shared_items", "one_wins", "other_wins", "ties")] == list("4031")
    overview = answer(db, recipe("overview"))
    assert [row["mean_score"] for row in overview if row["experiment_version"] == "e0.0.3"] == [
        "1.0",
        "0.25",
    ]
    cached = [r for r in answer(db, recipe("percentiles")) if r["experiment_version"] == "e0.0.2"]
    assert cached == []
    ranks = [r for r in answer(db, recipe("rank")) if r["experiment_version"] == "e0.0.3"]
    assert [row["first_places"] for row in ranks] == ["4", "1"]
    change(db, "UPDATE predictions SET task_key = task_key || 'x', input_id = 'i1' "
               "WHERE input_id = 'i2' AND experiment_version = 'e0.0.1'")  # fmt: skip
    assert [row["times"] for row in answer(db, recipe("duplicates"))] == ["2", "2"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """Two tags with failures, repeats, costs and reuse; and the same rows for pandas."""
    rows = [
        prediction(
            tag, i, c, repeat=repeat, task_key=f"{i}-{c}-{repeat}", cost=0.001 * (i + 1),
            latency=0.01 * (i + c + repeat), cache="run-e0.0.1" if t and c else "",
            timestamp=f"2026-11-2{3 + t} 10:00:{i:02d}.{c}{repeat}",
            **({"error": "E: no", "error_type": "EF"[i % 2], "correct": None} if broken else {}),
        )
        for t, tag in enumerate(("e0.0.1", "e0.0.2"))
        for i in range(60) for c in (0, 1) for repeat in (0, 1)
        for broken in ((i + c + t) % 9 == 0,)
    ]  # fmt: skip
    path = write(tmp_path_factory.mktemp("mixed") / "benchmark.db", "predictions", rows)
    frame = pd.DataFrame(rows)
    frame["failed"], frame["reused"] = frame["error"].notna(), frame["cache"] != ""
    frame["fresh"] = frame["latency"].where(~frame["failed"] & ~frame["reused"])
    frame["paid"] = frame["cost"].where(~frame["reused"])
    frame["saved"] = frame["function_time"].where(frame["reused"])
    return path, frame


EACH = ["experiment_version", "params_model"]
# Of each recipe: what names a row of its answer, and figure -> (column, how pandas sums it up).
FIGURES: dict[str, tuple[list[str], dict[str, tuple[str, Any]]]] = {
    "overview": (EACH, {
        "n": ("input_id", "size"), "failed": ("failed", "sum"), "cached": ("reused", "sum"),
        "mean_score": ("correct", "mean"), "median_latency": ("fresh", "median"),
    }),
    "percentiles": (EACH, {
        "n": ("fresh", "count"), "p50": ("fresh", "median"), "slowest": ("fresh", "max"),
        "p95": ("fresh", lambda times: times.quantile(0.95)),
    }),
    "cost": (EACH, {
        "cost_per_row": ("cost", "mean"), "mean_score": ("correct", "mean"),
        "paid": ("paid", lambda prices: prices.sum(min_count=1)),
    }),
    "cache_effectiveness": (EACH, {
        "reused": ("reused", "sum"), "seconds_saved": ("saved", lambda s: s.sum(min_count=1)),
    }),
    "errors": ([*EACH, "error_type"], {
        "failures": ("input_id", "size"), "items": ("input_id", "nunique"),
    }),
    "hardest_items": (["input_id"], {
        "n": ("input_id", "size"), "failed": ("failed", "sum"), "mean_score": ("correct", "mean"),
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_recipes_agree_with_pandas(mixed: tuple[Path, pd.DataFrame], name: str) -> None:
    db, rows = mixed
    keys, figures = FIGURES[name]
    if name == "errors":
        rows = rows[rows["failed"]]
    if name == "percentiles":
        rows = rows[rows["fresh"].notna()]
    expected = rows.groupby(keys).agg(**figures)
    found = answer(db, recipe(name), metric="correct")
    assert len(found) == min(len(expected), 20 if name == "hardest_items" else len(expected))
    for row in found:
        named = [(expected.index.get_level_values(key) == row[key]) for key in keys]
        (wanted,) = expected[np.logical_and.reduce(named)].to_numpy()
        got = [float(row[figure] or "nan") for figure in figures]
        assert got == pytest.approx([float(each) for each in wanted], nan_ok=True)


def test_recipes_across_configurations_agree_with_pandas(
    mixed: tuple[Path, pd.DataFrame],
) -> None:
    db, rows = mixed
    for row in answer(db, recipe("hyperparameters"), metric="correct"):
        # A missing value is NULL in the answer and None or NaN in pandas.
        same = rows[row["parameter"]].fillna("").astype(str) == row["setting"]
        part = rows[same & (rows["experiment_version"] == row["experiment_version"])]
        assert [int(row["n"]), int(row["failed"])] == [len(part), part["failed"].sum()]
        assert float(row["mean_score"]) == pytest.approx(part["correct"].mean())
    items = rows.groupby(["experiment_version", "input_id", "params_model"])
    scores = items["correct"].mean().unstack()
    model = {f"{m} {d}": m for m, d in (("small", 2), ("large", 4))}
    last = scores.loc["e0.0.2"].dropna()
    (pair,) = answer(db, recipe("head_to_head"), metric="correct")
    one, other = (last[model[pair[side]]] for side in ("one", "other"))
    assert [int(pair[k]) for k in ("shared_items", "one_wins", "other_wins", "ties")] == [
        len(last), (one > other).sum(), (one < other).sum(), (one == other).sum(),
    ]  # fmt: skip
    for row in answer(db, recipe("rank"), metric="correct"):
        tagged = scores[scores.index.get_level_values(0) == row["experiment_version"]]
        mine, best = tagged[model[row["configuration"]]], tagged.max(axis=1)
        assert int(row["scored"]) == mine.count()
        assert int(row["first_places"]) == (mine == best).sum()
    means = rows.groupby(EACH)["correct"].mean()
    for row in answer(db, recipe("over_time"), metric="correct"):
        mine = means[row["experiment_version"], model[row["configuration"]]]
        before = means["e0.0.1", model[row["configuration"]]]
        assert float(row["mean_score"]) == pytest.approx(mine)
        later = row["experiment_version"] == "e0.0.2"
        assert (
            row["change"] == ""
            if not later
            else float(row["change"]) == pytest.approx(mine - before)
        )
    executed = rows[~rows["reused"] & (rows["experiment_version"] == "e0.0.1")]
    executed = executed.sort_values("timestamp")[100:200]
    second = answer(db, recipe("rolling"), metric="correct")[1]
    assert float(second["failed_of_last_100"]) == pytest.approx(executed["failed"].mean())
    assert float(second["latency_of_last_100"]) == pytest.approx(executed["latency"].mean())
    assert float(second["score_of_last_100"]) == pytest.approx(executed["correct"].mean())


def test_cost_recipe_says_unknown_where_predict_returns_no_cost(db: Path) -> None:
    rows = answer(db, recipe("cost"))
    assert {(row["paid"], row["price_unknown"]) for row in rows} == {("", "50")}


def test_takes_the_first_score_or_the_named_one_as_metric(db: Path) -> None:
    assert answer(db, "SELECT getvariable('metric') AS m") == [{"m": "correct"}]
    assert answer(db, "SELECT getvariable('metric') AS m", metric="confidence") == [
        {"m": "confidence"}
    ]


def test_writes_csv_json_and_parquet(db: Path, tmp_path: Path) -> None:
    sql = "SELECT input_id, correct FROM predictions WHERE input_id = 'i7' ORDER BY ALL -- all"
    expected = [{"input_id": "i7", "correct": int(row["correct"])} for row in answer(db, sql)]
    assert len(expected) == 4
    run_sql([db], sql, "json", tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == expected
    run_sql([db], sql, target=tmp_path / "r.parquet")  # as its name says
    with duckdb.connect() as con:
        rows = con.execute(f"FROM '{tmp_path}/r.parquet'").fetchall()
    assert rows == [tuple(row.values()) for row in expected]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("benchmark.db", "benchmark.csv", "r.json", "r.parquet")
    }


def test_keeps_standard_output_for_data(db: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_sql([db], "SELECT 1 AS one", "json")
    captured = capfd.readouterr()
    assert json.loads(captured.out) == [{"one": 1}]
    assert captured.err == ""


def test_shows_the_first_rows_of_a_long_result_as_plain_text(
    db: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(db, "UPDATE predictions SET prediction = '[red]\x1b[2Jx[/red]'")
    run_sql([db], "SELECT prediction FROM predictions")
    captured = capsys.readouterr()
    assert captured.out.count("[red]") == 100
    assert "\x1b" not in captured.out
    assert "first 100 rows" in captured.err


def test_reads_a_table_that_somebody_gave_a_value_of_another_type(db: Path) -> None:
    change(db, "UPDATE predictions SET correct = 0.5 WHERE input_id = 'i1'")
    assert answer(db, "SELECT min(correct) AS m FROM predictions WHERE input_id = 'i1'") == [
        {"m": "0.5"}
    ]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM d0.predictions", "only reads"),
        ("UPDATE d0.predictions SET correct = 1", "only reads"),
        ("DROP VIEW predictions", "only reads"),
        ("CREATE TABLE x AS SELECT 1", "only reads"),
        ("COPY predictions TO 'stolen.csv'", "only reads"),
        ("COPY (SELECT 1) TO '{db}' (USE_TMP_FILE false)", "only reads"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO '{db}' (USE_TMP_FILE false)", "only reads"),
        ("ATTACH 'other.db'", "only reads"),
        ("PREPARE p AS DELETE FROM d0.predictions; EXECUTE p", "only reads"),
        ("SET memory_limit = '1GB'; SELECT 1", "failed"),
        ("SELECT 1; SELECT 2", "more than one query"),
        ("SELECT * FROM read_csv('/etc/passwd')", "failed"),
        ("SELECT nosuch FROM predictions", "nosuch"),
        ("SELECT * FROM nosuch", "failed"),
        ("SELEC 1", "cannot be read"),
        ("  -- nothing", "no SQL"),
    ],
)
@pytest.mark.parametrize("fmt", ["table", "json"])
def test_refuses_what_is_wrong_or_would_write(
    db: Path, sql: str, message: str, fmt: query.Format
) -> None:
    before = db.read_bytes()
    with pytest.raises(HarnessError, match=message) as error:
        run_sql([db], sql.format(db=db), fmt)
    assert error.value.code == 2
    assert error.value.fix
    assert db.read_bytes() == before
    assert [path.name for path in db.parent.iterdir()] == [db.name]


def test_refuses_targets_that_cannot_be(db: Path, tmp_path: Path) -> None:
    for target, message in [
        (db, "is a database"),
        (tmp_path / "new.db", "is a database"),
        (tmp_path / "nosuch" / "r.csv", "no folder"),
        (tmp_path, "is a folder"),
    ]:
        with pytest.raises(HarnessError, match=message):
            run_sql([db], "SELECT 1", "csv", target)
    with pytest.raises(HarnessError, match="Parquet is binary"):
        run_sql([db], "SELECT 1", "parquet")


def test_a_variable_without_a_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HarnessError, match="--set metric gives no value") as error:
        sql(query="SELECT 1", variables=["metric"])
    assert error.value.code == 2
