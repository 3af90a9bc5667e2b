"""What the harness adds to a datapoint, beside xetrack's own Tracker.track with its cache on.

Both run a predict that does nothing, in this process, in turn, several rounds; the median of the
rounds' ratios is printed, on the clock and of CPU seconds of all threads: what one core would need,
whatever else a machine does. The harness's time is the whole of harness.run.loop.run: keys, cache,
execution, recording, and bringing the database to rest. A second figure adds scoring and metrics.

    python benchmarks/bench_datapoint.py --quick     both side by side
    python benchmarks/bench_datapoint.py --growth    a datapoint of a million beside one of ten
                                                     thousand, memory, how a run finds its place
"""

import argparse
import contextlib
import dataclasses
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

HARNESS = next(Path(__file__).resolve().parents[1].glob("{{*}}/src"))

FILES = {
    "params.py": """
from dataclasses import dataclass

@dataclass(frozen=True, slots=True)
class Params:
    model: str
    threshold: float = 0.5

GRID = [Params("m")]
""",
    "dataset.py": """
import os

def load():
    count = int(os.environ["BENCH_ITEMS"])
    return ({"id": index, "text": "a few words", "label": index % 2} for index in range(count))
""",
    "predict.py": """
def predict(item, params):
    return {"prediction": 1, "ground_truth": item["label"]}
""",
    "metrics.py": """
def score(row):
    return {"correct": row["prediction"] == row["ground_truth"]}
""",
}


CLOCKS = ("CPU", "on the clock")


def now() -> npt.NDArray[np.float64]:
    """CPU seconds of all threads, and seconds on the clock."""
    return np.array([time.process_time(), time.perf_counter()])


def write_project(root: Path) -> None:
    package = root / "src/benchmark"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for name, text in FILES.items():
        (package / name).write_text(text)
    (root / "benchmark.toml").write_text('[run]\nexecutor = "serial"\n[store]\ndvc = false\n')


@dataclasses.dataclass(frozen=True)
class Params:
    model: str
    threshold: float = 0.5


@dataclasses.dataclass(frozen=True)
class Item:
    """Hashable, because Tracker.track caches nothing else."""

    id: int
    text: str
    label: int


def predict(item: Item, params: Params) -> dict[str, object]:
    return {"prediction": 1, "ground_truth": item.label}


def seconds_tracker(folder: Path, count: int) -> list[npt.NDArray[np.float64]]:
    """Seconds a datapoint, as `now` counts them: new, cached."""
    from xetrack import Tracker

    tracker = Tracker(str(folder / "x.db"), cache=str(folder / "x-cache"), table="predictions")
    items = [Item(index, "a few words", index % 2) for index in range(count)]
    params = Params("m")
    times = []
    for _ in range(2):
        start = now()
        for item in items:
            tracker.track(predict, args=[item, params])
        times.append(now() - start)
    return [each / count for each in times]


def seconds_harness(folder: Path, count: int) -> list[npt.NDArray[np.float64]]:
    """Seconds a datapoint: new, known, to see that it is done, scores and metrics."""
    from harness.measure.aggregate import fill_metrics
    from harness.measure.score import score_rows
    from harness.project.contract import Project
    from harness.run.loop import run
    from harness.run.prepared import prepare

    os.environ["BENCH_ITEMS"] = str(count)
    project = Project.open(folder)
    times = []
    for tag in ("e0.0.1", "e0.0.2", "e0.0.2"):
        start = now()
        ready = prepare(project, None)
        report = run(project, tag, ready.grid, ready.census, {})
        times.append(now() - start)
        assert report.counts.total == (0 if len(times) == 3 else count), report
    start = now()
    score_rows(report.place, "e0.0.2", project.score)
    fill_metrics(project, ready.grid, report.place, "e0.0.2", report.track_id)
    times.append(now() - start)
    return [each / count for each in times]


def alone(count: int) -> tuple[float, npt.NDArray[np.float64]]:
    """Peak memory in MB of a fresh process that runs `count` items, and its `seconds_harness`."""
    command = [sys.executable, __file__, "--alone", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, times = json.loads(done.stdout)
    return memory, np.array(times)


def print_alone(count: int) -> None:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        write_project(Path(name))
        sys.path.insert(0, str(Path(name) / "src"))
        with contextlib.redirect_stderr(io.StringIO()):
            times = [each.tolist() for each in seconds_harness(Path(name), count)]
    print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, times]))


def print_growth() -> None:
    (small, one), (large, other) = alone(10_000), alone(1_000_000)
    print(f"peak memory: 10,000 {small:.0f} MB, 1,000,000 {large:.0f} MB")
    for step, name in enumerate(("new", "known", "done already", "scored")):
        for index, clock in enumerate(CLOCKS):
            before, after = one[step, index] * 1e6, other[step, index] * 1e6
            print(
                f"{name:12} {clock:12}: 10,000 {before:6.1f} us, 1,000,000 {after:6.1f} us, "
                f"factor {after / before:.2f}"
            )
    print(f"half a million that are done already: {other[2, 1] * 5e5:.1f} s on the clock")


def print_beside(clock: str, rows: npt.NDArray[np.float64]) -> None:
    """Print the medians of rounds by one clock, in microseconds, and the ratios of each round."""
    theirs, ours = rows[:, :2], rows[:, 2:4]
    ratios, typical = theirs / ours, np.median(rows, axis=0)
    for index, kind in enumerate(("new", "cached")):
        some = ratios[:, index]
        print(
            f"{kind:6} {clock:12}: Tracker.track {typical[index]:7.1f} us, harness "
            f"{typical[2 + index]:6.1f} us, ratio {np.median(some):5.1f} "
            f"({some.min():.1f} to {some.max():.1f})"
        )
    print(f"done before, which a run that goes on looks at, {clock}: {typical[4]:.1f} us")
    print(f"scoring and metrics, which Tracker.track has not, {clock}: {typical[5]:.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=3000, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="leave out a million items")
    parser.add_argument("--growth", action="store_true", help="only that")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    sys.path.insert(0, str(HARNESS))
    if chosen.alone:
        print_alone(chosen.alone)
        return
    if chosen.growth:
        print_growth()
        return
    rows = []
    for _ in range(chosen.rounds):
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            write_project(root)
            sys.path.insert(0, str(root / "src"))
            theirs, ours = seconds_tracker(root, chosen.items), seconds_harness(root, chosen.items)
            sys.path.remove(str(root / "src"))
            rows.append([*theirs, *ours])
    print(f"{chosen.rounds} rounds of {chosen.items} datapoints, predict does nothing, median")
    for index, clock in enumerate(CLOCKS):
        print_beside(clock, np.array(rows)[:, :, index] * 1e6)
    if not chosen.quick:
        print_growth()


if __name__ == "__main__":
    main()
