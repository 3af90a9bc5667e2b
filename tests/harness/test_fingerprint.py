"""The fingerprint: which edits change it and which do not."""

import textwrap
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.project.fingerprint import Code, reachable_code

FILES = {
    "src/benchmark/__init__.py": "",
    "src/benchmark/params.py": """
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Params:
            model: str

        GRID = [Params("a")]
    """,
    "src/benchmark/predict.py": """
        from benchmark.params import Params

        def predict(item, params):
            return {"prediction": item["x"] > 1}
    """,
}


def write(root: Path, **files: str) -> None:
    """Write files named by keys in which `__` stands for `/`."""
    for name, text in files.items():
        put(root, name, text)


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        put(tmp_path, name, text)
    return tmp_path


def predict(root: Path, head: str, body: str = "return {}") -> Code:
    """The fingerprint with this predict.py."""
    head = textwrap.dedent(head)
    put(root, "src/benchmark/predict.py", f"{head}\ndef predict(item, params):\n    {body}\n")
    return reachable_code(root)


def test_comments_layout_and_line_ends_do_not_count(root: Path) -> None:
    before = reachable_code(root)
    path = root / "src/benchmark/predict.py"
    path.write_bytes(
        b"# a comment\r\nfrom benchmark.params import Params  # more\r\n\r\n\r\n"
        b"def predict(\r\n    item,\r\n    params,\r\n):\r\n"
        b"    return {  # why\r\n        'prediction': (item['x']\r\n            > 1),\r\n    }\r\n"
    )
    assert reachable_code(root) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("> 1", ">= 1"),
        ("> 1", "> 1.0"),
        ("> 1", "> True"),
        ('"prediction"', '"predictiom"'),
        ("def predict", "import math\n\ndef predict"),
    ],
)
def test_any_change_of_meaning_counts(root: Path, old: str, new: str) -> None:
    before = reachable_code(root)
    path = root / "src/benchmark/predict.py"
    path.write_text(path.read_text().replace(old, new))
    assert reachable_code(root).key != before.key


IMPORTS = {
    "absolute": ("from benchmark.model import rule", "src/benchmark/model.py"),
    "whole module": ("import benchmark.model", "src/benchmark/model.py"),
    "as": ("import benchmark.model as m", "src/benchmark/model.py"),
    "relative": ("from .model import rule", "src/benchmark/model.py"),
    "relative module": ("from . import model", "src/benchmark/model.py"),
    "module of a package": ("from benchmark import model", "src/benchmark/model.py"),
    "star": ("from benchmark.model import *", "src/benchmark/model.py"),
    "subpackage": ("from .models.tree import rule", "src/benchmark/models/tree.py"),
    "parent of a subpackage": ("from .models.tree import rule", "src/benchmark/models/__init__.py"),
    "the package itself": ("from .models.tree import rule", "src/benchmark/__init__.py"),
    "beside the package": ("import rules", "src/rules.py"),
    "beside src": ("import rules.deep", "rules/deep.py"),
    "a folder without __init__": ("from plain import deep", "src/plain/deep.py"),
    "above a folder without __init__": ("from outer.plain import deep", "src/outer/__init__.py"),
    "through another": ("from benchmark.first import go", "src/benchmark/second.py"),
    "round in a circle": ("from benchmark.left import go", "src/benchmark/right.py"),
    "import_module": (
        "import importlib\nm = importlib.import_module('benchmark.model')",
        "src/benchmark/model.py",
    ),
    "relative import_module": (
        "from importlib import import_module\nm = import_module('.model', 'benchmark')",
        "src/benchmark/model.py",
    ),
    "import_module by keyword": (
        "import importlib\nm = importlib.import_module(name='benchmark.model')",
        "src/benchmark/model.py",
    ),
    "import_module of a computed name": (
        "import importlib\ndef pick(n):\n"
        "    return importlib.import_module(f'benchmark.models.{n}')",
        "src/benchmark/models/tree.py",
    ),
    "import_module by another name": (
        "from importlib import import_module as get\nm = get('benchmark.model')",
        "src/benchmark/model.py",
    ),
    "import_module kept in a variable": (
        "import importlib\nget = importlib.import_module\nm = get('benchmark.model')",
        "src/benchmark/model.py",
    ),
    "import_module relative to another package": (
        "from importlib import import_module\nm = import_module('.tree', 'benchmark.models')",
        "src/benchmark/models/tree.py",
    ),
    "runpy": ("import runpy\nm = runpy.run_module('benchmark.model')", "src/benchmark/model.py"),
    "importlib.util": (
        "from importlib.util import spec_from_file_location",
        "src/benchmark/model.py",
    ),
    "star of a package": ("from benchmark.models import *", "src/benchmark/models/tree.py"),
    "__import__": ("m = __import__('benchmark.model')", "src/benchmark/model.py"),
    "under a condition": (
        "import sys\nif sys.platform == 'never':\n    import benchmark.model",
        "src/benchmark/model.py",
    ),
    "in a try": (
        "try:\n    import nothing_such\nexcept ImportError:\n    import benchmark.model",
        "src/benchmark/model.py",
    ),
}
MODULES = {
    "src/benchmark/model.py": "def rule(x): return x\n",
    "src/benchmark/models/__init__.py": "",
    "src/benchmark/models/tree.py": "def rule(x): return x\n",
    "src/benchmark/first.py": "from benchmark import second\ndef go(): return second.go()\n",
    "src/benchmark/second.py": "def go(): return 1\n",
    "src/benchmark/left.py": "from benchmark import right\ndef go(): return right.go()\n",
    "src/benchmark/right.py": "def go():\n    from benchmark import left\n    return left\n",
    "src/rules.py": "x = 1\n",
    "rules/deep.py": "x = 1\n",
    "src/plain/deep.py": "x = 1\n",
    "src/outer/__init__.py": "",
    "src/outer/plain/deep.py": "x = 1\n",
}


