"""A benchmark of one's own library: its code is in the key wherever it lies, and can be named."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import Bench, once_each

EVERY = once_each(["low", "high"], 4)
PREDICT = 'return {"prediction": mylib.rule(item["x"]), "ground_truth": 1}'


@pytest.fixture
def inside(tmp_path: Path, make_bench: Callable[..., Bench]) -> Bench:
    """A benchmark in a folder of a repository whose library it measures."""
    bench = make_bench("repository/bench")
    library(bench, "1")
    bench.predict(PREDICT, head="import mylib")
    return bench


def library(bench: Bench, value: str) -> Path:
    package = bench.root.parent / "src/mylib"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("from mylib.deep import rule\n")
    (package / "deep.py").write_text(f"def rule(x):\n    return {value}\n")
    return package.parent


def path_of(bench: Bench) -> str:
    return os.pathsep.join([bench.environment()["PYTHONPATH"], str(bench.root.parent / "src")])


def ways(bench: Bench, how: str) -> dict[str, str]:
    """The environment in which predict.py finds the library."""
    if how == "PYTHONPATH":
        return {"PYTHONPATH": path_of(bench)}
    if how == "sys.path":
        head = 'import sys\nsys.path.insert(0, "../src")\nimport mylib'
        bench.predict(PREDICT, head=head)
        return {}
    # As `pip install -e ..` leaves it: a .pth in a folder of installed packages.
    site = bench.root.parent / "env/site-packages"
    site.mkdir(parents=True, exist_ok=True)
    (site / "mylib.pth").write_text(str(bench.root.parent / "src") + "\n")
    code = f"import site\nsite.addsitedir({str(site)!r})\n"
    (bench.root.parent / "env/sitecustomize.py").write_text(code)
    start = bench.root.parent / "env"
    return {"PYTHONPATH": os.pathsep.join([bench.environment()["PYTHONPATH"], str(start)])}


@pytest.mark.parametrize("how", ["PYTHONPATH", "sys.path", ".pth"])
def test_an_edit_of_the_library_is_never_served_from_the_cache(
    tmp_path: Path, make_bench: Callable[..., Bench], how: str
) -> None:
    bench = make_bench("repository/bench", fresh=True)
    library(bench, "1")
    bench.predict(PREDICT, head="import mylib")
    environment = ways(bench, how)
    for value, expected in (("1", EVERY), ("1  # one", {}), ("2", EVERY), ("1", {})):
        library(bench, value)
        bench.forget()
        said = bench.run("dev-run", before=None, expect=0, **environment).said
        assert bench.executed() == expected
        assert {row["prediction"] for row in bench.rows("dev")} == {int(value[0])}
        assert "no key holds" not in said
    parts = bench.sql("SELECT code_parts FROM runs", bench.dev_db)[-1]["code_parts"]
    assert "module mylib.deep" in parts
    assert str(tmp_path) not in parts


def test_an_edit_of_the_library_during_a_run_ends_it(inside: Bench) -> None:
    deep = inside.root.parent / "src/mylib/deep.py"
    inside.predict(
        f'if item["id"] == "i3":\n    open({str(deep)!r}, "a").write("#")\n{PREDICT}',
        head="import mylib",
    )
    done = inside.run("dev-run", expect=1, PYTHONPATH=path_of(inside))
    assert "module mylib.deep was written while the run went on" in done.said


def test_a_file_above_the_benchmark_can_be_named_in_key(inside: Bench) -> None:
    config = inside.root.parent / "config.json"
    config.write_text("1")
    inside.git("init", "-q", str(inside.root.parent))
    environment = {"PYTHONPATH": path_of(inside)}
    inside.predict(
        'return {"prediction": open("../config.json").read(), "ground_truth": 1}',
        head="import mylib",
    )
    # The benchmark's own repository is the one of its folder; only above it lies config.json.
    shutil.rmtree(inside.root / ".git")
    inside.git("checkout", "-q", "-b", "feat/library")
    said = inside.run("dev-run", before=None, expect=0, **environment).said
    assert "the file ../config.json, which no key holds" in said
    inside.settings(key={"files": ["../config.json"], "harmless": ["BENCH_TRACE"]})
    assert "no key holds" not in inside.run("dev-run", before=None, expect=0, **environment).said
    config.write_text("2")
    inside.forget()
    inside.run("dev-run", before=None, expect=0, **environment)
    assert inside.executed() == EVERY
    inside.settings(key={"files": ["../../*.txt"]})
    refused = inside.run("dev-run", before=None, expect=2, **environment)
    assert "nothing in the repository matches '../../*.txt'" in refused.said


def test_a_missing_import_never_sends_to_a_strangers_package(inside: Bench) -> None:
    inside.git("init", "-q", str(inside.root.parent))
    shutil.rmtree(inside.root / ".git")
    inside.git("checkout", "-q", "-b", "feat/library")
    refused = inside.run("dev-run", expect=2)
    assert "add the line `-e ..` to requirements-benchmark.in" in refused.said
    inside.predict("return {}", head="import nowhere_to_be_found")
    refused = inside.run("dev-run", expect=2)
    assert "add nowhere_to_be_found" not in refused.said
    assert "is your own code" in refused.said


FAMILIES = """
def modules(params):
    return [f"benchmark.families.{params.model}"]
