"""How the cost of an experiment grows: with datapoints, configurations, large items and many files.

Each line is an experiment in a process of its own, under the executor serial, with a predict that
does nothing. CPU seconds are shown beside seconds: on a busy machine only they can be compared.

    python benchmarks/bench_scale.py                    what takes a few minutes
    python benchmarks/bench_scale.py --up-to 1000000    the long ones too
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench_datapoint import HARNESS, write_project

CONFIGURATIONS = (1, 40, 400)
LARGE = """
def load():
    return ({"id": n, "text": "x" * 2**20 + str(n), "label": 1} for n in range(ITEMS))
"""
FILES = """
from pathlib import Path

def load():
    folder = Path("data/many")
    return ({"id": n, "text": folder / f"{n % 100}/{n}.txt", "label": 1} for n in range(ITEMS))
"""
COMMAND = [sys.executable, "-m", "harness"]
ALLOW = ("--allow", "dev-run,tests,power,clean")


def project(folder: Path, items: int, configurations: int, kind: str = "") -> dict[str, str]:
    """A repository with its own commit; returns the environment of its commands."""
    write_project(folder)
    package = folder / "src/benchmark"
    params = package / "params.py"
    grid = f'[Params(f"m{{n}}") for n in range({configurations})]'
    params.write_text(params.read_text().replace('[Params("m")]', grid))
    metrics = (
        "from harness import Score\n\nSCORES = {'correct': Score('proportion', better='higher')}\n"
    )
    (package / "metrics.py").write_text(metrics + (package / "metrics.py").read_text())
    if kind:
        text = LARGE if kind == "large" else FILES
        (package / "dataset.py").write_text(text.replace("ITEMS", str(items)))
    if kind == "files":
        for n in range(items):
            path = folder / f"data/many/{n % 100}/{n}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(n))
    (folder / ".gitignore").write_text(
        ".cache*\n.dev/\n__pycache__/\nresults/.*\nresults/reports/\ndata/\n"
    )
    who = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for command in (["init", "-q", "-b", "scale"], ["add", "-A"], [*who, "commit", "-qm", "scale"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    python_path = os.pathsep.join([str(HARNESS), str(folder / "src")])
    return {**os.environ, "PYTHONPATH": python_path, "BENCH_ITEMS": str(items)}


def measured(folder: Path, environment: dict[str, str], *command: str) -> dict[str, float]:
    """Seconds, CPU seconds and peak memory (MB) of a command, all of its processes together."""
    # In a process of its own, so that no other command's memory is the peak of this one.
    probe = (
        "import json, resource, subprocess, sys, time\n"
        "begun = time.perf_counter()\n"
        "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)\n"
        "took = time.perf_counter() - begun\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "found = {'s': took, 'cpu': used.ru_utime + used.ru_stime, 'mb': used.ru_maxrss / 1024}\n"
        "print(json.dumps([done.returncode, found, done.stderr.decode()[-500:]]))\n"
    )
    ran = [sys.executable, "-c", probe, *command]
    done = subprocess.run(ran, cwd=folder, env=environment, capture_output=True, text=True)
    code, found, said = json.loads(done.stdout)
    if code and "ready" not in command:  # which ends with 1 where something is left to do
        raise SystemExit(f"{command} ended with {code}: {said}")
    return dict(found)


def experiment(items: int, configurations: int, kind: str = "") -> None:
    """Print what a dev-run of the whole, the same once more, and the experiment from it take."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_FOLDER")) as name:
        folder = Path(name)
        environment = project(folder, items, configurations, kind)
        count = items * configurations
        whole = measured(folder, environment, *COMMAND, "experiment", "e0.0.1", *ALLOW)
        again = measured(folder, environment, *COMMAND, "experiment", "e0.0.2", *ALLOW)
        report = measured(folder, environment, *COMMAND, "report", "e0.0.1")
        print(
            f"{items:>9,} x {configurations:<4}{kind:6} new {_words(whole)}, "
            f"{whole['cpu'] / count * 1e6:6.0f} us each, {whole['mb']:5.0f} MB | "
            f"known {_words(again)} | report CPU {report['cpu']:5.1f} s",
            flush=True,
        )


def _words(took: dict[str, float]) -> str:
    return f"{took['s']:7.1f} s, CPU {took['cpu']:7.1f} s"


def developers_loop(rounds: int = 5) -> None:
    """Print the median seconds of commands of the dev phase of the kind minimal, as generated."""
    with tempfile.TemporaryDirectory() as name:
        answers = ("--no-input", str(HARNESS.parents[1]), "project_name=loop", "kind=minimal")
        subprocess.run(
            [sys.executable, "-m", "cookiecutter", *answers],
            cwd=name, check=True, capture_output=True,
        )  # fmt: skip
        folder = Path(name) / "loop"
        # As `make setup` leaves it: bytecode is kept.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPATH"] = str(folder / "src")
        predict = folder / "src/benchmark/predict.py"
        found: dict[str, list[dict[str, float]]] = {}
        for turn in range(rounds + 1):
            predict.write_text(predict.read_text() + f"\nTURN = {turn}\n")
            for what, command in (
                ("edit", "dev-run"),
                ("nothing changed", "dev-run"),
                ("ready", "ready"),
            ):
                took = measured(folder, environment, *COMMAND, command)
                if turn:  # the first one compiles
                    found.setdefault(what, []).append(took)
        for what, times in found.items():
            wall, cpu = (median(each[of] for each in times) for of in ("s", "cpu"))
            print(f"{what:16} {wall:5.2f} s, CPU {cpu:5.2f} s, medians of {rounds}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--up-to", type=int, default=10_000, help="datapoints")
    parser.add_argument("--only", choices=["grow", "kinds", "loop"], default="")
    chosen = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if chosen.only in ("", "grow"):
        for datapoints in (1_000, 10_000, 100_000, 1_000_000):
            for configurations in CONFIGURATIONS:
                if configurations <= datapoints // 10 and datapoints <= chosen.up_to:
                    experiment(datapoints // configurations, configurations)
    if chosen.only in ("", "kinds"):
        experiment(100, 1, "large")
        experiment(min(100_000, chosen.up_to), 1, "files")
    if chosen.only in ("", "loop"):
        developers_loop()


if __name__ == "__main__":
    main()
