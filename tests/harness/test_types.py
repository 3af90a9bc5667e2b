"""Column types are right from the first row, whoever reads them; no value breaks a run."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.project_fixture import Bench

ENGINES = ["sqlite", "duckdb"]
EXECUTORS = ["serial", "threads", "processes"]


def predict_values(bench: Bench, *values: str, name: str = "value") -> None:
    """A project with one configuration whose predict returns one of these values for each item."""
    bench.params('[Params("m")]')
    bench.items(len(values))
    listed = ", ".join(f"lambda: {value}" for value in values)
    bench.predict(
        f"""
        make = [{listed}]
        return {{"prediction": 1, "ground_truth": 1, "{name}": make[int(item["id"][1:])]()}}
        """
    )


def read_by_everyone(bench: Bench, column: str) -> dict[str, list[Any]]:
    """A column of the dev phase in the order of the items, by reader."""
    db = bench.dev_db

    def ordered(rows: list[dict[str, Any]]) -> list[Any]:
        return [row[column] for row in sorted(rows, key=lambda row: int(row["input_id"][1:]))]

    listed = json.loads(bench.xt("head", str(db), "--n", "99", "--json", "--table", "predictions"))
    return {
        "sqlite3": ordered(bench.sql("SELECT * FROM predictions", db)),
        "xt": ordered(listed),
        "Reader sqlite": ordered(bench.reader(db, "predictions", "sqlite")),
        "Reader duckdb": ordered(bench.reader(db, "db.predictions", "duckdb")),
        "DuckDB": ordered(bench.duckdb(db, "SELECT * FROM b.predictions")),
    }


def declared(bench: Bench, column: str) -> str:
    found = bench.sql("SELECT name, type FROM pragma_table_info('predictions')", bench.dev_db)
    return str(next(row["type"] for row in found if row["name"] == column))


@pytest.mark.parametrize("engine", ENGINES)
def test_one_then_three_quarters(bench: Bench, engine: str) -> None:
    bench.settings(store={"engine": engine})
    predict_values(bench, "1", "0.75", "2")
    bench.dev_run()
    for reader, found in read_by_everyone(bench, "value").items():
        assert found == [1.0, 0.75, 2.0], reader
        assert {type(value) for value in found} == {float}, reader


@pytest.mark.parametrize("engine", ENGINES)
def test_one_then_three_quarters_in_another_experiment(bench: Bench, engine: str) -> None:
    """The column was INTEGER when e0.0.1 was recorded; its rows keep their values as REAL."""
    bench.settings(store={"engine": engine})
    predict_values(bench, "1", "2")
    bench.experiment("e0.0.1")
    predict_values(bench, "0.75", "3")
    bench.experiment("e0.0.2")
    kinds = bench.sql("SELECT input_id, value, typeof(value) AS kind FROM predictions ORDER BY 2")
    assert [(row["value"], row["kind"]) for row in kinds] == [
        (value, "real") for value in (0.75, 1.0, 2.0, 3.0)
    ]
    assert [
        row["value"] for row in bench.duckdb(bench.db, "SELECT value FROM b.predictions ORDER BY 1")
    ] == [0.75, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_kind_of_value_reads_back(bench: Bench, engine: str) -> None:
    bench.settings(store={"engine": engine})
    bench.params('[Params("m")]')
    bench.items(2)
    bench.predict(
        """
        first = item["id"] == "i0"
        return {
            "prediction": first,
            "ground_truth": None if first else "now",
            "raw_response": {"deep": [1, {"ü": None}], "t": (1, 2), "s": {3}},
            "nothing": None,
            "gap": 0.5 if first else float("nan"),
            "infinite": float("inf") if first else float("-inf"),
            "big": 2**63 - 1 if first else -(2**63),
            "huge": 2**70 if first else -(2**70),
            "words": "a \\ud83d b" if first else "\\x00 emoji 😀 'quoted' \\n",
            "empty": "",
            "array": np.arange(3) if first else np.zeros((1, 2)),
            "single": np.float32(0.5) if first else np.int64(3),
            "yes": np.bool_(True),
        }
        """,
        head="import numpy as np",
    )
    bench.dev_run()
    first, second = bench.rows("dev")
    assert (first["error"], second["error"]) == (None, None)

    def both(name: str) -> tuple[Any, Any]:
        return first[name], second[name]

    assert both("prediction") == (1, 0)
    assert both("ground_truth") == (None, "now")
    assert json.loads(first["raw_response"]) == {"deep": [1, {"ü": None}], "t": [1, 2], "s": [3]}
    assert both("nothing") == (None, None)
    assert both("gap") == (0.5, None)
    assert both("infinite") == (math.inf, -math.inf)
    assert both("big") == (2**63 - 1, -(2**63))
    assert both("huge") == (str(2**70), str(-(2**70)))
    assert both("words") == ("a \\ud83d b", "\x00 emoji 😀 'quoted' \n")
    assert both("empty") == ("", "")
    assert tuple(map(json.loads, both("array"))) == ([0, 1, 2], [[0.0, 0.0]])
    assert both("single") == (0.5, 3.0)
    assert both("yes") == (1, 1)
    kinds = {
        name: declared(bench, name)
        for name in ("prediction", "ground_truth", "gap", "infinite", "big", "single")
    }
    assert kinds == {
        "prediction": "INTEGER",
        "ground_truth": "TEXT",
        "gap": "REAL",
        "infinite": "REAL",
        "big": "INTEGER",
        "single": "REAL",
    }
    for name in ("gap", "infinite", "big", "words", "raw_response", "huge"):
        for reader, found in read_by_everyone(bench, name).items():
            plain = [None if value != value else value for value in found]
            if reader == "xt" and name == "infinite":
                continue  # JSON has no word for it
            if reader == "xt" and name == "big":
                plain = [int(str(value)) for value in plain]
            assert plain == list(both(name)), (reader, name)


@pytest.mark.parametrize("engine", ENGINES)
def test_bytes_stay_bytes(bench: Bench, engine: str) -> None:
    bench.settings(store={"engine": engine})
    predict_values(bench, "b''", "bytes(range(256))", "bytearray(b'x')")
    bench.dev_run()
    wanted = [b"", bytes(range(256)), b"x"]
    assert declared(bench, "value") == "BLOB"
    assert [row["value"] for row in bench.rows("dev")] == wanted
    query = "SELECT value FROM b.predictions ORDER BY input_id"
    assert [row["value"] for row in bench.duckdb(bench.dev_db, query)] == wanted
    for reader, table in (("sqlite", "predictions"), ("duckdb", "db.predictions")):
        found = bench.reader(bench.dev_db, table, reader)
        assert sorted(bytes(row["value"]) for row in found) == sorted(wanted)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_first_value_of_none_leaves_the_type_open(
    bench: Bench, executor: str, engine: str
) -> None:
    bench.settings(store={"engine": engine}, run={"executor": executor, "workers": 2})
    predict_values(bench, "None", "None", "3", "0.5")
    text = (bench.root / "src/benchmark/predict.py").read_text()
    bench.file(  # so slow that rows are written one by one
        "src/benchmark/predict.py",
        "import time\n" + text.replace("    make =", "    time.sleep(0.12)\n    make ="),
    )
    bench.dev_run()
    assert declared(bench, "value") == "REAL"
    for reader, found in read_by_everyone(bench, "value").items():
        assert [None if value != value else value for value in found] == [None, None, 3, 0.5], (
            reader
        )


def test_a_column_that_appears_late_is_added(bench: Bench) -> None:
    for engine in ENGINES:
        bench.settings(store={"engine": engine}, run={"cache": False})
        bench.params('[Params("m")]')
        bench.items(3)
        bench.predict(
            """
            time.sleep(0.1)  # each row is written before the next is there
            return {"prediction": 1, "ground_truth": 1, f"seen_{item['id']}": item["id"]}
            """,
            head="import time",
        )
        bench.dev_run()
        assert [[row[f"seen_i{n}"] for n in range(3)] for row in bench.rows("dev")] == [
            ["i0", None, None],
            [None, "i1", None],
            [None, None, "i2"],
        ]


@pytest.mark.parametrize("pause", [0, 0.12], ids=["one batch", "a batch each"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_value_of_another_type_is_a_failure_that_says_so(
    bench: Bench, pause: float, engine: str
) -> None:
    bench.settings(store={"engine": engine})
    predict_values(bench, "1", "'two'", "0.75", "4")
    text = (bench.root / "src/benchmark/predict.py").read_text()
    bench.file(
        "src/benchmark/predict.py",
        "import time\n" + text.replace("    make =", f"    time.sleep({pause})\n    make ="),
    )
    done = bench.dev_run(expect=1)
    rows = bench.rows("dev")
    assert [row["value"] for row in rows] == [1.0, None, 0.75, 4.0]
    assert [row["error_type"] for row in rows] == [None, "InvalidResult", None, None]
    assert "value" in rows[1]["error"]
    assert "two" in rows[1]["error"]
    assert rows[1]["prediction"] == 1
    assert "1 x InvalidResult" in done.said


def test_the_first_value_decides_however_rows_come_together(bench: Bench) -> None:
    predict_values(bench, "'one'", "2", "0.5")
    bench.dev_run(expect=1)
    assert declared(bench, "value") == "TEXT"
    assert [row["value"] for row in bench.rows("dev")] == ["one", None, None]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_number_beyond_64_bits_never_hides_in_a_column_of_numbers(
    bench: Bench, engine: str
) -> None:
    """Such a column would be refused by DuckDB as a whole."""
    bench.settings(store={"engine": engine})
    predict_values(bench, "1", "2", "3", "2**70", "5")
    text = (bench.root / "src/benchmark/predict.py").read_text()
    bench.file(
        "src/benchmark/predict.py",
        "import time\n" + text.replace("    make =", "    time.sleep(0.08)\n    make ="),
    )
    bench.dev_run(expect=None)
    kinds = {
        row["kind"]
        for row in bench.sql(
            "SELECT typeof(value) AS kind FROM predictions WHERE value IS NOT NULL", bench.dev_db
        )
    }
    assert len(kinds) == 1
    found = bench.duckdb(bench.dev_db, "SELECT value FROM b.predictions")
    assert len(found) == 5
    failed = [row["error"] for row in bench.rows("dev") if row["error"]]
    assert all("(str)" not in error for error in failed), "predict returned an int"


@pytest.mark.parametrize(
    "value",
    [
        '{"x": float("nan")}',
        "[float('inf')]",
        "np.array([1.0, np.nan])",
        "{'words': 'a \\ud83d b'}",
        "{1: 'a', (2, 3): 'b'}",
        "{'when': datetime.datetime(2026, 1, 2)}",
        "{'raw': b'abc'}",
    ],
)
def test_nested_values_are_json_that_other_programs_read(bench: Bench, value: str) -> None:
    predict_values(bench, value)
    text = (bench.root / "src/benchmark/predict.py").read_text()
    bench.file("src/benchmark/predict.py", "import datetime\nimport numpy as np\n" + text)
    bench.dev_run()
    [row] = bench.sql("SELECT value, json_valid(value) AS valid FROM predictions", bench.dev_db)
    assert row["valid"] == 1, row["value"]
    [read] = bench.duckdb(bench.dev_db, "SELECT CAST(value AS JSON) AS v FROM b.predictions")
    assert read["v"]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(
    "value",
    [
        "threading.Lock()",
        "(n for n in range(3))",
        "open('/dev/null', 'w')",
        "circle()",
    ],
)
def test_a_value_that_cannot_be_kept_is_a_failure_of_its_row_alone(
    bench: Bench, executor: str, value: str
) -> None:
    bench.settings(run={"executor": executor, "workers": 2})
    predict_values(bench, "1", value, "3")
    text = (bench.root / "src/benchmark/predict.py").read_text()
    bench.file(
        "src/benchmark/predict.py",
        "import threading\n\ndef circle():\n    x = []\n    x.append(x)\n    return x\n\n" + text,
    )
    done = bench.dev_run(expect=1)
    assert "Traceback" not in done.said, done.err
    rows = bench.rows("dev")
    assert [row["error_type"] is None for row in rows] == [True, False, True]
    assert [row["value"] for row in rows] == [1, None, 3]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_object_becomes_an_asset_that_the_reader_gives_back(bench: Bench, engine: str) -> None:
    bench.settings(store={"engine": engine})
    predict_values(bench, "Fraction(1, 3)", "lambda: 5", name="model")
    text = (bench.root / "src/benchmark/predict.py").read_text()
    bench.file("src/benchmark/predict.py", "from fractions import Fraction\n" + text)
    bench.dev_run()
    bench.dev_run()  # from the cache
    fraction, function = (row["model"] for row in bench.rows("dev"))
    found = bench.python(
        """
        import sys
        from xetrack import Reader
        assets = Reader(sys.argv[1], table="predictions").assets
        print(assets.get(sys.argv[2]), assets.get(sys.argv[3])())
        """,
        str(bench.dev_db),
        fraction,
        function,
    )
    assert found.decode().split() == ["1/3", "5"]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_has_a_text_is_kept_as_its_text(bench: Bench, engine: str) -> None:
    """In place of the hash of an asset, which nobody could read or score."""
    bench.settings(store={"engine": engine})
    bench.params('[Params("m")]')
    bench.items(1)
    bench.predict(
        """
        return {
            "prediction": Answer.YES,
            "ground_truth": "yes",
            "day": datetime.date(2026, 1, 2),
            "moment": datetime.datetime(2026, 1, 2, 3, 4),
            "price": Decimal("1.10"),
            "kind": Kind.GOOD,
            "place": Path("a/b"),
            "number": UUID(int=1),
            "numpy_day": np.datetime64("2026-01-02"),
            "no_time": pd.NaT,
            "no_numpy_time": np.datetime64("NaT"),
        }
        """,
        head="""
        import datetime
        from decimal import Decimal
        from enum import Enum
        from pathlib import Path
        from uuid import UUID
        import numpy as np
        import pandas as pd
        class Answer(str, Enum): YES = "yes"
        class Kind(Enum): GOOD = 1
        """,
    )
    bench.dev_run()
    bench.dev_run()  # from the cache
    [row] = bench.rows("dev")
    found = [row[name] for name in ("day", "moment", "price", "kind", "place", "numpy_day")]
    assert found == [
        "2026-01-02",
        "2026-01-02 03:04:00",
        "1.10",
        "Kind.GOOD",
        "a/b",
        "2026-01-02",
    ]
    assert row["number"] == "00000000-0000-0000-0000-000000000001"
    assert (row["no_time"], row["no_numpy_time"]) == (None, None)
    assert row["prediction"] == "yes"
    assert row["correct"] == 1, "predict's two values were equal"


def test_columns_with_awkward_names(bench: Bench) -> None:
    bench.params('[Params("m")]')
    bench.predict(
        'return {"prediction": 1, "ground_truth": 1, "select": 2, "Order": 3, "group_1": "x"}'
    )
    for engine in ENGINES:
        bench.settings(store={"engine": engine}, run={"cache": False})
        bench.dev_run()
        assert {(r["select"], r["Order"], r["group_1"]) for r in bench.rows("dev")} == {(2, 3, "x")}


def test_params_columns_have_their_annotated_type(bench: Bench) -> None:
    bench.params(
        '[Params("m", 1, 2, None, (1, "a"), True), Params("n", 2, 0.5, "x", (), False)]',
        "model: str\nthreshold: float\nratio: float | None\nnote: str | None\n"
        "shape: tuple\nfast: bool",
    )
    bench.dev_run()
    kinds = {n: declared(bench, f"params_{n}") for n in ("threshold", "ratio", "note", "fast")}
    assert kinds == {"threshold": "REAL", "ratio": "REAL", "note": "TEXT", "fast": "INTEGER"}
    row = bench.rows("dev")[0]
    assert (row["params_threshold"], row["params_note"]) == (1.0, None)
    assert json.loads(row["params_shape"]) == [1, "a"]
    for engine, table in (("sqlite", "predictions"), ("duckdb", "db.predictions")):
        found = bench.reader(bench.dev_db, table, engine)
        assert {row["params_threshold"] for row in found} == {1.0, 2.0}


@pytest.mark.parametrize("fields", ["float | str | None", "float", "object"])
def test_numbers_and_words_in_one_params_column_are_text(bench: Bench, fields: str) -> None:
    """As in the grid of many a model: max_features is 0.5, 3, "sqrt" or None."""
    bench.params(
        '[Params("m", value) for value in (0.5, 3, "sqrt", None, 2**70)]',
        f"model: str\nthreshold: {fields}",
    )
    bench.predict('return {"prediction": params.threshold == "sqrt", "ground_truth": True}')
    bench.dev_run()
    bench.experiment("e0.0.1", allow="tests")
    values = {"0.5", "3", "sqrt", None, str(2**70)}
    assert {row["params_threshold"] for row in bench.rows()} == values
    assert len(bench.rows()) == 20
    metrics = bench.sql("SELECT params_threshold AS t, n, correct FROM metrics")
    assert {(m["t"], m["n"], m["correct"]) for m in metrics} == {
        (value, 4, float(value == "sqrt")) for value in values
    }
    assert "known" in bench.run("explain", "i0").said


@pytest.mark.parametrize("engine", ENGINES)
def test_scores_are_typed_as_they_come(make_bench: Callable[..., Bench], engine: str) -> None:
    bench = make_bench()
    bench.settings(store={"engine": engine})
    bench.params('[Params("m")]')
    bench.score(
        """
        def score(row):
            n = int(row["input_id"][1:])
            return {"correct": n == 0, "points": [None, 1, 0.75, 2][n], "none": None}
        """
    )
    bench.dev_run()
    assert [row["points"] for row in bench.rows("dev")] == [None, 1.0, 0.75, 2.0]
    assert declared(bench, "points") == "REAL"
    [metrics] = bench.sql("SELECT * FROM metrics", bench.dev_db)
    assert metrics["correct"] == 0.25
    assert metrics["points"] == pytest.approx(1.25)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_column_whose_first_values_are_nan_still_becomes_a_number(
    bench: Bench, engine: str
) -> None:
    bench.settings(store={"engine": engine})
    bench.params('[Params("m")]')
    bench.items(4)
    # Slowly, so that the first row is written before the second one is there.
    bench.predict(
        """
        time.sleep(0.2)
        value = [float("nan"), 0.5, 0.25, float("nan")][int(item["id"][1:])]
        return {"prediction": 1, "ground_truth": 1, "value": value}
        """,
        head="import time",
    )
    bench.dev_run()
    assert declared(bench, "value") == "REAL"
    assert read_by_everyone(bench, "value")["sqlite3"] == [None, 0.5, 0.25, None]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("first", "then", "good"), [("'a'", "5", 30), ("5", "'a'", 30), ("0.5", "'a'", 30),
                                ("5", "2**70", 30)]
)  # fmt: skip
def test_what_changes_its_type_in_a_batch_fails_alone(
    bench: Bench, engine: str, first: str, then: str, good: int
) -> None:
    bench.settings(store={"engine": engine}, run={"max_permanent_errors": 1000})
    predict_values(bench, *[first] * good, *[then] * 20)
    bench.dev_run(expect=1)
    rows = bench.sql("SELECT value, error_type FROM predictions", bench.dev_db)
    assert [row["error_type"] for row in rows].count(None) == good
    assert {type(row["value"]) for row in rows if row["error_type"] is None} == {type(eval(first))}
    assert {row["error_type"] for row in rows if row["value"] is None} == {"InvalidResult"}


@pytest.mark.parametrize("name", ["Task_Key", "Repeat", "Error", "Params_model", "Input_ID"])
def test_a_column_of_the_harness_in_another_case_is_refused(bench: Bench, name: str) -> None:
    predict_values(bench, "1", name=name)
    bench.dev_run(expect=1)
    assert [row["error_type"] for row in bench.rows("dev")] == ["InvalidResult"]


def test_a_column_that_rows_spell_in_two_ways(bench: Bench) -> None:
    bench.items(4)
    bench.params('[Params("m")]')
    bench.predict(
        'name = "X" if item["id"] in ("i0", "i2") else "x"\n'
        'return {"prediction": 1, "ground_truth": 1, name: 5}'
    )
    bench.dev_run(expect=1)
    found = [(row["X"], row["error_type"]) for row in bench.rows("dev")]
    assert found == [(5, None), (None, "InvalidResult")] * 2
    assert "which is called X so far" in bench.rows("dev")[1]["error"]
