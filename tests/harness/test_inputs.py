"""What predict reads and no key holds is seen while it runs, and named with the line to add."""

import pytest

from tests.harness.project_fixture import OPENED, Bench

EXECUTORS = ("serial", "threads", "processes")
READS = {
    "a file": ('json.load(open("rules.json"))["t"]', "file rules.json", "files"),
    "a Path": (
        'json.loads(pathlib.Path("rules.json").read_text())["t"]',
        "file rules.json",
        "files",
    ),
    "pandas": (
        'int(pandas.read_json("rules.json", typ="series")["t"])',
        "file rules.json",
        "files",
    ),
    "os.open": (
        'json.loads(os.read(os.open("rules.json", os.O_RDONLY), 99))["t"]',
        "file rules.json",
        "files",
    ),
    "SQLite": (
        'sqlite3.connect("rules.db").execute("SELECT 1").fetchone()[0]',
        "file rules.db",
        "files",
    ),
    "environ": ('os.environ["RULE"]', "variable RULE", "variables"),
    "getenv": ('os.getenv("RULE", "1")', "variable RULE", "variables"),
    "absent": ('os.environ.get("RULE_B")', "variable RULE_B", "variables"),
}
HEAD = "import json\nimport os\nimport pathlib\nimport sqlite3\n\nimport pandas\n"


def reading(bench: Bench, expression: str, head: str = HEAD) -> None:
    bench.file("rules.json", '{"t": 1}')
    bench.file("rules.db", b"")
    bench.params('[Params("only")]')
    bench.predict(f'return {{"prediction": {expression}, "ground_truth": 1}}', head=head)


@pytest.mark.parametrize("how", READS)
def test_what_no_key_holds_is_named_with_the_line_to_add(bench: Bench, how: str) -> None:
    expression, name, section = READS[how]
    reading(bench, expression)
    said = bench.run("dev-run", "--items=2", RULE="1").said
    assert f"predict reads the {name}, which no key holds" in said
    assert f'add "{name.split()[1]}" to [key] {section}' in said
    ready = bench.run("ready", expect=1, RULE="1").said
    assert f"inputs: predict reads {name}, which no key holds" in ready


@pytest.mark.parametrize("executor", EXECUTORS)
def test_every_executor_sees_it_and_an_experiment_is_not_tagged(
    bench: Bench, executor: str
) -> None:
    reading(bench, READS["a file"][0])
    bench.settings(run={"executor": executor, "workers": 2})
    bench.commit()
    done = bench.experiment("e0.0.1", allow=f"{OPENED},tests", expect=1)
    assert "e0.0.1 is not tagged: predict read file rules.json, which no key holds" in done.said
    assert not bench.git("tag")
    assert len(bench.rows()) == 4
    bench.experiment("e0.0.1", allow=f"{OPENED},inputs")
    assert '"inputs": "overridden"' in bench.sql("SELECT gates FROM runs")[-1]["gates"]


def test_what_the_key_holds_makes_a_miss_and_is_no_finding(bench: Bench) -> None:
    reading(bench, f"({READS['a file'][0]}, {READS['environ'][0]})[0]")
    bench.settings(
        key={"files": ["rules.json"], "variables": ["RULE"], "harmless": ["BENCH_TRACE"]}
    )
    assert "no key holds" not in bench.run("dev-run", RULE="1").said
    assert len(bench.executed()) == 4
    for change, environment in (("", "2"), ('{"t": 2}', "2")):
        if change:
            bench.file("rules.json", change)
        bench.forget()
        bench.run("dev-run", RULE=environment)
        assert len(bench.executed()) == 4
        bench.forget()
        bench.run("dev-run", RULE=environment)
        assert not bench.executed()
    # A variable may hold a secret, so its value is recorded nowhere.
    bench.run("dev-run", RULE="a-secret-value")
    assert b"a-secret-value" not in bench.dev_db.read_bytes()


def test_what_is_said_to_be_harmless_is_no_finding(bench: Bench) -> None:
    reading(bench, f"({READS['a file'][0]}, {READS['environ'][0]})[0]")
    bench.settings(key={"harmless": ["BENCH_TRACE", "rules.*", "RULE"]})
    assert "no key holds" not in bench.run("dev-run", RULE="1").said


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("T = json.load(open('rules.json'))['t']", "T"),
        ("T = os.environ['RULE']", "T"),
    ],
    ids=["file", "variable"],
)
def test_what_is_read_at_import_counts(bench: Bench, head: str, body: str) -> None:
    reading(bench, body, head=HEAD + head)
    said = bench.run("dev-run", RULE="1").said
    assert "which no key holds" in said


