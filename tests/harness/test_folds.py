"""The folds of a design: what fit is given, what is recorded of it, and what is decided by it."""

import json
from collections.abc import Callable

import pytest

from tests.harness.project_fixture import Bench

ITEMS = 12
FIT = """
def fit(params, fold, train):
    note("fitted", params.model, fold, ",".join(item["id"] for item in train))
    return sum(item["x"] for item in train) / len(train) * params.threshold
"""
PREDICT = """
return {"prediction": resource, "ground_truth": item["x"], "raw_response": str(resource)}
"""
SCORE = """
from harness import Score

SCORES = {"off": Score("mean", better="lower")}


def score(row):
    return {"off": abs(row["prediction"] - row["ground_truth"])}
"""
REPEATED = "[n % 2, n // 6, n % 3]"


def fitting(bench: Bench, fold: str, fit: str = FIT, repeats: int = 1) -> None:
    bench.settings(run={"repeats": repeats})
    bench.items(ITEMS, fold=fold)
    bench.predict(PREDICT, head=fit, resource=True)
    bench.score(SCORE)


@pytest.fixture(scope="module")
def repeated(make_module_bench: Callable[[], Bench]) -> Bench:
    bench = make_module_bench()
    fitting(bench, REPEATED, repeats=3)
    bench.experiment("e0.0.1")
    return bench


def test_fit_is_given_the_items_of_all_other_folds_of_its_repeat(repeated: Bench) -> None:
    given = {words for words, _ in repeated.traced("fitted") if words[0] == "low"}
    expected = set()
    for folds in ([n % 2 for n in range(ITEMS)], [n // 6 for n in range(ITEMS)]):
        for fold in (0, 1):
            train = ",".join(f"i{n}" for n in range(ITEMS) if folds[n] != fold)
            expected.add(("low", str(fold), train))
    for fold in (0, 1, 2):
        train = ",".join(f"i{n}" for n in range(ITEMS) if n % 3 != fold)
        expected.add(("low", str(fold), train))
    assert given == expected


def test_every_row_says_its_fold_and_how_many_items_its_model_saw(repeated: Bench) -> None:
    for row in repeated.rows():
        n = int(row["input_id"][1:])
        fold = [n % 2, n // 6, n % 3][row["repeat"]]
        tested = 4 if row["repeat"] == 2 else 6
        assert row["fold"] == f"r{row['repeat']}f{fold}"
        assert (row["n_train"], row["n_test"]) == (ITEMS - tested, tested)


def test_folds_of_all_repeats_are_compared_together(repeated: Bench) -> None:
    said = repeated.run("compare", "e0.0.1", "--json").out
    (pair,) = json.loads(said)["pairs"]
    assert pair["verdict"]["test"] == "corrected resampled t of 7 folds"
    assert pair["verdict"]["n"] == ITEMS
    assert f"{ITEMS} items" in repeated.run("summary", "e0.0.1").said


def test_reused_rows_say_it_too_and_nothing_is_fitted_again(repeated: Bench) -> None:
    before = repeated.executed("fitted")
    repeated.experiment("e0.0.2")
    assert repeated.executed("fitted") == before
    first, second = ([{k: row[k] for k in ("fold", "n_train", "n_test")} for row in rows]
                     for rows in (repeated.rows("e0.0.1"), repeated.rows("e0.0.2")))  # fmt: skip
    assert first == second


def test_a_fold_that_is_text_is_a_fold(bench: Bench) -> None:
    fitting(bench, "f'seed0-fold{n % 3}'")
    bench.experiment("e0.0.1")
    (pair,) = json.loads(bench.run("compare", "e0.0.1", "--json").out)["pairs"]
    assert pair["verdict"]["test"] == "corrected resampled t of 3 folds"


def test_a_fit_that_chooses_its_own_items_decides_nothing_and_says_why(bench: Bench) -> None:
    fitting(bench, "n % 3", FIT.replace(", train):", "):\n    train = [{'id': 'i0', 'x': 1.0}]"))
    bench.experiment("e0.0.1")
    (pair,) = json.loads(bench.run("compare", "e0.0.1", "--json").out)["pairs"]
    assert pair["outcome"] == "undecided"
    assert "write fit(params, fold, train)" in pair["verdict"]["difference"]["note"]
    assert all(row.get("n_train") is None for row in bench.rows())


@pytest.mark.parametrize(
    ("fold", "repeats", "fit", "words"),
    [
        ("1", 1, FIT, "fold 1 has no training items: every item is tested in it"),
        (REPEATED, 4, FIT, "item 'i0' has 3 folds, and [run] repeats is 4"),
        ("[1, 2] if n else 1", 2, FIT, "11 of 12 items have a list of folds and the others one"),
        (REPEATED, 3, FIT.replace(", train):", "):\n    train = []"), "fit does not take"),
        ("1", 1, "def fit(params):\n    return 1", "fit takes 1 arguments, expected (params, fold"),
    ],
)
def test_a_design_that_cannot_be_is_refused_before_anything_runs(
    bench: Bench, fold: str, repeats: int, fit: str, words: str
) -> None:
    fitting(bench, fold, fit, repeats)
    done = bench.dev_run(expect=2)
    assert words in done.said
    assert not bench.trace.exists()


def test_a_dev_run_fits_only_what_its_items_need_and_says_what_it_leaves_out(bench: Bench) -> None:
    fitting(bench, REPEATED, repeats=3)
    said = bench.dev_run(items=1).said
    assert "a dev-run does 1 of 3 repeats, with the models that its items need" in said
    models = {row["params_model"] for row in bench.rows("dev")}
    assert len(bench.traced("fitted")) == len(models) == len(bench.rows("dev"))
    assert all(row["n_train"] == ITEMS / 2 for row in bench.rows("dev"))