@pytest.mark.parametrize("way", IMPORTS)
def test_an_edit_is_seen_through_every_way_to_import(root: Path, way: str) -> None:
    head, edited = IMPORTS[way]
    for name, text in MODULES.items():
        if not (way == "beside src" and name == "src/rules.py"):
            put(root, name, text)
    before = predict(root, head)
    assert edited in before.parts
    put(root, edited, (root / edited).read_text() + "\nEDITED = True\n")
    after = reachable_code(root)
    assert after.key != before.key
    changed = [name for name in after.parts if after.parts[name] != before.parts[name]]
    assert changed == [edited]


@pytest.mark.parametrize(
    "inside", ["from benchmark.model import rule", "from .model import rule", "from . import model"]
)
def test_an_import_inside_a_function_counts(root: Path, inside: str) -> None:
    put(root, "src/benchmark/model.py", "x = 1\n")
    before = predict(root, "", f"{inside}; return {{}}")
    put(root, "src/benchmark/model.py", "x = 2\n")
    assert reachable_code(root).key != before.key


def test_files_that_predict_cannot_reach_do_not_count(root: Path) -> None:
    before = reachable_code(root)
    put(root, "src/benchmark/dataset.py", "def load(): return []\n")
    put(root, "src/benchmark/metrics.py", "def score(row): return {}\n")
    put(root, "scripts/other.py", "x = 1\n")
    assert reachable_code(root) == before


def test_params_count_even_where_predict_does_not_import_them(root: Path) -> None:
    """predict is handed a Params, so it reaches its methods without any import."""
    put(
        root,
        "src/benchmark/params.py",
        FILES["src/benchmark/params.py"].replace(
            "model: str",
            "model: str\n\n            def prompt(self):\n                return 'old'",
        ),
    )
    before = predict(root, "", "return {'prediction': params.prompt()}")
    path = root / "src/benchmark/params.py"
    path.write_text(path.read_text().replace("'old'", "'new'"))
    assert reachable_code(root).key != before.key


def test_the_package_itself_counts_even_where_nothing_is_imported(root: Path) -> None:
    """Python runs benchmark/__init__.py before predict.py."""
    before = predict(root, "")
    put(root, "src/benchmark/__init__.py", "import decimal; decimal.getcontext().prec = 3\n")
    assert reachable_code(root).key != before.key


def test_a_new_configuration_does_not_count(root: Path) -> None:
    before = reachable_code(root)
    path = root / "src/benchmark/params.py"
    path.write_text(path.read_text().replace('[Params("a")]', '[Params("a"), Params("b")]'))
    assert reachable_code(root) == before
    path.write_text(path.read_text().replace("GRID =", "GRID: list[Params] ="))
    assert reachable_code(root) == before


@pytest.mark.parametrize(
    "head",
    [
        "from benchmark.params import GRID",
        "from benchmark.params import *",
        "import benchmark.params",
        "from benchmark import params",
        "from . import params as p",
    ],
)
def test_a_new_configuration_counts_where_predict_could_read_the_grid(
    root: Path, head: str
) -> None:
    before = predict(root, head)
    path = root / "src/benchmark/params.py"
    path.write_text(path.read_text().replace('[Params("a")]', '[Params("a"), Params("b")]'))
    assert reachable_code(root).key != before.key


@pytest.mark.parametrize(
    "more",
    [
        "def place(params): return GRID.index(params)",
        "DEFAULT = GRID = [Params('x')]",
        "KNOWN = {params.model for params in GRID}",
    ],
)
def test_a_new_configuration_counts_where_params_themselves_use_the_grid(
    root: Path, more: str
) -> None:
    path = root / "src/benchmark/params.py"
    path.write_text(path.read_text() + f"\n{more}\n")
    before = reachable_code(root)
    path.write_text(path.read_text().replace('Params("a")', 'Params("b")').replace("'x'", "'y'"))
    assert reachable_code(root).key != before.key


def test_what_is_beside_the_grid_in_params_counts(root: Path) -> None:
    before = reachable_code(root)
    path = root / "src/benchmark/params.py"
    path.write_text(path.read_text() + "\nDEFAULT_PROMPT = 'x'\n")
    assert reachable_code(root).key != before.key


def test_packages_from_elsewhere_are_named(root: Path) -> None:
    found = predict(root, "import json\nimport numpy.linalg\nfrom scipy import stats")
    assert {"json", "numpy", "scipy"} <= found.packages
    assert "benchmark" not in found.packages


def test_a_file_that_is_no_python_is_named_with_its_line(root: Path) -> None:
    put(root, "src/benchmark/model.py", "x = 1\ndef (:\n")
    with pytest.raises(HarnessError, match=r"src/benchmark/model\.py, line 2") as caught:
        predict(root, "import benchmark.model")
    assert caught.value.fix


def test_names_with_accents_and_other_encodings_are_read(root: Path) -> None:
    put(root, "src/benchmark/modèle.py", "règle = 'é'\n")
    before = predict(root, "from benchmark.modèle import règle")
    (root / "src/benchmark/modèle.py").write_bytes(
        "# -*- coding: latin-1 -*-\nrègle = 'é'\n".encode("latin-1")
    )
    assert reachable_code(root) == before
