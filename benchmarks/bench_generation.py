"""How long `cookiecutter` takes to generate a project: whole processes, git work included."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5


def main() -> None:
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config"]
    # As installed by pip: bytecode is there from the first run on.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS + 1):
            start = time.perf_counter()
            target = ["-o", str(Path(folder) / str(number)), str(ROOT)]
            subprocess.run([*command, *target], check=True, capture_output=True, env=env)
            seconds.append(time.perf_counter() - start)
    median, most = statistics.median(seconds[1:]), max(seconds[1:])
    print(f"generating a project: median {median:.2f} s, most {most:.2f} s of {ROUNDS}")


if __name__ == "__main__":
    main()
