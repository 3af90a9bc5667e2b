"""A tiny benchmark repository, and the harness run on it as a person runs it: as another process.

Nothing is generated: the harness is used in place through PYTHONPATH. What `predict` really did is
known from a trace file outside every database, to which it appends a line.
"""

import copy
import json
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Template

from tests.harness.warm import WarmProcess

REPOSITORY = Path(__file__).parents[2]
PROJECT = REPOSITORY / "{{cookiecutter.project_slug}}"
SOURCE = PROJECT / "src"

# Gates that have tests of their own; opened here so that others need no dev-run and no pytest.
OPENED = "dev-run,tests,power,labels"
LONG_SECONDS = 100.0
CASES = [
    (executor, engine, layout)
    for executor in ("serial", "threads", "processes")
    for engine in ("sqlite", "duckdb")
    for layout in ("append-only", "table-per-experiment", "database-per-experiment")
]

TRACE = '''
import os
import time


def note(*words):
    """Append a line, whole even where several processes write."""
    line = " ".join(map(str, (*words, time.monotonic_ns()))) + "\\n"
    file = os.open(os.environ["BENCH_TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
'''
RULE = """
return {
    "prediction": item["x"] > params.threshold,
    "ground_truth": item["label"],
    "raw_response": {"x": item["x"]},
}
"""
GRID = '[Params("low", 0.25), Params("high", 0.75)]'
SCORE = """
from harness import Score

SCORES = {"correct": Score("proportion", better="higher")}


def score(row):
    return {"correct": row["prediction"] == row["ground_truth"]}
"""


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything it said, with line breaks and runs of blanks made one blank."""
        return " ".join((self.out + " " + self.err).split())


class Bench:
    """A benchmark repository with verbs."""

    def __init__(
        self, root: Path, home: Path, *, dvc: bool = False, warm: WarmProcess | None = None
    ) -> None:
        self.root, self.home, self.dvc, self.warm = root, home, dvc, warm
        self.trace = root.with_name(f"{root.name}-trace.txt")
        self._written = time.time() - 1e6
        root.mkdir(parents=True)
        ignore = Template((PROJECT / ".gitignore").read_text(encoding="utf-8"))
        answers = {"use_dvc": "yes" if dvc else "no"}
        self.file(".gitignore", ignore.render(cookiecutter=answers))
        self.file("results/README.md", "What experiments recorded.\n")
        self.file("src/benchmark/__init__.py", "")
        self.file("src/benchmark/trace.py", TRACE)
        self.file("src/benchmark/metrics.py", SCORE)
        self.params(GRID)
        self.items(4)
        self.predict(RULE)
        self.settings()
        self.git("init", "-q", "-b", "feat/try")
        if dvc:
            for name in ("config", ".gitignore"):
                shutil.copy(PROJECT / ".dvc" / name, self._place(f".dvc/{name}"))
        self.commit()

    def at(self, root: Path) -> "Bench":
        """The same verbs in another folder: a clone, a worktree."""
        other = copy.copy(self)
        other.root, other.trace = root, root.with_name(f"{root.name}-trace.txt")
        return other

    def copy(self, root: Path) -> "Bench":
        """The whole repository as it is now, in another folder; nothing has run there yet."""
        shutil.copytree(self.root, root, symlinks=True)
        return self.at(root)

    # -- what a person writes

    def _place(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def file(self, name: str, text: str | bytes) -> Path:
        """Write a file; each write gets a later time, as if a person had needed a while."""
        path = self._place(name)
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        self._written += 2
        os.utime(path, (self._written, self._written))
        return path

    def settings(self, **sections: dict[str, Any]) -> None:
        """Write benchmark.toml: the given sections over a minimum."""
        sections["benchmark"] = {"name": "tiny", **sections.get("benchmark", {})}
        # Where the trace goes changes no result.
        sections["key"] = {"harmless": ["BENCH_TRACE", "HOLD_AT"], **sections.get("key", {})}
        sections["store"] = {"dvc": self.dvc, **sections.get("store", {})}
        lines = []
        for section, values in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        self.file("benchmark.toml", "\n".join(lines) + "\n")

    def params(self, grid: str, fields: str = "model: str\nthreshold: float = 0.5") -> None:
        """params.py with these fields and this GRID."""
        self.file(
            "src/benchmark/params.py",
            "from dataclasses import dataclass\n\n\n"
            "@dataclass(frozen=True, slots=True)\nclass Params:\n"
            + textwrap.indent(fields, "    ")
            + f"\n\n\nGRID = {grid}\n",
        )

    def items(self, count: int, **more: str) -> None:
        """dataset.py with `count` items i0, i1, …; `more` adds keys by expressions of n."""
        extra = "".join(f', "{key}": {value}' for key, value in more.items())
        self.dataset(
            f"return [{{'id': f'i{{n}}', 'x': n / {count}, 'label': n % 2 == 0{extra}}}"
            f" for n in range({count})]"
        )

    def dataset(self, body: str) -> None:
        """dataset.py whose load() has this body."""
        body = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
        self.file(
            "src/benchmark/dataset.py", f"from pathlib import Path\n\n\ndef load():\n{body}\n"
        )

    def predict(self, body: str, head: str = "", resource: bool = False) -> None:
        """predict.py whose predict() leaves a trace and then does `body`."""
        arguments = "item, params, resource" if resource else "item, params"
        body = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
        self.file(
            "src/benchmark/predict.py",
            f"from benchmark.params import Params\nfrom benchmark.trace import note\n"
            f"{textwrap.dedent(head)}\n\n"
            f"def predict({arguments}):\n"
            f'    note("ran", params.model, item["id"])\n{body}\n',
        )

    def score(self, text: str) -> None:
        """metrics.py."""
        self.file("src/benchmark/metrics.py", textwrap.dedent(text))

    def git(self, *arguments: str, check: bool = True) -> str:
        """A git command's standard output."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        assert not (check and done.returncode), done.stderr
        return done.stdout.strip()

    def commit(self, message: str = "a change") -> str:
        """Commit everything; returns the commit."""
        self.git("add", "-A")
        if self.git("diff", "--cached", "--name-only"):
            who = ("-c", "user.name=tester", "-c", "user.email=tester@localhost")
            self.git(*who, "commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def untag(self, tag: str) -> None:
        """Go back to what a kill just before the experiment's commit leaves behind."""
        self.git("tag", "-d", tag)
        self.git("reset", "-q", "HEAD~1")
        self.git("update-ref", f"refs/worktree/finishing/{tag}", "HEAD")

    # -- what a person runs

    def environment(self, **more: str) -> dict[str, str]:
        """A person's environment: a home of its own, no git identity, nothing of this process."""
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
        return {
            "PATH": "/usr/bin:/bin",
            **kept,
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_NO_ANALYTICS": "1",
            "PYTHONPATH": os.pathsep.join([str(SOURCE), str(self.root / "src")]),
            "PYTHONPYCACHEPREFIX": str(self.home / "bytecode"),
            "BENCH_TRACE": str(self.trace),
            "COLUMNS": "200",
            **more,
        }

    def start(
        self, *command: str, before: Callable[[], None] | None = None, **environment: str
    ) -> "subprocess.Popen[str]":
        """Start `python -m harness …` in a process group of its own, as a shell does."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *command],
            cwd=self.root,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,
            preexec_fn=before,
        )

    def run(
        self,
        *command: str,
        expect: int | None = 0,
        before: Callable[[], None] | None = None,
        **environment: str,
    ) -> Done:
        """Run `python -m harness …`; `expect` is the exit code it has to end with (None: any)."""
        if self.warm and before is None:
            surroundings = self.environment(**environment)
            code, out, err = self.warm.run([*command], self.root, surroundings, LONG_SECONDS)
            done = Done(code, out.decode(errors="replace"), err.decode(errors="replace"))
        else:
            done = finished(self.start(*command, before=before, **environment))
        assert expect is None or done.code == expect, (
            f"{command} ended with {done.code}:\n{done.out}{done.err}"
        )
        return done

    def dev_run(self, items: int = 1000, expect: int | None = 0) -> Done:
        """A dev-run over (by default) every item."""
        return self.run("dev-run", f"--items={items}", expect=expect)

    def run_dvc(self, *arguments: str) -> str:
        """A DVC command's standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def experiment(self, tag: str, allow: str = OPENED, expect: int | None = 0) -> Done:
        """Commit what was edited and run an experiment."""
        self.commit()
        return self.run("experiment", tag, "--allow", allow, expect=expect)

    def python(self, source: str, *arguments: str) -> bytes:
        """Run Python text as another program; returns its standard output."""
        source = textwrap.dedent(source)
        if self.warm:
            code, out, err = self.warm.run(
                [*arguments], self.root, self.environment(), LONG_SECONDS, source
            )
        else:
            done = subprocess.run(
                [sys.executable, "-c", source, *arguments],
                cwd=self.root,
                env=self.environment(),
                capture_output=True,
            )
            code, out, err = done.returncode, done.stdout, done.stderr
        assert code == 0, (out + err).decode(errors="replace")
        return out

    def xt(self, *arguments: str) -> str:
        """xetrack's own command."""
        return self.python("from xetrack.cli import app; app()", *arguments).decode()

    # -- what came of it

    @property
    def db(self) -> Path:
        """The results of experiments."""
        return self.root / "results/benchmark.db"

    @property
    def dev_db(self) -> Path:
        """The results of the dev phase."""
        return self.root / ".dev/benchmark.db"

    def executed(self, word: str = "ran") -> "Counter[tuple[str, ...]]":
        """How often predict really ran, by (model, item id)."""
        return Counter(words for words, _ in self.traced(word))

    def traced(self, word: str) -> list[tuple[tuple[str, ...], int]]:
        """The trace's lines that begin with `word`: the words after it, and when (monotonic ns)."""
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        found = [line.split(" ") for line in lines]
        return [(tuple(parts[1:-1]), int(parts[-1])) for parts in found if parts[0] == word]

    def forget(self) -> None:
        """Begin counting anew."""
        self.trace.unlink(missing_ok=True)

    def sql(self, query: str, db: Path | None = None) -> list[dict[str, Any]]:
        """What SQLite reads, in this process (call it when no run is going)."""
        connection = sqlite3.connect(f"{(db or self.db).as_uri()}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(query)]
        finally:
            connection.close()

    def rows(self, experiment: str = "e0.0.1", table: str = "predictions") -> list[dict[str, Any]]:
        """An experiment's rows in a fixed order (the dev phase's for `dev`)."""
        db = self.dev_db if experiment == "dev" else self.db
        return self.sql(
            f"SELECT * FROM {table} WHERE experiment_version = '{experiment}' "
            "ORDER BY params_model, params_threshold, input_id, repeat",
            db,
        )

    def reader(self, db: Path, table: str, engine: str) -> list[dict[str, Any]]:
        """What xetrack.Reader reads, in a process of its own."""
        return self._unpickled(
            """
            import pickle, sys
            from duckdb_extensions import import_extension
            from xetrack import Reader
            import_extension("sqlite_scanner")
            frame = Reader(sys.argv[1], table=sys.argv[2], engine=sys.argv[3]).to_df()
            frame = frame.astype(object).where(frame.notna(), None)
            sys.stdout.buffer.write(pickle.dumps(frame.to_dict("records")))
            """,
            str(db),
            table,
            engine,
        )

    def duckdb(self, db: Path, query: str) -> list[dict[str, Any]]:
        """What DuckDB reads from the file, in a process of its own; the database is called `b`."""
        return self._unpickled(
            """
            import importlib.util, pathlib, pickle, sys, duckdb
            wheel = importlib.util.find_spec("duckdb_extension_sqlite_scanner").origin
            file = next(pathlib.Path(wheel).parent.rglob("*.duckdb_extension"))
            con = duckdb.connect()
            con.execute(f"LOAD '{file}'")
            con.execute(f"ATTACH '{sys.argv[1]}' AS b (TYPE sqlite, READ_ONLY)")
            cursor = con.execute(sys.argv[2])
            names = [column[0] for column in cursor.description]
            found = [dict(zip(names, row)) for row in cursor.fetchall()]
            sys.stdout.buffer.write(pickle.dumps(found))
            """,
            str(db),
            query,
        )

    def _unpickled(self, source: str, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pickle.loads(self.python(source, *arguments))
        return found


def finished(process: "subprocess.Popen[str]", seconds: float = LONG_SECONDS) -> Done:
    """Wait for a process that was started; one that takes longer is killed."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return Done(process.returncode, out, err)


def once_each(models: Sequence[str], items: int) -> "Counter[tuple[str, ...]]":
    """The trace of a run in which everything ran exactly once."""
    return Counter((model, f"i{n}") for model in models for n in range(items))


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Wait until something holds, looking every 5 ms; whether it did within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.005)
    return holds()
