"""Promise 2, Never stale: a result is reused only where all that could change it is the same."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.project_fixture import Bench, once_each

EVERY = once_each(["low", "high"], 4)


def run_again(bench: Bench, **environment: str) -> "Counter[tuple[str, ...]]":
    """What a dev-run really executed."""
    bench.forget()
    bench.run("dev-run", "--items=1000", expect=0, before=None, **environment)
    return bench.executed()


def predictions(bench: Bench) -> set[object]:
    return {row["prediction"] for row in bench.rows("dev")}


def edit(bench: Bench, name: str, old: str, new: str) -> None:
    text = (bench.root / name).read_text()
    assert old in text
    bench.file(name, text.replace(old, new))


def test_never_stale(bench: Bench) -> None:
    bench.predict('return {"prediction": "old", "ground_truth": "old"}')
    assert run_again(bench) == EVERY
    assert predictions(bench) == {"old"}
    edit(bench, "src/benchmark/predict.py", '"prediction": "old"', '"prediction": "new"')
    assert run_again(bench) == EVERY
    assert predictions(bench) == {"new"}
    # What was computed before the edit was not wrong: going back finds it again.
    edit(bench, "src/benchmark/predict.py", '"prediction": "new"', '"prediction": "old"')
    assert not run_again(bench)
    assert predictions(bench) == {"old"}


@pytest.mark.parametrize(
    ("head", "body", "module"),
    [
        ("from benchmark.deep.rule import word", "", "deep/rule.py"),
        ("from .deep import rule", "word = rule.word", "deep/rule.py"),
        ("", "from benchmark.deep.rule import word", "deep/rule.py"),
        ("from benchmark.deep import word", "", "deep/__init__.py"),
        (
            "import importlib",
            "word = importlib.import_module('benchmark.deep.rule').word",
            "deep/rule.py",
        ),
        (
            "import importlib",
            "word = importlib.import_module(f'benchmark.deep.{params.model}').word",
            "deep/low.py",
        ),
    ],
    ids=["absolute", "relative", "lazy", "package", "import_module", "computed"],
)
def test_editing_a_module_that_predict_imports_makes_a_miss(
    bench: Bench, head: str, body: str, module: str
) -> None:
    for name in ("__init__", "rule", "low", "high"):
        bench.file(f"src/benchmark/deep/{name}.py", 'word = "old"\n')
    bench.predict(f'{body}\nreturn {{"prediction": word, "ground_truth": "old"}}', head=head)
    assert run_again(bench) == EVERY
    edit(bench, f"src/benchmark/{module}", "old", "new")
    assert run_again(bench) >= once_each(["low"], 4)
    assert "new" in predictions(bench)


def test_editing_a_method_of_params_makes_a_miss(bench: Bench) -> None:
    """predict reaches it through its argument, without an import."""
    fields = "model: str\nthreshold: float = 0.5\ndef word(self):\n    return {word!r}"
    bench.params('[Params("low"), Params("high")]', fields.format(word="old"))
    bench.file(
        "src/benchmark/predict.py",
        "from benchmark.trace import note\n\n\ndef predict(item, params):\n"
        '    note("ran", params.model, item["id"])\n'
        '    return {"prediction": params.word(), "ground_truth": "old"}\n',
    )
    assert run_again(bench) == EVERY
    bench.params('[Params("low"), Params("high")]', fields.format(word="new"))
    assert run_again(bench) == EVERY
    assert predictions(bench) == {"new"}


def test_edits_that_cannot_change_a_result_make_no_miss(bench: Bench) -> None:
    assert run_again(bench) == EVERY
    predict = "src/benchmark/predict.py"
    text = (bench.root / predict).read_text()
    bench.file(predict, "# a comment\n" + text.replace("return {", "return {  # another\n\n"))
    bench.file("src/benchmark/trace.py", (bench.root / "src/benchmark/trace.py").read_text() + "#")
    bench.file("src/benchmark/unused.py", "x = 1\n")
    bench.file("README.md", "about\n")
    bench.score('def score(row):\n    return {"wrong": row["prediction"] != row["ground_truth"]}\n')
    bench.settings(run={"executor": "threads", "workers": 3, "timeout_seconds": 60})
    edit(bench, "src/benchmark/dataset.py", "return", "# the same items\n    return")
    assert not run_again(bench)
    assert len(bench.rows("dev")) == 8


def test_a_new_configuration_is_the_only_one_that_runs(bench: Bench) -> None:
    assert run_again(bench) == EVERY
    bench.params('[Params("high", 0.75), Params("mid", 0.5), Params("low", 0.25)]')
    assert run_again(bench) == once_each(["mid"], 4)
    assert len(bench.rows("dev")) == 12


def test_a_new_item_and_a_changed_item_are_the_only_ones_that_run(bench: Bench) -> None:
    bench.items(4, words="['a', 'b', 'c', 'd'][n]")
    assert run_again(bench) == EVERY
    bench.items(4, words="['a', 'B', 'c', 'd'][n]")
    assert run_again(bench) == Counter([("low", "i1"), ("high", "i1")])


def test_changing_the_model_never_reuses_another_models_result(bench: Bench) -> None:
    bench.predict('return {"prediction": params.model, "ground_truth": "a"}')
    for models in (["a", "b"], ["b", "c"], ["c", "a"]):
        bench.params(f"[Params(m) for m in {models}]")
        run_again(bench)
        rows = bench.rows("dev")
        assert {row["params_model"] for row in rows} == set(models)
        assert all(row["prediction"] == row["params_model"] for row in rows)
    # All three have been seen by now, each by its own name.
    bench.params('[Params("a"), Params("b"), Params("c")]')
    assert not run_again(bench)
    assert all(row["prediction"] == row["params_model"] for row in bench.rows("dev"))


@pytest.mark.parametrize(("first", "second"), [("1", "True"), ("1", "1.0"), ("0", "None")])
def test_params_that_only_look_alike_are_not_the_same(
    bench: Bench, first: str, second: str
) -> None:
    bench.predict('return {"prediction": repr(params.threshold), "ground_truth": "1"}')
    for value in (first, second):
        bench.params(f'[Params("m", {value})]', "model: str\nthreshold: object")
        assert run_again(bench) == once_each(["m"], 4)
        assert predictions(bench) == {value}


def test_models_that_are_classes_of_equal_fields_are_not_the_same(bench: Bench) -> None:
    fields = "model: str\nthreshold: float\nkind: Tree | Forest"
    bench.predict('return {"prediction": type(params.kind).__name__, "ground_truth": "Tree"}')
    bench.params('[Params("m", 0.5, Tree()), Params("m", 0.5, Forest())]', fields)
    text = (bench.root / "src/benchmark/params.py").read_text()
    classes = "".join(
        f"@dataclass(frozen=True)\nclass {name}:\n    depth: int = 1\n\n\n"
        for name in ("Tree", "Forest")
    )
    bench.file("src/benchmark/params.py", text.replace("@dataclass", classes + "@dataclass", 1))
    assert run_again(bench) == Counter({("m", f"i{n}"): 2 for n in range(4)})
    assert Counter(row["prediction"] for row in bench.rows("dev")) == {"Tree": 4, "Forest": 4}
    metrics = bench.sql("SELECT n, correct FROM metrics", bench.dev_db)
    assert sorted((m["n"], m["correct"]) for m in metrics) == [(4, 0.0), (4, 1.0)]


def test_a_data_file_that_an_item_points_to_counts(bench: Bench) -> None:
    bench.dataset(
        """
        folder = Path(__file__).parents[2] / "data"
        return [{"id": path.stem, "page": path} for path in sorted(folder.glob("*.txt"))]
        """
    )
    bench.predict('return {"prediction": item["page"].read_text(), "ground_truth": "one"}')
    for n in range(4):
        bench.file(f"data/i{n}.txt", "one")
    assert run_again(bench) == EVERY
    bench.file("data/i2.txt", "two")
    assert run_again(bench) == Counter([("low", "i2"), ("high", "i2")])
    assert [row["prediction"] for row in bench.rows("dev") if row["input_id"] == "i2"] == [
        "two",
        "two",
    ]
    os.utime(bench.root / "data/i2.txt")
    assert not run_again(bench)


def test_a_declared_file_and_a_declared_package_count(bench: Bench, tmp_path: Path) -> None:
    info = tmp_path / "site/made_up-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    bench.file("prompts/one.txt", "Say it.")
    bench.settings(key={"files": ["prompts/*.txt"], "packages": ["made-up"]})
    path = bench.environment()["PYTHONPATH"] + os.pathsep + str(info.parent)
    assert run_again(bench, PYTHONPATH=path) == EVERY
    assert not run_again(bench, PYTHONPATH=path)
    bench.file("prompts/one.txt", "Sing it.")
    assert run_again(bench, PYTHONPATH=path) == EVERY
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.1\n")
    assert run_again(bench, PYTHONPATH=path) == EVERY
    assert not run_again(bench, PYTHONPATH=path)


def test_an_edit_that_keeps_size_and_time_of_the_file_is_run(bench: Bench) -> None:
    """As after two `git switch` in one second, or `rsync -t`: Python would run old bytecode."""
    bench.predict('return {"prediction": "old", "ground_truth": "old"}')
    path = bench.root / "src/benchmark/predict.py"
    assert run_again(bench) == EVERY
    before = path.stat()
    path.write_text(path.read_text().replace('"prediction": "old"', '"prediction": "new"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert run_again(bench) == EVERY
    assert predictions(bench) == {"new"}


def test_code_that_changed_between_two_parts_of_an_experiment_is_refused(bench: Bench) -> None:
    """Numbers of two versions of predict under one tag would mean nothing."""
    bench.predict(
        """
        if item["id"] == "i3":
            raise ValueError("no")
        return {"prediction": 1, "ground_truth": 1}
        """
    )
    bench.experiment("e0.0.1", expect=1)
    recorded = bench.rows()
    bench.predict('return {"prediction": 1, "ground_truth": 1}')
    refused = bench.experiment("e0.0.1", expect=2)
    assert "other code" in refused.said
    assert "make discard TAG=e0.0.1" in refused.said
    assert bench.rows() == recorded
    bench.run("discard", "e0.0.1")
    bench.experiment("e0.0.1")
    assert len({row["code_key"] for row in bench.rows()}) == 1
