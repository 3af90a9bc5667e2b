"""An experiment as runs of MLflow, one a configuration; the package mlflow is an extra."""

from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from harness.errors import HarnessError
from harness.project.values import Row
from harness.read.results import Experiment, read_experiment
from harness.record.metrics_table import COUNTS

_LONGEST = 500  # characters of a param


def export_mlflow(
    con: DuckDBPyConnection, name: str, folder: Path, benchmark: str, root: Path
) -> Iterator[str]:
    """Write runs to the store that MLFLOW_TRACKING_URI names, else to a folder; yields what it did.

    Params are params, metrics metrics, their intervals tags; the reports that are here are
    artefacts. A run that is there already is written again, not twice. Raises HarnessError where
    the package is not installed.
    """
    try:
        import mlflow
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise HarnessError(
            "the package mlflow is not installed",
            fix="add mlflow to requirements-benchmark.in, then make lock and make setup",
        ) from None
    import os

    artefacts = None  # where the server keeps them
    if "MLFLOW_TRACKING_URI" not in os.environ:
        folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        artefacts = (folder / "mlruns").resolve().as_uri()
    client = MlflowClient()
    found = client.get_experiment_by_name(benchmark)
    place = (
        found.experiment_id
        if found
        else client.create_experiment(benchmark, artifact_location=artefacts)
    )
    experiment = read_experiment(con, name)
    reports = [root / f"results/{name}.md", root / f"results/reports/{name}.html"]
    run = experiment.runs[-1] if experiment.runs else {}
    for configuration in experiment.configurations:
        key = str(configuration.summary.get("params_key"))
        _delete_earlier(client, place, name, key)
        made = client.create_run(place, run_name=f"{name}: {configuration.label}"[:200])
        number = made.info.run_id
        for param, value in configuration.params.items():
            client.log_param(number, param, str(value)[:_LONGEST])
        for metric, value in _metrics(configuration.summary, experiment.metrics).items():
            client.log_metric(number, metric, value)
        tags = {
            "experiment_version": name, "params_key": key,
            "mlflow.source.git.commit": str(run.get("commit_hash") or ""),
            "data_version": experiment.data_version,
            **_intervals(configuration.summary, experiment),
        }  # fmt: skip
        for tag, value in tags.items():
            client.set_tag(number, tag, value)
        for report in filter(Path.is_file, reports):
            client.log_artifact(number, str(report))
        client.set_terminated(number)
        yield f"wrote the run {number} of {configuration.label}"


def _delete_earlier(client: Any, place: str, name: str, key: str) -> None:
    query = f"tags.experiment_version = '{name}' and tags.params_key = '{key}'"
    for run in client.search_runs([place], query):
        client.delete_run(run.info.run_id)


def _metrics(summary: Row, names: list[str]) -> dict[str, float]:
    wanted = (*names, *COUNTS, "cost", "latency_p50", "latency_p95")
    values = {name: summary.get(name) for name in wanted}
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and isfinite(value)
    }


def _intervals(summary: Row, experiment: Experiment) -> dict[str, str]:
    found = {}
    for name in experiment.metrics:
        low, high = summary.get(f"{name}_low"), summary.get(f"{name}_high")
        if low is not None and high is not None:
            found[f"{name}.interval{100 * experiment.confidence:g}"] = f"[{low:.6g}, {high:.6g}]"
    return found
