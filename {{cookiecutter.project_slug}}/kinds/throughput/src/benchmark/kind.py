"""What this kind of benchmark adds to the harness: settings, executor, check, report, columns."""

from harness.load.settings import Throughput
from harness.project.kind import Executor, Kind

# Run before the rest of this package: name what is in it as "benchmark.module:function".
KIND = Kind(
    settings={"throughput": Throughput},
    executors={
        # A failed request is what overload looks like, so it is a result.
        "load": Executor(
            execute="harness.load.executor:execute_load",
            check="harness.load.executor:check_load",
            failures_are_results=True,
            phases=True,
        )
    },
    checks=("harness.load.checks:load_measured",),
    clock="scheduled",
    sections=("benchmark.report:sections",),
    # A closed loop waits while the server is busy, so it is never better than an open one.
    unranked={"mode": "closed"},
    constant=frozenset(
        {"status", "bytes", "phase_start", "machine_cpu", "server_cpu", "server_mib"}
        | {"generator_cpu", "generator_mib"}
    ),
)
