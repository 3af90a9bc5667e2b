"""What runs in a worker process: it opens the project itself and answers one message after another.

Under `processes` the messages are calls of functions by `pool`; a worker of a cluster has messages
of its own (`cluster_process`).
"""

import contextlib
import pickle
import signal
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import cloudpickle

from harness.errors import HarnessError
from harness.project.contract import Project
from harness.project.inputs import one_worker
from harness.project.values import Unsendable, plain
from harness.run.attempt import Result, Worker
from harness.run.time_limit import leave_marks_in

# The first answer of a process; and of a task with a time limit, once all that it needs is loaded.
READY, BEGUN = b"ready", b"begun"
_worker: Worker | None = None


def worker_of_process() -> Worker:
    """The Worker of this process."""
    assert _worker is not None
    return _worker


def become_worker(project: Project, share: int) -> None:
    """Make this process one of `share` that compute for a project, at their share of its limits."""
    from harness.run.limits import shared_limiter

    global _worker
    one_worker()
    _worker = Worker(project, shared_limiter(project.settings, share), hard_kill=True)


def serve(connection: Connection, root: Path, workers: int, marks: Path) -> None:
    """Answer one message after another in a new process, until the driver is gone.

    Its share of the limits is one in `workers`.
    """
    # Ctrl-C reaches the whole terminal; the driver alone decides, and lets this one finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    leave_marks_in(marks)
    failed: HarnessError | None = None
    try:
        become_worker(Project.open(root), workers)
    except HarnessError as error:
        failed = error
    except BaseException as error:
        failed = HarnessError(
            f"a worker process cannot open the project: {type(error).__name__}: {error}",
            fix="run the same command again; with fewer workers in [run] of benchmark.toml, if "
            "the system has no more to give",
            code=1,
        )
    with contextlib.suppress(EOFError, OSError):
        connection.send_bytes(READY)
        while True:
            message = connection.recv_bytes()
            connection.send_bytes(
                _answered(message, connection) if failed is None else _sent(failed)
            )


def _answered(message: bytes, connection: Connection) -> bytes:
    try:
        function, arguments, limited = pickle.loads(message)
        if limited:
            connection.send_bytes(BEGUN)
        return pickle.dumps((True, function(*arguments)))
    except BaseException as error:
        return _sent(error)


def _sent(error: BaseException) -> bytes:
    try:
        content = pickle.dumps((False, error))
        pickle.loads(content)
        return content
    except Exception:
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def packed(results: list[Result]) -> bytes:
    """Results as they are sent to the driver, with any value that predict put into them.

    A value that only cloudpickle can send, such as a lambda, is sent by cloudpickle.
    """
    try:
        return pickle.dumps(results)
    except Exception:
        return bytes(cloudpickle.dumps([_sendable(each) for each in results]))


def _sendable(result: Result) -> Result:
    values = {name: _value(value) for name, value in (result.result or {}).items()}
    return replace(result, result=values)


def _value(value: object) -> object:
    try:
        return plain(value)
    except Exception:
        pass  # it is not data, so it becomes an asset
    try:
        cloudpickle.dumps(value)
        return value
    except Exception as error:
        return Unsendable(str(error))
