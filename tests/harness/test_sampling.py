"""[run] sample: what a run takes of the machine stands beside it, only where it is asked for."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from harness.run.sampling import Sample, gpus, sampled
from tests.harness.project_fixture import Bench, eventually

BURNS = """
memory = bytearray(100_000_000)
begun = time.process_time()
while time.process_time() - begun < 0.2:
    memory[::4096] = memory[::4096]
return {"prediction": time.process_time() - begun, "ground_truth": 1}
"""


@pytest.mark.parametrize("executor", ["serial", pytest.param("processes", marks=pytest.mark.slow)])
def test_cpu_and_memory_of_a_run_and_of_its_processes_are_recorded(
    bench: Bench, executor: str
) -> None:
    bench.settings(run={"executor": executor, "workers": 2, "sample": True})
    bench.params('[Params("low")]')
    bench.items(8)
    bench.predict(BURNS, head="import time")
    bench.dev_run()
    [run] = bench.sql("SELECT sampled FROM runs", bench.dev_db)
    found = json.loads(run["sampled"])
    burned = sum(row["prediction"] for row in bench.rows("dev"))
    assert found["looks"] >= 2
    # A process's last second may be missed.
    assert found["cpu_seconds"] > burned - (0.5 if executor == "serial" else 1.2)
    assert 100 < found["memory_mb_most"] < 3000
    assert found["cpu_cores"] == pytest.approx(found["cpu_seconds"] / found["seconds"], abs=0.01)


def test_nothing_is_sampled_unless_it_is_asked_for(bench: Bench) -> None:
    bench.dev_run()
    [run] = bench.sql("SELECT sampled FROM runs", bench.dev_db)
    assert run["sampled"] is None


def test_gpus_are_named_with_their_driver(tmp_path: Path) -> None:
    """In the words of the files that NVIDIA's driver shows below /proc."""
    assert gpus(tmp_path) == []
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.129.03  Thu Oct 19 18:56:32 UTC 2023\n"
        "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
    )
    for place in ("0000:17:00.0", "0000:65:00.0"):
        folder = tmp_path / "gpus" / place
        folder.mkdir(parents=True)
        (folder / "information").write_text(
            "Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 18\nGPU UUID: \t GPU-1\n"
        )
    assert gpus(tmp_path) == ["NVIDIA A100-SXM4-80GB, driver 535.129.03"] * 2


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="there is no GPU of NVIDIA here")
def test_the_use_of_a_gpu_is_sampled() -> None:
    import time

    assert gpus()
    with sampled(True) as sample:
        time.sleep(3)
    assert sample is not None
    found = sample.figures()
    assert found["gpu_joules"] > 0
    assert 0 <= found["gpu_percent"] <= 100


def test_what_a_card_does_not_tell_is_left_out_and_the_rest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the words of nvidia-smi, by a program of that name: no GPU was seen by this test."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho '0, 40, 2048, 71.50'\necho '1, [N/A], 512, [N/A]'\nexec sleep 60\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with sampled(True) as sample:
        assert sample is not None
        assert eventually(lambda: len(sample.gpu) == 2, 30)
    found = sample.figures()
    assert found["gpu_percent"] == 40
    assert found["gpu_memory_mb_most"] == 2048
    # The seconds are rounded to a thousandth.
    assert found["gpu_joules"] == pytest.approx(71.5 * found["seconds"], rel=0.01, abs=0.08)


def test_energy_of_processors_is_that_of_their_counters_which_begin_anew(tmp_path: Path) -> None:
    """In the files of Linux below /sys/class/powercap, two packages and a part of one."""
    zones = {"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "core"}
    for zone, name in zones.items():
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "name").write_text(f"{name}\n")
        (tmp_path / zone / "energy_uj").write_text("9000000\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("10000000\n")
    with sampled(True, tmp_path) as sample:
        (tmp_path / "intel-rapl:0/energy_uj").write_text("9500000\n")
        (tmp_path / "intel-rapl:1/energy_uj").write_text("2000000\n")
    assert sample is not None
    found = sample.figures()
    assert (found["package_0_joules"], found["package_1_joules"]) == (0.5, 3.0)
    assert "core_joules" not in found
    with sampled(True, tmp_path / "none") as sample:
        pass
    assert sample is not None
    assert not [name for name in sample.figures() if "joules" in name and "gpu" not in name]


def test_energy_is_that_of_all_gpus() -> None:
    looks = [(card, 50.0, 1000.0, watts) for card, watts in ((0.0, 300.0), (1.0, 100.0))] * 5
    found = Sample(began=time.monotonic() - 10, gpu=looks).figures()
    assert found["gpu_joules"] == pytest.approx(4000, rel=0.01)
    assert found["gpu_percent"] == 50
