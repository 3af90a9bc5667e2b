"""CPU and memory of server, generator and machine: one sampler, in one thread, for all of them."""

import threading
from types import TracebackType

import psutil

_INTERVAL_SECONDS = 0.5


class Sampler:
    """Samples while it is entered; `latest` holds columns for rows.

    CPU in percent of one core (machine: of all its cores), memory in MiB, both summed over a role's
    processes and their children.
    """

    def __init__(self) -> None:
        self.latest: dict[str, float | None] = {
            "server_cpu": None, "server_mib": None, "generator_cpu": None, "generator_mib": None,
            "machine_cpu": None,
        }  # fmt: skip
        self._roots: dict[str, list[int]] = {"server": [], "generator": []}
        self._known: dict[psutil.Process, psutil.Process] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def watch(self, role: str, pids: list[int]) -> None:
        """From now on these processes are the `role`."""
        self._roots[role] = pids

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        psutil.cpu_percent()  # the first call of a thread only starts its measurement
        while not self._stop.wait(_INTERVAL_SECONDS):
            self.latest["machine_cpu"] = psutil.cpu_percent()
            for role, pids in list(self._roots.items()):
                self.latest[f"{role}_cpu"], self.latest[f"{role}_mib"] = self._sum(pids)

    def _sum(self, pids: list[int]) -> tuple[float | None, float | None]:
        cpu: float | None = None
        memory: float | None = None
        for pid in pids:
            try:
                root = psutil.Process(pid)
                for process in [root, *root.children(recursive=True)]:
                    memory = (memory or 0.0) + process.memory_info().rss / 2**20
                    if process in self._known:
                        cpu = (cpu or 0.0) + self._known[process].cpu_percent()
                    else:
                        self._known[process] = process
                        process.cpu_percent()
            except psutil.Error:
                continue
        return cpu, memory
