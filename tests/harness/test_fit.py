"""Models fitted once for each params and fold, kept as xetrack assets, shared by all workers."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import OPENED, Bench, eventually, finished, once_each

EXECUTORS = ["serial", "threads", "processes"]
FIT = """
from benchmark.dataset import load as items


class Mean:
    def __init__(self, value, fold):
        self.value, self.fold = value, fold


def fit(params, fold):
    note("fitted", params.model, fold)
    train = [item["x"] for item in items() if item["fold"] != fold]
    return Mean(sum(train) / len(train) * params.threshold, fold)
"""
PREDICT = """
return {"prediction": resource.value, "ground_truth": item["x"], "raw_response": str(resource.fold)}
"""
FITS = Counter((model, str(fold)) for model in ("low", "high") for fold in range(2))


def fitting(bench: Bench, executor: str = "serial", fit: str = FIT, **run: object) -> None:
    bench.settings(run={"executor": executor, "workers": 2, **run})
    bench.items(6, fold="n % 2")
    bench.predict(PREDICT, head=fit, resource=True)
    bench.score(
        "def score(row):\n    return {'off': abs(row['prediction'] - row['ground_truth'])}\n"
    )


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_model_is_fitted_once_for_each_params_and_fold(bench: Bench, executor: str) -> None:
    fitting(bench, executor)
    bench.experiment("e0.0.1")
    assert bench.executed("fitted") == FITS
    assert bench.executed() == once_each(["low", "high"], 6)
    rows = bench.rows()
    for row in rows:
        fold = int(row["input_id"][1:]) % 2
        train = [n / 6 for n in range(6) if n % 2 != fold]
        assert row["raw_response"] == str(fold)
        assert row["prediction"] == pytest.approx(sum(train) / 3 * row["params_threshold"])
    assets = {(row["params_model"], row["raw_response"]): row["fit_asset"] for row in rows}
    assert len(set(assets.values())) == 4
    # A second start, a second experiment and another executor fit nothing.
    bench.experiment("e0.0.2")
    bench.settings(run={"executor": "serial"})
    bench.experiment("e0.0.3")
    assert bench.executed("fitted") == FITS
    assert {
        (r["params_model"], r["raw_response"]): r["fit_asset"] for r in bench.rows("e0.0.3")
    } == (assets)


@pytest.mark.parametrize("engine", ["sqlite", "duckdb"])
def test_the_reader_gives_the_model_back(bench: Bench, engine: str) -> None:
    fitting(bench)
    bench.settings(store={"engine": engine})
    bench.experiment("e0.0.1")
    for row in bench.rows()[:3]:
        found = bench.python(
            """
            import sys
            from duckdb_extensions import import_extension
            from xetrack import Reader
            import_extension("sqlite_scanner")
            reader = Reader(sys.argv[1], table="predictions", engine=sys.argv[3])
            model = reader.assets.get(sys.argv[2])
            print(type(model).__module__, model.value, model.fold)
            """,
            str(bench.db),
            row["fit_asset"],
            engine,
        )
        module, value, fold = found.decode().split()
        assert (module, float(value), fold) == (
            "benchmark.predict",
            row["prediction"],
            row["raw_response"],
        )
    exported = bench.root.with_name("model.pkl")
    bench.xt("assets", "export", str(bench.db), bench.rows()[0]["fit_asset"], str(exported))
    assert exported.stat().st_size > 10


def test_changing_one_training_item_makes_a_miss(bench: Bench) -> None:
    """Every model has seen that item or was tested on it."""
    fitting(bench)
    bench.items(6, fold="n % 2", note="''")
    bench.dev_run()
    bench.forget()
    bench.items(6, fold="n % 2", note="'changed' if n == 3 else ''")
    bench.dev_run()
    assert bench.executed("fitted") == FITS
    assert bench.executed() == once_each(["low", "high"], 6)


def test_a_new_item_fits_anew(bench: Bench) -> None:
    fitting(bench)
    bench.dev_run()
    bench.forget()
    bench.items(7, fold="n % 2")
    bench.dev_run()
    assert bench.executed("fitted") == FITS
    assert bench.executed() == once_each(["low", "high"], 7)


def test_a_dev_run_of_a_few_items_fits_on_all_of_them(bench: Bench) -> None:
    fitting(bench)
    bench.dev_run(items=2)
    few = {row["task_key"]: row["prediction"] for row in bench.rows("dev")}
    assert len(few) == 4
    bench.dev_run()
    rows = {row["task_key"]: row["prediction"] for row in bench.rows("dev")}
    assert len(rows) == 12
    assert few.items() <= rows.items()
    assert set(bench.executed("fitted").values()) == {1}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_fit_that_fails_becomes_failed_rows(bench: Bench, executor: str) -> None:
    fail = (
        '    if params.model == "low" and fold == 1:\n        raise ArithmeticError("singular")\n'
    )
    fitting(
        bench,
        executor,
        FIT.replace("    train =", fail + "    train ="),
        max_permanent_errors=50,
    )
    bench.experiment("e0.0.1", expect=1)
    failed = [row for row in bench.rows() if row["error"]]
    assert {(row["params_model"], row["input_id"]) for row in failed} == {
        ("low", "i1"),
        ("low", "i3"),
        ("low", "i5"),
    }
    assert {(row["error_type"], row["attempts"]) for row in failed} == {("ArithmeticError", 0)}
    assert all("singular" in row["error"] for row in failed)
    assert len(bench.rows()) == 12
    bench.forget()
    bench.experiment("e0.0.1", expect=1)
    assert bench.executed("fitted") == Counter([("low", "1")])


def test_a_fit_that_fails_everywhere_stops_the_run(bench: Bench) -> None:
    fitting(bench, fit=FIT.replace("    train =", "    1 / 0\n    train ="))
    done = bench.experiment("e0.0.1", expect=1)
    assert "ZeroDivisionError" in done.said
    assert "Traceback" not in done.said
    assert not bench.executed()


def test_a_model_that_cannot_be_kept_is_a_failure(bench: Bench) -> None:
    """A lock does not pickle; the run says so for each datapoint and does not break."""
    fit = "import threading\n\n\ndef fit(params, fold):\n    return threading.Lock()\n"
    for executor in EXECUTORS:
        fitting(bench, executor, fit)
        done = bench.dev_run(expect=1)
        assert "Traceback" not in done.said, executor
        assert {row["error_type"] for row in bench.rows("dev")} == {"TypeError"}, executor
        assert "make it in load(params) instead" in done.said


def test_items_without_a_fold_are_all_one_fold(bench: Bench) -> None:
    fit = 'def fit(params, fold):\n    note("fitted", params.model, fold)\n    return 1\n'
    bench.predict('return {"prediction": resource, "ground_truth": 1}', head=fit, resource=True)
    bench.dev_run()
    assert bench.executed("fitted") == Counter([("low", "None"), ("high", "None")])


@pytest.mark.parametrize(
    "executor",
    ["processes", *(pytest.param(each, marks=pytest.mark.slow) for each in ("serial", "threads"))],
)
def test_killed_between_fits_only_what_was_in_flight_is_fitted_again(
    make_bench: Callable[..., Bench], executor: str
) -> None:
    bench = make_bench(fresh=True)
    fitting(bench, executor, FIT.replace("    train =", "    time.sleep(0.2)\n    train ="))
    text = (bench.root / "src/benchmark/predict.py").read_text()
    bench.file("src/benchmark/predict.py", "import time\n" + text)
    bench.commit()
    process = bench.start("experiment", "e0.0.1", "--allow", OPENED)
    assert eventually(lambda: bench.executed("fitted").total() >= 3, 60)
    process.kill()
    finished(process)
    bench.run("experiment", "e0.0.1", "--allow", OPENED)
    fitted = bench.executed("fitted")
    assert set(fitted) == set(FITS)
    assert fitted[("low", "0")] == fitted[("low", "1")] == 1
    assert fitted.total() <= 4 + 2
    assert len(bench.rows()) == 12


def test_the_time_of_a_fit_is_recorded_and_a_long_one_is_shown(bench: Bench) -> None:
    fitting(
        bench, fit="import time\n" + FIT.replace("    train =", "    time.sleep(1.1)\n    train =")
    )
    bench.params('[Params("low")]')
    done = bench.dev_run()
    rows = bench.rows("dev")
    assert all(1.1 <= row["fit_seconds"] < 60 for row in rows)
    assert "fit 2/2: Params(model='low', threshold=0.5) fold 1" in done.said
    bench.run("dev-clean")


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_a_kill_during_the_fifth_fold_refits_none_of_the_first_four(
    make_bench: Callable[..., Bench], executor: str
) -> None:
    """Under processes too, where the first fold is the slowest and the others end before it."""
    bench = make_bench(fresh=True)
    waits = "    while not os.path.exists('go') and fold == (4 if serial else 0):\n"
    waits += "        time.sleep(0.05)\n    train ="
    head = f"import os\nimport time\nserial = {executor == 'serial'}\n"
    fitting(bench, executor, FIT.replace("    train =", waits))
    bench.params('[Params("low")]')
    bench.items(5, fold="n")
    text = (bench.root / "src/benchmark/predict.py").read_text()
    bench.file("src/benchmark/predict.py", head + text)
    bench.file(".gitignore", (bench.root / ".gitignore").read_text() + "\ngo\n")
    bench.commit()
    process = bench.start("experiment", "e0.0.1", "--allow", f"{OPENED},inputs")
    assert eventually(lambda: bench.executed("fitted").total() == 5, 120)
    assert eventually(lambda: len(list(bench.root.glob(".cache/**/fit_*.seconds"))) == 4, 120)
    process.kill()
    process.wait()
    bench.file("go", "")
    finished(process)
    bench.run("experiment", "e0.0.1", "--allow", f"{OPENED},inputs")
    last = "4" if executor == "serial" else "0"
    assert bench.executed("fitted") == Counter({("low", str(n)): 1 for n in range(5)}) + Counter(
        [("low", last)]
    )


# -- large models, which are files

LARGE = """
def fit(params, fold):
    note("fitted", params.model, fold)
    return params.model.encode() * 10_000
