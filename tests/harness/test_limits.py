"""The pace of calls, checked on the clock of a server that is really called."""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.errors import HarnessError
from harness.project.settings import Settings
from harness.run import limits
from harness.run.limits import LEAST_SHARE, Limiter, shared_limiter


class Clock(ThreadingHTTPServer):
    """Notes when each call came, and how many were in it at once."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrivals: list[float] = []
        self.most = self.inside = 0
        self.lock = threading.Lock()
        self.work = 0.0

    def most_within(self, seconds: float) -> int:
        """Calls in the fullest half-open window of that length."""
        times = sorted(self.arrivals)
        return max(bisect_left(times, t + seconds) - i for i, t in enumerate(times))

    def call(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.server_address[1])
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    server: Clock

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.arrivals.append(time.monotonic())
            self.server.inside += 1
            self.server.most = max(self.server.most, self.server.inside)
        time.sleep(self.server.work)
        with self.server.lock:
            self.server.inside -= 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Clock]:
    with Clock() as clock:
        thread = threading.Thread(target=clock.serve_forever, args=(0.05,))
        thread.start()
        yield clock
        clock.shutdown()
        thread.join()


def _call_all(server: Clock, limiter: Limiter, calls: int, threads: int = 64) -> None:
    def call(_: int) -> None:
        limiter.acquire()
        server.call()
        limiter.succeeded()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, range(calls)))


def test_no_window_on_the_servers_clock_sees_more_calls_than_allowed(
    server: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WINDOW_SECONDS", 2.0)
    monkeypatch.setattr(limits, "SLACK_SECONDS", 0.25)
    _call_all(server, Limiter(200, 64), 450)
    assert len(server.arrivals) == 450
    assert server.most_within(2.0) <= 200


def test_two_runs_one_after_the_other_keep_the_limit_together(
    server: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "WINDOW_SECONDS", 1.0)
    monkeypatch.setattr(limits, "SLACK_SECONDS", 0.1)
    for _ in range(8):  # each as after a kill: nothing is remembered
        _call_all(server, Limiter(10, 64), 3)
    assert server.most_within(1.0) <= 10


def test_no_more_calls_are_in_flight_than_allowed(server: Clock) -> None:
    server.work = 0.005
    _call_all(server, Limiter(0, 7), 300)
    assert server.most <= 7
    assert server.most >= 5  # the limit was reached, so it was the limit that held


def test_calls_refused_together_halve_the_share_once() -> None:
    limiter = Limiter(0, 16)
    threads, inside = [], threading.Barrier(16)

    def refused() -> None:
        limiter.acquire()
        inside.wait()
        limiter.throttled()

    for _ in range(16):
        threads.append(threading.Thread(target=refused))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert limiter.share == 0.5
    assert limiter.allowed == 8


def test_each_refusal_of_a_later_call_halves_again_down_to_a_floor() -> None:
    limiter = Limiter(0, 16)
    for _ in range(40):
        limiter.acquire()
        limiter.throttled()
    assert limiter.share == LEAST_SHARE
    assert limiter.allowed == 1


def test_success_gives_the_share_back_little_by_little() -> None:
    limiter = Limiter(0, 16)
    limiter.acquire()
    limiter.throttled()
    shares = [limiter.share]
    while limiter.share < 1.0:
        limiter.acquire()
        limiter.succeeded()
        shares.append(limiter.share)
    assert shares == sorted(shares)
    assert 50 < len(shares) < 200
    limiter.acquire()
    limiter.succeeded()
    assert limiter.share == 1.0


def test_a_failure_of_another_kind_changes_nothing_and_frees_the_place() -> None:
    limiter = Limiter(0, 1)
    for _ in range(3):
        limiter.acquire()
        limiter.failed()
    assert limiter.share == 1.0


def test_a_named_time_holds_every_thread_back() -> None:
    limiter = Limiter(0, 8)
    limiter.acquire()
    limiter.throttled(0.4)
    start = time.monotonic()
    passed: list[float] = []

    def call() -> None:
        limiter.acquire()
        passed.append(time.monotonic() - start)
        limiter.succeeded()

    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(call)
    assert len(passed) == 8
    assert min(passed) > 0.38


def test_a_pause_that_comes_while_threads_wait_holds_them_too() -> None:
    limiter = Limiter(0, 1)
    limiter.acquire()
    waited: list[float] = []

    def call() -> None:
        limiter.acquire()
        waited.append(time.monotonic())
        limiter.succeeded()

    waiting = threading.Thread(target=call)
    waiting.start()
    time.sleep(0.05)
    refused_at = time.monotonic()
    limiter.throttled(0.3)
    waiting.join()
    assert waited[0] - refused_at > 0.28


def _settings(executor: str, workers: int, rate: float) -> Settings:
    return Settings.model_validate(
        {
            "run": {"executor": executor, "workers": workers},
            "limits": {"requests_per_minute": rate},
        }
    )


def test_processes_share_the_rate_in_whole_calls() -> None:
    # 4 x 7 calls a minute fit into 30; 4 x 7.5 would at times be 4 x 8.
    settings = _settings("processes", 4, 30)
    limiter = shared_limiter(settings, 4)
    assert limiter is not None
    assert limiter._spacing == pytest.approx(61 / 7)
    assert limiter.allowed == 1


def test_a_rate_too_small_to_share_is_refused() -> None:
    with pytest.raises(HarnessError, match="too little for 4 processes") as refused:
        shared_limiter(_settings("processes", 4, 3), 4)
    assert "workers = 3" in refused.value.fix


def test_threads_are_always_paced_and_others_only_when_asked() -> None:
    threads = shared_limiter(_settings("threads", 5, 0))
    assert threads is not None
    assert threads.allowed == 5
    assert shared_limiter(_settings("serial", 5, 0)) is None
    assert shared_limiter(_settings("processes", 5, 0), 5) is None
    serial = shared_limiter(_settings("serial", 5, 60))
    assert serial is not None
    assert serial.allowed == 1
