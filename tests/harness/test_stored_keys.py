"""The keys of fixed projects, one for each kind, as they were when their results were stored.

Where a test here fails, results that people paid for are not found any more, or are found for
something else. If that is meant, raise KEY_VERSION in harness.project.keys, write down the new keys
and say it in both changelogs; if not, the change that made it fail is wrong.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.project.keys import KEY_VERSION
from tests.harness.project_fixture import Bench

KEYS = """
import json
from harness.project.contract import Project
from harness.project.tasks import tasks
from harness.run.prepared import prepare
project = Project.open()
ready = prepare(project, None)
print(json.dumps([each.key[:16] for each in tasks(project, ready.grid, ready.census, None)]))
"""


def minimal(bench: Bench) -> None:
    """Params and items of every type, a helper module, and all that `[key]` declares."""
    bench.params(
        '[Params(1, 0.5, None, ("a", 2), Inner(True)), Params(2, 1e-9, "ü", (), Inner(False))]',
        "whole: int\nreal: float\ntext: str | None\nseveral: tuple\ninner: 'Inner'",
    )
    path = bench.root / "src/benchmark/params.py"
    inner = "@dataclass(frozen=True, slots=True)\nclass Inner:\n    flag: bool\n\n\n"
    first, head, rest = path.read_text("utf-8").partition("@dataclass")
    path.write_text(first + inner + head + rest, "utf-8")
    bench.file("data/a.txt", "the content of a file\n")
    bench.file("rates.toml", "one = 1\n")
    bench.file("src/benchmark/helper.py", "# A comment is no part of it.\nFACTOR = 2\n")
    bench.dataset(
        "yield {'id': 1, 'x': 0.25, 'text': 'Größe', 'deep': [{'none': None, 'yes': True}]}\n"
        "yield {'id': 'two', 'x': 2**70, 'file': Path('data/a.txt')}"
    )
    bench.predict(
        'return {"prediction": item["x"] * FACTOR}', "from benchmark.helper import FACTOR"
    )
    bench.settings(
        run={"repeats": 2},
        key={"files": ["rates.toml"], "variables": ["RATE"], "packages": ["tiny-package"]},
    )


def sklearn(bench: Bench) -> None:
    """A model that is fitted on folds, and one module a family."""
    bench.params('[Params("mean"), Params("zero")]', "family: str")
    with (bench.root / "src/benchmark/params.py").open("a") as file:
        file.write('\n\ndef modules(params):\n    return [f"benchmark.families.{params.family}"]\n')
    bench.file("src/benchmark/families/__init__.py", "")
    for name, value in (("mean", "sum(given) / len(given)"), ("zero", "0")):
        text = f"def fitted(given):\n    return {value}\n"
        bench.file(f"src/benchmark/families/{name}.py", text)
    bench.dataset("return [{'id': n, 'x': n, 'fold': n % 2} for n in range(2)]")
    bench.file(
        "src/benchmark/predict.py",
        "from importlib import import_module\n\nfrom benchmark.dataset import load as items\n\n\n"
        "def fit(params, fold):\n"
        '    family = import_module(f"benchmark.families.{params.family}")\n'
        '    return family.fitted([i["x"] for i in items() if i["fold"] != fold])\n\n\n'
        'def predict(item, params, resource):\n    return {"prediction": resource}\n',
    )


def llm(bench: Bench) -> None:
    """A prompt that a configuration reads, and a client."""
    bench.params('[Params("short"), Params("long", 0.5)]', "prompt: str\ntemperature: float = 0.0")
    with (bench.root / "src/benchmark/params.py").open("a") as file:
        file.write(
            "\n\ndef files(params):\n    from pathlib import Path\n"
            '    return [Path("prompts", f"{params.prompt}.txt")]\n'
        )
    bench.file("prompts/short.txt", "Is it good? {text}\n")
    bench.file("prompts/long.txt", "Read this with care. Is it good? {text}\n")
    bench.dataset("return [{'id': 'r1', 'text': 'fine'}, {'id': 'r2', 'text': 'no [INST]'}]")
    bench.file(
        "src/benchmark/predict.py",
        "from harness import TransientError\n\n\ndef load(params):\n    return TransientError\n\n\n"
        'def predict(item, params, client):\n    return {"prediction": item["text"]}\n',
    )


def throughput(bench: Bench) -> None:
    """Phases of load; each request is a datapoint."""
    bench.params(
        "[Params(2, rate=10.0), Params(2, mode='closed', users=1)]",
        "requests: int\nmode: str = 'open'\nrate: float = 0.0\narrival: str = 'poisson'\n"
        "users: int = 0\nconnections: int = 100\nwarmup_seconds: float = 0.0\nseed: int = 0",
    )
    bench.dataset("return [{'id': n, 'pixels': [n]} for n in range(2)]")
    bench.file(
        "src/benchmark/predict.py",
        "from harness.load import Request, open_target\n\n\n"
        'def load(params):\n    return open_target("benchmark.server:app")\n\n\n'
        'def request(item, params):\n    return Request(body=str(item["pixels"]))\n\n\n'
        'def answer(item, params, response):\n    return {"prediction": response.status}\n\n\n'
        "def predict(item, params, target):\n"
        "    return answer(item, params, target.send(request(item, params)))\n",
    )
    bench.settings(
        run={"executor": "load", "cache": False}, throughput={"url": "http://127.0.0.1:9"},
        benchmark={"kind": "throughput"},
    )  # fmt: skip


# The syntax tree of the same text is another one in Python 3.12; a key holds both versions anyway.
STORED: dict[tuple[int, int], dict[str, list[str]]] = {
    (3, 11): {
        "minimal": [
            "74e445cf7cfde1f4",
            "ec859c4bc6d70b7f",
            "df8ffd73339f2684",
            "1a0caece5bb4e2cb",
            "fc9202f27b0a8469",
            "9b123c5ea8b3a737",
            "28cbd78ba84aa7fc",
            "1cc8491265c808d3",
        ],
        "sklearn": ["5531f4490217d2bc", "b41abcc677c56181", "57b61af398157d9b", "b5d86a6a55f8bfd5"],
        "llm": ["5d9a26d68f5dbe9e", "2a04da5ccd18cff9", "67448ef1125c7908", "39a3590ab61bc68f"],
        "throughput": [
            "297268267f5fff54",
            "2f16a27c2161ad84",
            "edb576b354407f31",
            "376027e4e251f537",
        ],
    },
    (3, 12): {
        "minimal": [
            "663ad1856ab063a4",
            "733651ffd3f87acb",
            "551d5a18ce6e9fa8",
            "971dc0f9854e9abb",
            "a707d8d5d2704b80",
            "b611f6388006f2bf",
            "ad3e946806106d3c",
            "bd0c1ccecdde29f7",
        ],
        "sklearn": ["977033855841a1c8", "58575a6fa28cac88", "0d43b82d97ac513e", "04c8f2b1c88dbb70"],
        "llm": ["91b8412e2cd4cc50", "1dbd3920ca749b24", "2ebdcc7643118269", "e211d99523bc1cdb"],
        "throughput": [
            "27254d49842e7f9e",
            "604a9a5f875eb646",
            "37cbb6a98529de1f",
            "8207d1062453a475",
        ],
    },
}


@pytest.mark.parametrize("kind", [minimal, sklearn, llm, throughput])
def test_the_keys_of_stored_results_are_what_they_were(
    make_bench: Callable[..., Bench], kind: Callable[[Bench], None], tmp_path: Path
) -> None:
    site = tmp_path / "site/tiny_package-1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-package\nVersion: 1.0\n")
    bench = make_bench(fresh=True)
    known = bench.environment

    def environment(**more: str) -> dict[str, str]:
        found = known(**more)
        path = os.pathsep.join([found["PYTHONPATH"], str(site.parent)])
        return found | {"PYTHONPATH": path, "RATE": "100"}

    bench.environment = environment  # type: ignore[method-assign]
    kind(bench)
    keys = json.loads(bench.python(KEYS))
    assert keys == STORED[sys.version_info[:2]][kind.__name__], __doc__


def test_the_keys_stand_for_one_key_version() -> None:
    """Raise it together with the keys above."""
    assert KEY_VERSION == "2"
