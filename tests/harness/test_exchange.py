"""Runs of other tools become experiments, and experiments are read by other tools."""

import hashlib
import importlib.util
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.importing import read_logs
from tests.harness.project_fixture import Bench

LOGS = Path(__file__).parent / "logs"


@pytest.fixture(scope="module")
def exchanged(make_module_bench: Callable[..., Bench]) -> Bench:
    """A repository with a log of inspect as e0.0.1."""
    bench = make_module_bench()
    for name in ("inspect.eval",):
        (bench.home / name).write_bytes((LOGS / name).read_bytes())
    bench.run("import", str(bench.home / "inspect.eval"), "--tag=e0.0.1")
    return bench


def test_a_log_of_inspect_is_an_experiment_that_says_where_it_comes_from(exchanged: Bench) -> None:
    rows = exchanged.sql("SELECT * FROM predictions WHERE experiment_version = 'e0.0.1'")
    assert len(rows) == 20
    assert {row["repeat"] for row in rows} == {0, 1}
    assert {row["params_model"] for row in rows} == {"mockllm/b"}
    wrong = {row["input_id"] for row in rows if not row["includes"]}
    assert {"q3", "q6", "q9"} <= wrong
    [run] = exchanged.sql("SELECT phase, imported FROM runs")
    assert run["phase"] == "import"
    about = json.loads(run["imported"])
    assert (about["tool"], about["version"]) == ("inspect", "0.3.285")
    assert "e0.0.1" in exchanged.git("tag")
    said = exchanged.run("summary", "e0.0.1").said
    assert "Imported: inspect 0.3.285 ran it (inspect.eval)" in said
    assert "includes" in said


def test_an_experiment_is_written_in_the_schema_of_every_eval_ever(exchanged: Bench) -> None:
    exchanged.run("export-for", "every-eval-ever", "e0.0.1", "--out=out")
    [whole] = [p for p in (exchanged.root / "out").rglob("*.json")]
    found = json.loads(whole.read_text())
    assert not list(_against(found, _schema("evaluation")))
    metrics = {each["metric_config"]["metric_id"]: each for each in found["evaluation_results"]}
    assert metrics["match"]["score_details"]["uncertainty"]["confidence_interval"]["upper"] <= 1
    [samples] = (exchanged.root / "out").rglob("*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == found["detailed_evaluation_results"]["total_rows"] == 20
    schema = _schema("instance")
    assert not [problem for line in lines for problem in _against(line, schema)]


def test_mlflow_has_each_configuration_once_with_intervals_and_the_report(
    exchanged: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is an extra")
    monkeypatch.chdir(exchanged.root)  # its own files go to the working folder by default
    for _ in range(2):
        exchanged.run("export-for", "mlflow", "e0.0.1", "--out=flow")
    assert not (exchanged.root / "mlruns").exists()
    client = mlflow.MlflowClient(f"sqlite:///{exchanged.root}/flow/mlflow.db")
    [place] = [each for each in client.search_experiments() if each.name != "Default"]
    [run] = client.search_runs([place.experiment_id])
    [recorded] = exchanged.sql("SELECT match FROM metrics WHERE experiment_version = 'e0.0.1'")
    assert run.data.metrics["match"] == pytest.approx(recorded["match"])
    assert run.data.tags["match.interval95"].startswith("[")
    assert "e0.0.1.md" in {each.path for each in client.list_artifacts(run.info.run_id)}


def test_mlflow_is_an_extra_that_is_asked_for(exchanged: Bench) -> None:
    if importlib.util.find_spec("mlflow") is not None:
        pytest.skip("mlflow is installed")
    said = exchanged.run("export-for", "mlflow", "e0.0.1", expect=2).said
    assert "the package mlflow is not installed" in said
    assert "requirements-benchmark.in" in said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.eval", b"PK\x03\x04", "it is no whole .eval file"),
        ("new.json", b'{"version": 9, "eval": {"task": "t"}}', "of version 9, and 1 and 2"),
        ("started.json", b'{"version": 2, "status": "started", "eval": {"task": "t"}}', "started"),
        ("cut.json", b'{"version": 2, "eval": {"task"', "no whole JSON"),
        ("p.json", b'{"evalId": "e", "results": {"version": 7, "results": []}}', "version 7"),
        ("o.jsonl", b'{"spec": {"eval_name": "t"}}\n{"sample_id": "a"}\n', "no final_report"),
        ("x.csv", b"a,b\n", "no tool that is known writes such a file"),
    ],
)
def test_a_log_that_is_cut_or_unknown_is_one_sentence_and_records_nothing(
    exchanged: Bench, name: str, content: bytes, words: str
) -> None:
    (exchanged.home / name).write_bytes(content)
    done = exchanged.run("import", str(exchanged.home / name), "--tag=e0.0.9", expect=1)
    assert words in done.said
    assert "Traceback" not in done.said
    assert "e0.0.9" not in exchanged.git("tag")


