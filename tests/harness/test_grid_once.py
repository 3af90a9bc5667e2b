"""The grid is resolved once for a command: params.py is asked once what a configuration reads."""

from tests.harness.project_fixture import Bench

ASKED = """


def files(params):
    from benchmark.trace import note

    note("files", params.model)
    return []


def modules(params):
    from benchmark.trace import note

    note("modules", params.model)
    return []
"""
ONCE = {"low": 1, "high": 1}


def asked(bench: Bench) -> tuple[dict[str, int], dict[str, int]]:
    """How often `files` and `modules` were called for each configuration, since last time."""
    found = tuple(
        {m: n for (m,), n in bench.executed(name).items()} for name in ("files", "modules")
    )
    bench.forget()
    return found[0], found[1]


def test_params_py_is_asked_once_a_command_and_once_more_after_a_run(bench: Bench) -> None:
    bench.params('[Params("low", 0.25), Params("high", 0.75)]' + ASKED)
    # Whether what a result depends on changed meanwhile can only be known by asking again.
    twice = {"low": 2, "high": 2}

    bench.experiment("e0.0.1", allow="dev-run,tests,inspect")
    assert asked(bench) == (twice, twice)
    bench.dev_run()
    assert asked(bench) == (twice, twice)
    for command in (("dry-run",), ("ready",), ("schema",), ("explain", "i0")):
        bench.run(*command, expect=None)
        assert asked(bench) == (ONCE, ONCE), command
    bench.run("rescore", "e0.0.1")
    assert asked(bench) == ({}, {})