def test_what_load_and_fit_read_counts(bench: Bench) -> None:
    reading(bench, "resource")
    for function in ("load(params)", "fit(params, fold)"):
        head = f"{HEAD}\ndef {function}:\n    return {READS['a file'][0]}\n"
        bench.predict('return {"prediction": resource, "ground_truth": 1}', head, resource=True)
        assert "the file rules.json, which no key holds" in bench.dev_run().said


def test_a_thread_that_predict_starts_is_seen(bench: Bench) -> None:
    body = """
    found = []
    thread = threading.Thread(target=lambda: found.append(open("rules.json").read()))
    thread.start()
    thread.join()
    return {"prediction": found[0], "ground_truth": 1}
    """
    reading(bench, "1")
    bench.predict(body, head="import threading")
    assert "the file rules.json, which no key holds" in bench.dev_run().said


def test_what_keys_hold_already_is_no_finding(bench: Bench) -> None:
    """An item's file, a configuration's file, code, what is written, and files of nobody's."""
    bench.file("prompts/low.txt", "Say it.")
    bench.file("data/i0.txt", "one")
    bench.dataset('return [{"id": "i0", "deep": [{"page": Path("data/i0.txt")}], "label": "one"}]')
    bench.params(
        '[Params("low")]\n\n\ndef files(params):\n    return [f"prompts/{params.model}.txt"]'
    )
    bench.file("src/benchmark/table.py", "WORDS = 'one'\n")
    bench.predict(
        """
        prompt = Path(f"prompts/{params.model}.txt").read_text()
        page = item["deep"][0]["page"].read_text()
        Path("out.log").write_text(prompt)
        Path(benchmark.table.__file__).read_text()
        import xml.dom.minidom
        tempfile.TemporaryFile().close()
        return {"prediction": page, "ground_truth": "one"}
        """,
        head="import tempfile\nfrom pathlib import Path\n\nimport benchmark.table\n",
    )
    assert "no key holds" not in bench.dev_run().said


# -- a recheck


def test_a_spot_check_says_whether_reused_results_still_come_out(bench: Bench) -> None:
    reading(bench, READS["a file"][0])
    bench.experiment("e0.0.1", allow=f"{OPENED},inputs")
    same = bench.run("spot-check", "--items=3")
    assert "prediction: 3 of 3 as recorded" in same.said
    recorded = bench.rows()
    bench.file("rules.json", '{"t": 7}')
    bench.forget()
    other = bench.run("spot-check", "--items=3", expect=1)
    assert "prediction: 0 of 3 as recorded" in other.said
    assert "'1' was recorded, '7' now" in other.said
    assert sum(bench.executed().values()) == 3
    assert bench.rows() == recorded


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_spot_check_fits_anew(bench: Bench, executor: str) -> None:
    bench.items(6, fold="n % 2")
    bench.predict(
        'return {"prediction": resource, "ground_truth": 1}',
        head="def fit(params, fold):\n    note('fit', params.model, fold)\n    return 1\n",
        resource=True,
    )
    bench.settings(run={"executor": executor, "workers": 2})
    bench.experiment("e0.0.1")
    bench.forget()
    assert "prediction: 20 of 20" not in bench.run("spot-check").said
    assert sum(bench.executed().values()) == 12
    assert bench.executed("fit")


def test_a_spot_check_of_nothing_says_so(bench: Bench) -> None:
    assert "no datapoint of this code" in bench.run("spot-check", expect=2).said


MANY = """
import sys, threading, types
from pathlib import Path
from harness.project.contract import Project
from harness.project.inputs import noted

Project.open(Path.cwd())
sys.setswitchinterval(1e-6)
found, over = set(), threading.Event()


def predict():
    while not over.is_set():
        with noted() as read:
            pass
        found.update(read)


threads = [threading.Thread(target=predict) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(3000):
    name = f"library{number}"
    sys.modules[name] = types.ModuleType(name)
    sys.modules.pop(f"library{number - 3}", None)
over.set()
for thread in threads:
    thread.join()
print(sorted(found))
"""


def test_predictions_that_end_at_once_are_not_blamed_for_what_was_loaded_before(
    bench: Bench,
) -> None:
    assert bench.python(MANY).strip() == b"[]"
