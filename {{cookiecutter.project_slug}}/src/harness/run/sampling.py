"""What a run takes of the machine: CPU, memory, GPU and energy, looked at once a second.

Off unless `[run] sample` says so. A thread of its own looks, and nothing that it cannot read stops
a run: what a machine does not tell is not there. It sees the driver and its processes on this
machine; what a cluster's workers take is theirs.
"""

import math
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.project.inputs import is_harness_thread

LOOK_SECONDS = 1.0
_MEGABYTE = 2**20
_NVIDIA = Path("/proc/driver/nvidia")
_RAPL = Path("/sys/class/powercap")
_QUERY = "--query-gpu=index,utilization.gpu,memory.used,power.draw"


@dataclass(slots=True)
class Sample:
    """What was seen so far. Energy in joules, by what used it; memory in MB, of all processes."""

    began: float = field(default_factory=time.monotonic)
    looks: int = 0
    memory_mb: float = 0.0
    cpu: dict[int, float] = field(default_factory=dict)  # seconds by process, as last seen
    # Of each card at each look: its index, percent, MB, watts; NaN for what it does not tell.
    gpu: list[tuple[float, float, float, float]] = field(default_factory=list)
    joules: dict[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """What goes into `runs.sampled`."""
        seconds = time.monotonic() - self.began
        cpu = sum(self.cpu.values())
        found = {
            "seconds": seconds,
            "looks": float(self.looks),
            "cpu_seconds": cpu,
            "cpu_cores": cpu / seconds if seconds else 0.0,
            "memory_mb_most": self.memory_mb,
        }
        if self.gpu:
            percent, memory = self._of_gpus(1), self._of_gpus(2)
            if percent:
                found["gpu_percent"] = sum(percent) / len(percent)
            if memory:
                found["gpu_memory_mb_most"] = max(memory)
            if watts := self._of_gpus(3):
                tell = {card for card, *_, power in self.gpu if not math.isnan(power)}
                found["gpu_joules"] = sum(watts) / len(watts) * seconds * len(tell)
        found |= {f"{name}_joules": each for name, each in self.joules.items()}
        return {name: round(value, 3) for name, value in found.items()}

    def _of_gpus(self, column: int) -> list[float]:
        return [look[column] for look in self.gpu if not math.isnan(look[column])]


@contextmanager
def sampled(wanted: bool, rapl: Path = _RAPL) -> Iterator[Sample | None]:
    """Look at this process and its children while the block runs; None where not `wanted`.

    `rapl`: where Linux shows the counters of energy.
    """
    if not wanted:
        yield None
        return
    sample, ended = Sample(), threading.Event()
    energy = _energy(rapl)
    threads = [threading.Thread(target=_watch, args=(sample, ended), daemon=True)]
    smi = _start_smi()
    if smi is not None:
        threads.append(threading.Thread(target=_follow, args=(sample, smi), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield sample
    finally:
        ended.set()
        if smi is not None:
            smi.kill()
            smi.wait()
        for thread in threads:
            thread.join(LOOK_SECONDS)
        for name, (now, _) in _energy(rapl).items():
            if name in energy:
                sample.joules[name] = _used(*energy[name], now)


def _watch(sample: Sample, ended: threading.Event) -> None:
    is_harness_thread()
    own = psutil.Process()
    before = _seconds(own)
    while True:
        memory = 0
        with suppress(psutil.Error):
            for process in (own, *own.children(recursive=True)):
                with suppress(psutil.Error):  # one has just ended
                    memory += process.memory_info().rss
                    used = _seconds(process)
                    sample.cpu[process.pid] = used - before if process == own else used
        sample.memory_mb = max(sample.memory_mb, memory / _MEGABYTE)
        sample.looks += 1
        if ended.is_set():
            return
        ended.wait(LOOK_SECONDS)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# -- GPUs


def gpus(nvidia: Path = _NVIDIA) -> list[str]:
    """The name of each GPU of NVIDIA, with its driver, as the driver's own files say."""
    with suppress(OSError, IndexError):
        words = (nvidia / "version").read_text().split()
        version = next(word for word in words if word[:1].isdigit() and "." in word)
        found = sorted((nvidia / "gpus").glob("*/information"))
        names = [_field(path.read_text(), "Model") for path in found]
        return [f"{name}, driver {version}" for name in names]
    return []


def _field(text: str, name: str) -> str:
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "unknown")


def _start_smi() -> "subprocess.Popen[str] | None":
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    options = ("--format=csv,noheader,nounits", "--loop=1")
    with suppress(OSError):
        return subprocess.Popen(
            [program, _QUERY, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
        )
    return None


def _follow(sample: Sample, smi: "subprocess.Popen[str]") -> None:
    is_harness_thread()
    assert smi.stdout is not None
    for line in smi.stdout:
        with suppress(ValueError):  # a line of words
            card, percent, memory, watts = map(_number, line.split(","))
            sample.gpu.append((card, percent, memory, watts))


def _number(text: str) -> float:
    """NaN for `[N/A]` and `[Not Supported]`, which a part of a card (MIG) says of its use."""
    return math.nan if text.strip().startswith("[") else float(text)


# -- energy


def _energy(rapl: Path) -> dict[str, tuple[float, float]]:
    """Microjoules so far by package (Intel's and AMD's RAPL), and where each counter begins anew.

    Empty where they are not there, or only root may read them.
    """
    found = {}
    for zone in sorted(rapl.glob("intel-rapl:*")):
        if zone.name.count(":") == 1:  # a package; what is in it has names of its own
            with suppress(OSError, ValueError):
                used = float((zone / "energy_uj").read_text())
                most = float((zone / "max_energy_range_uj").read_text())
                found[(zone / "name").read_text().strip().replace("-", "_")] = (used, most)
    return found


def _used(before: float, most: float, now: float) -> float:
    return (now - before if now >= before else now + most - before) / 1e6