@pytest.mark.parametrize("values", ["PCI", "CPI", "ICP", "NCP"])
def test_grades_of_inspect_mean_the_same_whichever_comes_first(tmp_path: Path, values: str) -> None:
    samples = [
        {"id": n, "epoch": 1, "input": "x", "target": "y", "output": {},
         "scores": {"match": {"value": value}}}
        for n, value in enumerate([None, *values])
    ]  # fmt: skip
    log = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}}
    (tmp_path / "log.json").write_text(json.dumps(log | {"samples": samples}))
    declared = read_logs([tmp_path / "log.json"]).scores["match"]
    assert (declared.kind, declared.better, declared.low, declared.high) == ("mean", "higher", 0, 1)


def test_what_a_score_is_does_not_hang_on_which_log_comes_first(tmp_path: Path) -> None:
    for name, grades in (("a", "CI"), ("b", "CP")):
        samples = [
            {"id": n, "output": {}, "scores": {"match": {"value": value}}}
            for n, value in enumerate(grades)
        ]
        about = {"version": 2, "status": "success", "eval": {"task": "t", "model": name}}
        (tmp_path / f"{name}.json").write_text(json.dumps(about | {"samples": samples}))
    for names in ("ab", "ba"):
        declared = read_logs([tmp_path / f"{name}.json" for name in names]).scores["match"]
        assert (declared.kind, declared.low, declared.high) == ("mean", 0, 1)


def _inspect(sample: str = "", task: str = "") -> str:
    """A log of one sample, with text of a stranger in it."""
    return (
        f'{{"version": 2, "eval": {{"task": "t", "model": "m", "task_args": {{{task}}}}}, '
        f'"samples": [{{"id": 1, "output": {{}} {sample}}}]}}'
    )


