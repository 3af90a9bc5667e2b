"""A load test must not lie: its figures against a known queue, and against other generators.

Each of these puts a few hundred requests per second on loopback for some seconds, and ends by
itself. Service times are long against what a busy machine adds, so that the tests are steady.
"""

import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harness.load.executor import _PER_PROCESS
from harness.run.job import Outcome
from tests.harness.load_fixture import Params, known_server, numbered, row, send_load

pytestmark = pytest.mark.slow
Times = npt.NDArray[np.float64]


def one_server(due: Sequence[float], service: Sequence[float]) -> Times:
    """Latencies in a queue with one server, first come first served, from when each was due."""
    free, latencies = 0.0, []
    for arrival, seconds in zip(due, service, strict=True):
        free = max(arrival, free) + seconds
        latencies.append(free - arrival)
    return np.array(latencies)


def latencies(found: list[Outcome]) -> Times:
    assert all(o.result.error is None for o in found)
    return np.array([o.result.latency for o in found], dtype=float)


RATE, COUNT, SERVICE, STALLED, STALL = 150.0, 1200, 0.002, 300, 2.0


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
@pytest.mark.parametrize("connections", [20, 500])
def test_a_stall_of_two_seconds_is_in_the_p99_of_an_open_loop(
    tmp_path: Path, arrival: str, connections: int
) -> None:
    # The schedule and the queue are worked out here anew; nothing of harness.load is asked.
    if arrival == "constant":
        due = np.arange(COUNT) / RATE
    else:
        clock = random.Random(7)
        due = np.cumsum([clock.expovariate(RATE) for _ in range(COUNT)])
    service = [STALL if number == STALLED else SERVICE for number in range(COUNT)]
    truth = one_server(due.tolist(), service)
    params = Params(rate=RATE, arrival=arrival, seed=7, connections=connections)
    with known_server(SERVICE, STALLED, STALL) as server:
        found = list(send_load(tmp_path, server.url, [(params, numbered(COUNT))]))
        time.sleep(0.5)
        finished = dict(server.finished)
    measured = latencies(found)
    assert np.percentile(measured, 99) == pytest.approx(np.percentile(truth, 99), rel=0.05)
    assert np.percentile(measured, 95) == pytest.approx(np.percentile(truth, 95), rel=0.10)
    # The server's own clock says the same of every single request.
    start = row(found[0])["phase_start"]
    logged = np.array([finished[number] - start - due[number] for number in range(COUNT)])
    assert np.percentile(measured, 99) == pytest.approx(np.percentile(logged, 99), rel=0.05)
    by_number = {int(o.job.task.item["id"]): o.result.latency for o in found}
    apart = np.array([by_number[number] for number in range(COUNT)]) - logged
    assert np.median(np.abs(apart)) < 0.01
    print(f"p99 true {np.percentile(truth, 99):.3f} measured {np.percentile(measured, 99):.3f}")


def test_a_closed_loop_misses_the_stall_and_is_known_to(tmp_path: Path) -> None:
    params = Params(mode="closed", users=4, rate=0)
    with known_server(SERVICE, STALLED, STALL) as server:
        found = list(send_load(tmp_path, server.url, [(params, numbered(COUNT))]))
    truth = one_server(
        (np.arange(COUNT) / RATE).tolist(),
        [STALL if number == STALLED else SERVICE for number in range(COUNT)],
    )
    measured = latencies(found)
    assert measured.max() > STALL * 0.95  # it was there
    assert np.percentile(measured, 99) < np.percentile(truth, 99) / 10  # and is not in the p99
    print(f"p99 true {np.percentile(truth, 99):.3f} closed loop {np.percentile(measured, 99):.3f}")


MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
CONFIG = """
load_module {module};
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  split_clients $request_id $delay {{ 70% 0.02; 25% 0.05; * 0.12; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ echo_sleep $delay; echo served; }}
    location /at-once {{ return 200 "served\n"; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an nginx of our own, whose answers take 20, 50 or 120 ms."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).exists() or not MODULE.exists():
        pytest.skip("needs Debian's nginx-light and libnginx-mod-http-echo")
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(module=MODULE, folder=folder, port=port))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)])
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 0.1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def need(program: str) -> str:
    found = shutil.which(program)
    if not found:
        pytest.skip(f"needs Debian's {program}")
    return found


def hey(*arguments: str) -> dict[str, float]:
    """What hey measured: requests per second, and percentiles in seconds."""
    command = [need("hey"), *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    percentiles = dict(re.findall(r"(\d+)% in ([\d.]+) secs", said))
    assert rate
    return {"rate": float(rate[1]), **{f"p{q}": float(percentiles[q]) for q in ("50", "90", "99")}}


def agree(ours: dict[str, float], theirs: dict[str, float]) -> None:
    print("ours  ", {name: round(value, 4) for name, value in ours.items()})
    print("theirs", {name: round(value, 4) for name, value in theirs.items()})
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, rel=0.10), name


def figures(found: list[Outcome]) -> dict[str, float]:
    taken = latencies(found)
    last = max(row(o)["done"] for o in found)
    return {
        "rate": len(found) / last,
        **{f"p{q}": float(np.percentile(taken, q)) for q in (50, 90, 99)},
    }


def test_rate_and_percentiles_agree_with_hey_at_a_constant_rate(tmp_path: Path, nginx: str) -> None:
    theirs = hey("-z", "8s", "-c", "30", "-q", "8", nginx + "/")
    params = Params(rate=240, arrival="constant", warmup_seconds=0.5)
    found = list(send_load(tmp_path, nginx, [(params, numbered_at("/", 240 * 8))]))
    agree(figures(found), theirs)


def test_rate_and_percentiles_agree_with_hey_and_wrk_in_a_closed_loop(
    tmp_path: Path, nginx: str
) -> None:
    theirs = hey("-z", "8s", "-c", "8", nginx + "/")
    command = [need("wrk"), "-t1", "-c8", "-d8s", nginx + "/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Not its percentiles: wrk adds requests that it thinks it left out, which are nobody's latency.
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate
    params = Params(mode="closed", users=8, rate=0, warmup_seconds=0.5)
    found = list(send_load(tmp_path, nginx, [(params, numbered_at("/", 1800))]))
    agree(figures(found), theirs)
    agree(figures(found), {"rate": float(rate[1])})


def test_one_core_sends_the_rate_that_a_generator_is_trusted_with(
    tmp_path: Path, nginx: str
) -> None:
    """Against answers that take no time, so that what is seen is the generator's own cost."""
    params = Params(rate=_PER_PROCESS, arrival="constant", warmup_seconds=0.5)
    count = int(_PER_PROCESS * 3)
    found = list(send_load(tmp_path, nginx, [(params, numbered_at("/at-once", count))]))
    last = max(row(o)["sent"] for o in found)
    assert count / last == pytest.approx(_PER_PROCESS, rel=0.05)
    print(figures(found), "lag p99", np.percentile([row(o)["send_lag"] for o in found], 99))


def numbered_at(path: str, count: int) -> list[dict[str, str]]:
    """Items that all ask one path."""
    return [{"id": str(number), "path": path} for number in range(count)]