"""
OF_LARGE = 'return {"prediction": len(resource), "ground_truth": 1}'


def with_large_models(bench: Bench) -> None:
    bench.settings(store={"model_kb": 1})
    bench.predict(OF_LARGE, head=LARGE, resource=True)
    bench.score("def score(row):\n    return {'large': row['prediction'] > 10_000}\n")
    bench.commit()


def model_files(bench: Bench) -> list[Path]:
    return sorted((bench.root / "results/fitted").glob("*/*.pkl"))


@pytest.mark.parametrize("dvc", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_large_models_are_files_beside_the_database_and_belong_to_the_tag(
    make_bench: Callable[..., Bench], dvc: bool
) -> None:
    bench = make_bench(fresh=True, dvc=dvc)
    with_large_models(bench)
    bench.experiment("e0.0.1")
    assert [row["prediction"] for row in bench.rows()] == [40_000] * 4 + [30_000] * 4
    assert len({row["fit_asset"] for row in bench.rows()}) == 2
    files = model_files(bench)
    assert [file.parent.name for file in files] == ["e0.0.1"] * 2
    kept = bench.sql("SELECT max(length(value)) AS longest FROM assets")
    assert kept[0]["longest"] < 400, "the database holds no model itself"
    assert bench.git("status", "--porcelain") == ""
    committed = bench.git("ls-tree", "-r", "--name-only", "e0.0.1").splitlines()
    names = (
        ["results/fitted/e0.0.1.dvc"] if dvc else [f"results/fitted/e0.0.1/{f.name}" for f in files]
    )
    assert set(names) <= set(committed)
    # Another experiment takes them from there, and tags nothing twice.
    bench.forget()
    shutil.rmtree(bench.root / ".cache")
    bench.items(6)
    bench.predict(OF_LARGE + "\n", head=LARGE, resource=True)
    bench.experiment("e0.0.2", allow=f"{OPENED},data")
    assert bench.git("status", "--porcelain") == ""


@pytest.mark.slow
def test_a_large_model_that_dvc_has_and_is_not_here_is_said_and_not_fitted_again(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(fresh=True, dvc=True)
    with_large_models(bench)
    bench.experiment("e0.0.1")
    bench.forget()
    shutil.rmtree(bench.root / ".cache")
    connection = sqlite3.connect(bench.db)
    connection.execute("UPDATE predictions SET error = 'x', error_type = 'X' WHERE input_id = 'i0'")
    connection.commit()
    connection.close()
    shutil.rmtree(bench.root / "results/fitted/e0.0.1")
    command = ("experiment", "e0.0.2", "--allow", f"{OPENED},results")
    said = bench.run(*command, expect=1).said
    assert "is not here" in said
    assert "dvc checkout results/fitted/e0.0.1.dvc, or make pull" in said
    assert not bench.executed("fitted")
    bench.run_dvc("checkout", "results/fitted/e0.0.1.dvc")
    bench.run(*command)
    assert not bench.executed("fitted")
    assert bench.executed().total() == 2


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_fits_of_several_configurations_run_at_once_and_only_those_that_are_needed(
    make_bench: Callable[..., Bench], executor: str
) -> None:
    bench = make_bench(fresh=True)
    bench.settings(run={"executor": executor, "workers": 3})
    bench.params('[Params(f"m{n}") for n in range(5)]')
    head = """
        import os
        import time
        def fit(params, fold):
            note("began", params.model)
            until = time.monotonic() + 30
            trace = os.environ["BENCH_TRACE"]
            while open(trace).read().count("began") < 2 and time.monotonic() < until:
                time.sleep(0.01)
            note("fitted", params.model)
            return params.model
        """
    bench.predict('return {"prediction": 1, "ground_truth": 1}', head=head, resource=True)
    bench.dev_run()
    assert bench.executed("fitted") == {(f"m{n}",): 1 for n in range(5)}
    began = sorted(at for _, at in bench.traced("began"))
    ended = sorted(at for _, at in bench.traced("fitted"))
    assert began[1] < ended[0], "one is fitted after the other"
    # The results of the second are known, so its model is not needed.
    bench.forget()
    bench.params('[Params("new"), Params("m1"), Params("newer")]')
    bench.dev_run()
    assert set(bench.executed("fitted")) == {("new",), ("newer",)}
