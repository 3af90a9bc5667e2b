"""Tokens a minute: what was sent holds back what is to be sent, until it turns out to be less."""

import threading
from typing import Any


def test_a_request_waits_for_the_tokens_of_others_and_goes_once_they_took_less(kind: Any) -> None:
    tokens = kind.pace.Tokens(100)
    first = tokens.acquire(60)
    gone = threading.Event()

    def wait() -> None:
        tokens.acquire(60)
        gone.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not gone.wait(0.3)
    tokens.settle(first, 10)
    assert gone.wait(60)
    waiting.join()


def test_a_request_larger_than_the_limit_goes_alone(kind: Any) -> None:
    tokens = kind.pace.Tokens(100)
    assert tokens.acquire(5000)[1] == 5000
