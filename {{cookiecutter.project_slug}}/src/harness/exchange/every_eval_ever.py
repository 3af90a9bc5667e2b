"""An experiment in the schema of Every Eval Ever 0.3.0: a file a configuration, and its samples.

FOLDER/DEVELOPER/MODEL/ID.json has the metrics with their intervals, ID_samples.jsonl each answer.
What the schema asks and nobody told us is "unknown" there.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from duckdb import DuckDBPyConnection

from harness.project.declarations import Rule
from harness.project.values import Row
from harness.read.results import Experiment, read_experiment, rows_of, where
from harness.record.columns import quoted

VERSION = "0.3.0"
_LIBRARY = "bench-template"
_MANY = 2000


def export_every_eval_ever(
    con: DuckDBPyConnection, name: str, folder: Path, benchmark: str, organization: str
) -> Iterator[Path]:
    """Write the files of an experiment; yields their paths.

    Raises HarnessError where there is no such experiment.
    """
    experiment = read_experiment(con, name)
    run = experiment.runs[-1] if experiment.runs else {}
    when = str(int(datetime.fromisoformat(str(run["started"])).timestamp())) if run else "0"
    for index, configuration in enumerate(experiment.configurations):
        model = str(configuration.params.get("model") or benchmark)
        maker, _, alone = model.rpartition("/")
        place = folder / _name(benchmark) / _name(maker or "unknown") / _name(alone)
        place.mkdir(parents=True, exist_ok=True)
        # The same experiment has the same names, so that a second export replaces the first.
        stem = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{benchmark} {name} {configuration.params}"))
        evaluation = f"{benchmark}/{_name(model)}/{when}-{name}-{index}"
        samples = place / f"{stem}_samples.jsonl"
        count, digest = _write_samples(con, experiment, index, samples, evaluation, model)
        whole = {
            "schema_version": VERSION,
            "evaluation_id": evaluation,
            "evaluation_timestamp": when,
            "retrieved_timestamp": when,
            "source_metadata": {
                "source_name": benchmark,
                "source_type": "evaluation_run",
                "source_organization_name": organization,
                "evaluator_relationship": "other",
                "additional_details": {"experiment": name, "commit": str(run.get("commit_hash"))},
            },
            "eval_library": _library(run),
            "model_info": {
                "name": model,
                "id": model if maker else f"unknown/{model}",
                "additional_details": {
                    "deployment_type": "unknown",
                    "model_availability": "unknown",
                },
            },
            "evaluation_results": [
                each
                for metric in experiment.metrics
                if (each := _result(experiment, index, metric, benchmark)) is not None
            ],
            "detailed_evaluation_results": {
                "format": "jsonl",
                "file_path": samples.relative_to(folder).as_posix(),
                "hash_algorithm": "sha256",
                "checksum": digest,
                "total_rows": count,
            },
        }
        path = place / f"{stem}.json"
        path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        yield path
        yield samples


def _library(run: Row) -> Row:
    if imported := run.get("imported"):
        about = json.loads(str(imported))
        return {"name": about["tool"], "version": about["version"] or "unknown"}
    return {"name": _LIBRARY, "version": str(run.get("harness_version") or "unknown")}


def _result(experiment: Experiment, index: int, metric: str, benchmark: str) -> Row | None:
    """One metric; None where it has no value, or says not which way is better."""
    summary = experiment.configurations[index].summary
    rule = experiment.rule(metric)
    if summary.get(metric) is None or not rule.ranks:
        return None
    low, high = summary.get(f"{metric}_low"), summary.get(f"{metric}_high")
    uncertainty: Row = {"num_samples": summary.get("n")}
    if low is not None and high is not None:
        uncertainty["confidence_interval"] = {
            "lower": low,
            "upper": high,
            "confidence_level": 0.95,
        }
    params = experiment.configurations[index].params
    return {
        "evaluation_result_id": f"{benchmark}.{metric}",
        "evaluation_name": f"{benchmark}.{metric}",
        "source_data": {
            "dataset_name": benchmark,
            "source_type": "other",
            "additional_details": {"data_version": experiment.data_version},
        },
        "metric_config": _metric(rule),
        "score_details": {"score": summary[metric], "uncertainty": uncertainty},
        "generation_config": {
            "additional_details": {key: str(value) for key, value in params.items()}
        },
    }


def _metric(rule: Rule) -> Row:
    return {
        "metric_id": rule.name,
        "metric_name": rule.called,
        "metric_kind": rule.kind,
        "lower_is_better": rule.lower,
        "score_type": "continuous",
        "min_score": "-Infinity" if rule.low is None else rule.low,
        "max_score": "Infinity" if rule.high is None else rule.high,
    }


def _write_samples(
    con: DuckDBPyConnection,
    experiment: Experiment,
    index: int,
    path: Path,
    evaluation: str,
    model: str,
) -> tuple[int, str]:
    """Write a line an answer; returns how many, and the SHA-256 of the file."""
    score = next((each for each in experiment.scores if experiment.rule(each).ranks), None)
    count, digest = 0, hashlib.sha256()
    with path.open("wb") as file:
        for row in _rows(con, experiment, index, score):
            line = json.dumps(
                _sample(row, experiment, score, evaluation, model), ensure_ascii=False
            )
            data = line.encode("utf-8", "replace") + b"\n"
            file.write(data)
            digest.update(data)
            count += 1
    return count, digest.hexdigest()


def _rows(
    con: DuckDBPyConnection, experiment: Experiment, index: int, score: str | None
) -> Iterator[Row]:
    """The good rows of a configuration with what the schema has a place for, some at a time."""
    wanted = [
        "input_id", "repeat", "text", "prediction", "ground_truth", "latency", "prompt_tokens",
        "completion_tokens", "total_tokens", "reasoning_tokens", "cached_tokens",
    ]  # fmt: skip
    listed = [quoted(name) for name in (*wanted, score) if name and name in experiment.columns]
    condition, values = where(experiment, index)
    start = 0
    while True:
        rows = rows_of(
            con,
            f"SELECT {', '.join(listed)} FROM predictions WHERE experiment_version = ? "
            f"AND error IS NULL AND {condition} ORDER BY input_id, repeat "
            f"LIMIT {_MANY} OFFSET {start}",
            [experiment.name, *values],
        )
        yield from rows
        if len(rows) < _MANY:
            return
        start += _MANY


def _sample(
    row: Row, experiment: Experiment, score: str | None, evaluation: str, model: str
) -> Row:
    raw = str(row.get("text") or row["input_id"])
    reference = "" if row.get("ground_truth") is None else str(row["ground_truth"])
    answer = "" if row.get("prediction") is None else str(row["prediction"])
    value = row.get(score) if score else None
    rule = experiment.rule(score) if score else None
    correct = value is not None and rule is not None and value == rule.high and not rule.lower
    said: Row = {
        "schema_version": VERSION,
        "evaluation_id": evaluation,
        "model_id": model if "/" in model else f"unknown/{model}",
        "evaluation_name": f"{evaluation.partition('/')[0]}.{score or 'unscored'}",
        "sample_id": f"{row['input_id']}-{row['repeat']}",
        "sample_hash": hashlib.sha256((raw + reference).encode("utf-8", "replace")).hexdigest(),
        "interaction_type": "single_turn",
        "input": {"raw": raw, "reference": [reference]},
        "output": {"raw": [answer]},
        "answer_attribution": [
            {
                "turn_idx": 0,
                "source": "output.raw",
                "extracted_value": answer,
                "extraction_method": "none",
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": float(value or 0.0), "is_correct": bool(correct)},
    }
    counts = [row.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    if all(isinstance(each, int) for each in counts):
        names = ("input_tokens", "output_tokens", "total_tokens")
        said["token_usage"] = dict(zip(names, counts, strict=True))
    if isinstance(row.get("latency"), float):
        said["performance"] = {"latency_ms": row["latency"] * 1000}
    return said


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._") or "unknown"
