"""A pickle from elsewhere runs nothing: in the cache, among the assets, beside the cache."""

import os
import pickle
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import diskcache
import pytest

from tests.harness.project_fixture import Bench
from tests.harness.test_fit import FITS, fitting


class Attack:
    """What a stranger pickles: loading it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "pwned"


def poison_cache(folder: Path, value: object) -> None:
    with diskcache.Cache(str(folder)) as cache:
        for key in list(cache):
            cache.set(key, value)


def test_a_poisoned_cache_runs_nothing_until_somebody_vouches_for_it(
    bench: Bench, mark: Path
) -> None:
    bench.experiment("e0.0.1")
    poison_cache(bench.root / ".cache", {"result": {"prediction": Attack(mark)}, "cache": "run"})
    assert "8 cached" in bench.run("dry-run").said
    for command in (["experiment", "e0.0.2", "--allow=dev-run,tests"], ["spot-check"]):
        said = bench.run(*command, expect=2).said
        assert "would run code when it is loaded (it names posix.system)" in said
        assert "fix: make trust" in said
    assert not mark.exists()
    assert ".cache is trusted; its pickles name posix (8)" in bench.run("trust").said
    assert not mark.exists()
    bench.run("experiment", "e0.0.2", "--allow=dev-run,tests", expect=None)
    assert mark.exists()  # the attack would have worked


def test_entries_hold_plain_data_and_other_values_are_trusted_where_they_were_written(
    make_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    bench = make_bench()
    bench.predict(
        """
        return {
            "prediction": np.bool_(item["x"] > params.threshold), "ground_truth": item["label"],
            "exact": Decimal("1.50"), "vector": np.arange(3), "nested": {"a": [np.float64(2.5)]},
            "model": Model(item["x"]),
        }
        """,
        head="import numpy as np\nfrom decimal import Decimal\n\n\nclass Model:\n"
        "    def __init__(self, x):\n        self.x = x",
    )
    bench.experiment("e0.0.1")
    with closing(sqlite3.connect(bench.root / ".cache/cache.db")) as con:
        entries = [bytes(row[0]) for row in con.execute("SELECT value FROM Cache")]
    assert all(b"numpy" not in each and b"Decimal" not in each for each in entries)
    before = [{k: v for k, v in row.items() if k in KEPT} for row in bench.rows()]
    bench.forget()
    bench.experiment("e0.0.2")
    assert not bench.executed()
    assert [{k: v for k, v in row.items() if k in KEPT} for row in bench.rows("e0.0.2")] == before
    # Where the folder comes from elsewhere, git's own folder is another one.
    other = bench.copy(tmp_path / "elsewhere")
    (other.root / ".git/benchmark-trusted.db").unlink()
    said = other.run("experiment", "e0.0.3", "--allow=dev-run,tests", expect=2).said
    assert "it names benchmark.predict.Model" in said
    other.run("trust")
    other.run("experiment", "e0.0.3", "--allow=dev-run,tests")
    assert not other.executed()


KEPT = ("input_id", "prediction", "exact", "vector", "nested", "model", "ground_truth")


@pytest.mark.parametrize("where", ["assets", "keys", "counts"])
def test_a_poisoned_table_of_assets_runs_nothing(bench: Bench, mark: Path, where: str) -> None:
    fitting(bench)
    bench.dev_run()
    bad = pickle.dumps(Attack(mark))
    with closing(sqlite3.connect(bench.dev_db)) as con:
        con.execute(f"UPDATE {where} SET value = ?", (bad,))
        if where == "counts":
            con.execute("INSERT INTO keys VALUES (?, ?)", (b64encode(bad).decode(), bad))
        con.commit()
    bench.items(8, fold="n % 2")
    bench.dev_run(expect=None)  # other items, so models are fitted and counted again
    bench.items(6, fold="n % 2")
    bench.predict(
        "return {'prediction': resource.value, 'ground_truth': 1}",
        head=(bench.root / "src/benchmark/predict.py")
        .read_text()
        .partition("import note\n")[2]
        .partition("\n\ndef predict")[0],
        resource=True,
    )
    done = bench.dev_run(expect=None)
    assert "Traceback" not in done.said
    assert not mark.exists()


def test_a_model_is_loaded_only_where_it_is_the_recorded_one(
    bench: Bench, mark: Path, tmp_path: Path
) -> None:
    fitting(bench, "processes")
    bench.experiment("e0.0.1")
    models = sorted((bench.root / ".cache/fitted").glob("*.pkl"))
    assert len(models) == 4
    good = models[0].read_bytes()
    for path in models:
        path.write_bytes(pickle.dumps(Attack(mark)))
    bench.settings(run={"executor": "processes", "workers": 2, "repeats": 2})
    bench.experiment("e0.1.0")
    assert not mark.exists()
    assert bench.executed("fitted") == FITS
    assert models[0].read_bytes() == good  # written anew from what is recorded

    # The same database in another checkout is a colleague's: their code runs where one says so.
    other = bench.copy(tmp_path / "elsewhere")
    (other.root / ".git/benchmark-trusted.db").unlink()
    other.settings(run={"executor": "processes", "workers": 2, "repeats": 3})
    said = other.experiment("e0.2.0", expect=2).said
    assert "the fitted model" in said
    assert "fix: make trust" in said
    assert "results/benchmark.db is trusted; its pickles name benchmark" in other.run("trust").said
    other.experiment("e0.2.0")
