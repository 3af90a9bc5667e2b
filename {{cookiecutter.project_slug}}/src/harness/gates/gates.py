"""What must hold before an experiment: each gate says what is wrong and the command that fixes it.

A gate can be overridden by name; the override is recorded in `runs` and printed in every report.
"""

from collections.abc import Callable, Iterable

from harness.console import err
from harness.errors import HarnessError
from harness.gates.labelled import labels
from harness.gates.planned import holdout, items, plan, power
from harness.gates.repository import branch, clean, data, results, tag
from harness.gates.situation import Blocked, Situation
from harness.gates.tested import run_tests
from harness.gates.tried import dev_run, inputs, inspected, schema, tested
from harness.steps import Step

Gate = Callable[[Situation], Blocked | None]

# In the order in which a person fixes them: DVC gets the data before everything else is committed,
# and the experiment starts last.
GATES: dict[str, Gate] = {
    "branch": branch,
    "data": data,
    "clean": clean,
    "results": results,
    "dev-run": dev_run,
    "inputs": inputs,
    "tests": tested,
    "inspect": inspected,
    "schema": schema,
    "items": items,
    "plan": plan,
    "power": power,
    "labels": labels,
    "holdout": holdout,
    "tag": tag,
}
# These block only after the run; they are here so that they can be overridden in the same way.
AFTER = ("failures", "validation")


def look(now: Situation) -> dict[str, Blocked | None]:
    """Every gate's verdict, in order."""
    verdicts = {}
    for name, gate in GATES.items():
        with Step(f"looking at the gate {name}"):
            verdicts[name] = gate(now)
    return verdicts


def known_gates(names: Iterable[str]) -> set[str]:
    """Check the names of gates to override. Raises HarnessError for an unknown one."""
    parts = ",".join(names).split(",")
    wanted = {part.strip() for part in parts if part.strip()}
    unknown = sorted(wanted - set(GATES) - set(AFTER))
    if unknown:
        raise HarnessError(
            f"there is no gate {', '.join(unknown)}",
            fix=f"gates: {', '.join([*GATES, *AFTER])}",
        )
    return wanted


def pass_gates(now: Situation, allow: set[str]) -> dict[str, str]:
    """Every gate's name with passed or overridden.

    Raises HarnessError naming all gates that block. Code 2 where the command itself was wrong.
    """
    verdicts = look(now)
    # Tests take the longest, so they run only where no other gate blocks.
    others = [
        name
        for name, blocked in verdicts.items()
        if blocked and name != "tests" and (blocked.final or name not in allow)
    ]
    if verdicts["tests"] is not None and "tests" not in allow and not others:
        err.print("running the tests first: they have not passed for this code yet")
        run_tests(now.root, [])
        verdicts["tests"] = tested(now)
    blocking = {
        name: blocked
        for name, blocked in verdicts.items()
        if blocked is not None and (blocked.final or name not in allow)
        if not (others and blocked.later)
    }
    if blocking:
        lines = [f"gate {name}: {blocked.message}" for name, blocked in blocking.items()]
        fixes = list(dict.fromkeys(blocked.fix for blocked in blocking.values()))
        wrong_use = not blocking.keys().isdisjoint({"branch", "tag"})
        raise HarnessError("\n".join(lines), fix=" ; ".join(fixes), code=2 if wrong_use else 1)
    return {
        name: "passed" if blocked is None else "overridden" for name, blocked in verdicts.items()
    }