"""
CHOOSE = """
word = import_module(f"benchmark.families.{params.model}").word
return {"prediction": word, "ground_truth": "a"}
"""


def families(bench: Bench, **words: str) -> None:
    bench.file("src/benchmark/families/__init__.py", "")
    for name, word in words.items():
        bench.file(f"src/benchmark/families/{name}.py", f"word = {word!r}\n")


def test_only_the_code_that_a_configuration_reaches_is_in_its_key(bench: Bench) -> None:
    """One file a family: a new one, or an edit of one, leaves the results of the others alone."""
    families(bench, low="a", high="b")
    grid = '[Params("low"), Params("high")]'
    bench.params(grid + FAMILIES)
    bench.predict(CHOOSE, head="from importlib import import_module")
    assert "no key holds" not in bench.dev_run().said
    assert bench.executed() == EVERY
    families(bench, high="B", mid="c")
    bench.forget()
    bench.dev_run()
    assert bench.executed() == once_each(["high"], 4)
    bench.params('[Params("low"), Params("high"), Params("mid")]' + FAMILIES)
    bench.forget()
    bench.dev_run()
    # GRID is in no key, so the others stay.
    assert bench.executed() == once_each(["mid"], 4)
    words = {row["params_model"]: row["prediction"] for row in bench.rows("dev")}
    assert words == {"low": "a", "high": "B", "mid": "c"}
    assert len({row["code_key"] for row in bench.rows("dev")}) == 3
    # An experiment of several code keys is one experiment.
    bench.experiment("e0.0.1", allow="tests")
    assert "code versions" not in bench.run("validate", expect=None).said
    families(bench, high="other")
    explained = bench.run("explain", "i0").said
    assert explained.count("code changed: src/benchmark/families/high.py") == 1


def test_a_module_that_modules_does_not_name_is_seen(bench: Bench) -> None:
    families(bench, low="a", high="b")
    bench.params(
        '[Params("low"), Params("high")]\n\n\n'
        'def modules(params):\n    return ["benchmark.families.low"]'
    )
    bench.predict(CHOOSE, head="from importlib import import_module")
    said = bench.dev_run().said
    assert "the module benchmark.families.high, which no key holds" in said
    assert "name it in modules(params) of params.py" in said
    ready = bench.run("ready", expect=1).said
    assert "inputs: predict reads module benchmark.families.high, which no key holds" in ready


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ('return ["benchmark.families.none"]', "there is no module benchmark.families.none"),
        ('return "benchmark.families.low"', "returned the single 'benchmark.families.low'"),
        ("return params.nothing", "modules in params.py gave no list of names"),
    ],
)
def test_modules_that_names_nothing_is_refused(bench: Bench, body: str, complaint: str) -> None:
    families(bench, low="a", high="b")
    bench.params(f'[Params("low")]\n\n\ndef modules(params):\n    {body}')
    assert complaint in bench.dev_run(expect=2).said