def _packed(path: Path, text: bytes) -> bytearray:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("header.json", b'{"version": 2, "eval": {"task": "t", "model": "m"}}')
        file.writestr("samples/../../1.json", text)
    return bytearray(path.read_bytes())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_inspect(f', "scores": {"[" * 99_999}'), "not as its tool writes it (RecursionError"),
        (_inspect(f', "output": {{"time": 1{"0" * 400}}}'), "OverflowError"),
        (_inspect(', "epoch": 1e999'), "OverflowError"),
        (_inspect(', "epoch": -5'), "epoch -5"),
        (_inspect(', "epoch": 1000000000'), "1 samples come to 1,000,000,000 tasks"),
        (_inspect(task=", ".join(f'"p{n}": 0' for n in range(600))), "602 params and scores"),
    ],
)
def test_a_log_that_asks_for_too_much_is_one_sentence(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(HarnessError, match=re.escape(words)):
        read_logs([tmp_path / "log.json"])


def test_a_zip_that_is_a_bomb_or_damaged_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    _packed(path, b"[" * 200_000_000)
    with pytest.raises(HarnessError, match="would unpack to 200,0"):
        read_logs([path])
    whole = _packed(path, b'{"id": 1}')
    for name, at, value in (("encrypted", 6, 1), ("compression", 8, 99), ("CRC", 14, 7)):
        damaged = whole.copy()
        for mark, more in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
            damaged[damaged.find(mark) + at + more] = value
        path.write_bytes(damaged)
        with pytest.raises(HarnessError, match=name):
            read_logs([path])
    path.write_bytes(whole)
    assert len(read_logs([path]).samples) == 1  # no name in it becomes a path


@pytest.mark.slow
def test_what_a_log_calls_things_stays_text(bench: Bench, tmp_path: Path) -> None:
    names = ("error", "latency", "task_key", "n", "params_a", 'a"); DROP TABLE runs;--')
    params = ("class", "repeat", "self", "fold", "input_id", "experiment_version", "__init__", "'")
    odd = "\ud800\x00\x1b]52;c;eA==\x07</script><b>"
    log = {
        "version": 2,
        "eval": {"task": odd, "model": odd, "task_args": dict.fromkeys(params, odd)},
        "samples": [
            {"id": odd, "output": {"completion": odd}, "target": odd,
             "scores": {name: {"value": 1} for name in names}}
        ],
    }  # fmt: skip
    (tmp_path / "log.json").write_text(json.dumps(log))
    bench.run("import", str(tmp_path / "log.json"), "--tag=e0.0.1")
    [row] = bench.sql("SELECT * FROM predictions")
    assert row["error"] is None
    assert row["params_x_class"]
    assert row["score_latency"] == row["score_n"] == row["a_drop_table_runs"] == 1, row
    for command in (["summary", "e0.0.1"], ["report", "e0.0.1"]):
        done = bench.run(*command, expect=None)
        assert done.code in (0, 1)
        assert "Traceback" not in done.said
        assert "\x1b]" not in done.said


def test_answers_of_a_multiple_choice_are_choices_and_not_likelihoods() -> None:
    [path] = (LOGS / "lm_eval").glob("samples_choice_*.jsonl")
    log = read_logs([path])
    assert log.version == "0.4.13"
    assert {sample.row["ground_truth"] for sample in log.samples} == {"odd"}
    for sample in log.samples:
        assert (sample.row["prediction"] == "odd") == (sample.scores["acc"] == 1)
        assert sample.params[-1] == ("num_fewshot", 1)


def test_filters_of_lm_eval_are_configurations() -> None:
    [path] = (LOGS / "lm_eval").glob("samples_sums_*.jsonl")
    log = read_logs([path])
    assert {sample.params[-1] for sample in log.samples} == {
        ("filter", "strict"), ("filter", "first-number")
    }  # fmt: skip
    assert len(log.samples) == 12
    assert log.scores["exact_match"].better == "higher"


def test_providers_of_promptfoo_with_one_model_are_two_configurations() -> None:
    """A label is all that tells them apart; tests with the same variables ask different things."""
    log = read_logs([LOGS / "promptfoo.json"])
    labels = {dict(sample.params).get("label") for sample in log.samples}
    assert labels == {None, "cold", "hot"}
    assert {sample.repeat for sample in log.samples} == {0, 1}
    assert len({sample.input_id for sample in log.samples}) == 3
    # promptfoo writes a cost of 0 where a provider told none.
    costs = {dict(sample.params)["model"]: sample.row["cost"] for sample in log.samples}
    assert costs == {"echo": 0, "exec:python3 say.py": None}


def test_providers_of_promptfoo_without_a_label_are_told_apart_by_their_column(
    tmp_path: Path,
) -> None:
    whole = json.loads((LOGS / "promptfoo.json").read_text())
    for result in whole["results"]["results"]:
        result["provider"]["label"] = ""
    (tmp_path / "results.json").write_text(json.dumps(whole))
    log = read_logs([tmp_path / "results.json"])
    assert len({sample.params for sample in log.samples}) == 3
    assert {sample.repeat for sample in log.samples} == {0, 1}


def _lm_eval() -> list[Path]:
    return sorted((LOGS / "lm_eval").glob("samples_*.jsonl"))


def _promptfoo() -> list[Path]:
    return [LOGS / "promptfoo.json"]


def _openai_evals() -> list[Path]:
    return [LOGS / "openai_evals.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "score", "rows"),
    [(_lm_eval, "acc", 18), (_promptfoo, "success", 18), (_openai_evals, "match", 4)],
)
def test_logs_of_other_tools_are_experiments_too(
    bench: Bench, write: Callable[[], list[Path]], score: str, rows: int
) -> None:
    bench.run("import", *map(str, write()), "--tag=e0.0.1")
    found = bench.sql("SELECT * FROM predictions")
    assert len(found) == rows
    good = [row for row in found if row["error"] is None and row[score] is not None]
    assert {row[score] for row in good} == {0, 1}
    if write is _promptfoo:
        failed = {row["input_id"] for row in found if row["error"]}
        assert len(failed) == 1
        assert all(row["latency"] for row in good)
        said = bench.run("compare", "e0.0.1", expect=None).said
        assert "success" in said
    assert bench.run("validate", expect=None).code in (0, 1)


@pytest.mark.slow
def test_files_of_the_same_name_are_told_apart(bench: Bench, tmp_path: Path) -> None:
    [log] = _openai_evals()
    one, two = (tmp_path / name / "log.jsonl" for name in ("adder", "other"))
    for path in (one, two):
        path.parent.mkdir()
        path.write_text(log.read_text().replace("adder", path.parent.name))
    bench.run("import", str(one), str(two), "--tag=e0.0.1")
    [run] = bench.sql("SELECT imported FROM runs")
    files = json.loads(run["imported"])["files"]
    assert sorted(files) == ["adder/log.jsonl", "other/log.jsonl"]
    assert files["adder/log.jsonl"] == hashlib.sha256(one.read_bytes()).hexdigest()


def _schema(part: str) -> Any:
    """The names and types that version 0.3.0 of Every Eval Ever asks for."""
    return json.loads((LOGS / "every_eval_ever.json").read_text())[part]


def _against(value: Any, schema: Any, root: Any = None, at: str = "") -> list[str]:
    """What of a JSON schema does not hold; its rules with `if` are not read."""
    root = root or schema
    if "$ref" in schema:
        return _against(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, at)
    if "oneOf" in schema:
        tried = [_against(value, each, root, at) for each in schema["oneOf"]]
        return [] if sum(not each for each in tried) == 1 else [f"{at}: none or several of oneOf"]
    kinds = {
        "object": dict, "array": list, "string": str, "number": (int, float), "integer": int,
        "boolean": bool, "null": type(None),
    }  # fmt: skip
    wanted = schema.get("type")
    if wanted:
        allowed = wanted if isinstance(wanted, list) else [wanted]
        if not any(isinstance(value, kinds[each]) for each in allowed):  # type: ignore[arg-type]
            return [f"{at}: {value!r} is no {wanted}"]
    problems = []
    if "enum" in schema and value not in schema["enum"]:
        problems.append(f"{at}: {value!r}")
    if "const" in schema and value != schema["const"]:
        problems.append(f"{at}: {value!r}")
    if isinstance(value, dict):
        named = schema.get("properties", {})
        problems += [f"{at}: no {name}" for name in schema.get("required", ()) if name not in value]
        more = schema.get("additionalProperties", True)
        for name, each in value.items():
            if name in named:
                problems += _against(each, named[name], root, f"{at}.{name}")
            elif more is False:
                problems.append(f"{at}: {name} is not in the schema")
            elif isinstance(more, dict):
                problems += _against(each, more, root, f"{at}.{name}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for number, each in enumerate(value):
            problems += _against(each, schema["items"], root, f"{at}[{number}]")
    return problems
