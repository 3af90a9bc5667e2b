"""Before money is spent: what so many items can tell, and a gate where that is too little."""

import re
from pathlib import Path

import pytest

from harness.stats.power import detectable, items_needed, power_to_plan_with
from tests.harness.project_fixture import Bench

PLAN = """
[[hypotheses]]
id = "H1"
claim = "high is no worse than low"
kind = "{kind}"
metric = "correct"
this = {{ model = "high" }}
than = {{ model = "low" }}
direction = "higher"
smallest_difference = {smallest}
"""
# One item in five is answered otherwise by the two.
RULE = """
right = item["n"] % 5 > 0 or params.model == "high"
return {"prediction": right, "ground_truth": True, "raw_response": "x"}
"""


def planned(bench: Bench, smallest: float, kind: str = "not_worse") -> None:
    bench.file("PLAN.toml", PLAN.format(smallest=smallest, kind=kind))


@pytest.fixture
def ready(bench: Bench) -> Bench:
    """240 items of which 40 were dev-run."""
    bench.items(240, n="n")
    bench.predict(RULE)
    planned(bench, 0.05)
    bench.commit()
    bench.dev_run(40)
    return bench


def test_ready_and_dry_run_say_what_the_items_tell_and_how_many_it_takes(ready: Bench) -> None:
    seen = ready.rows("dev")
    wrong = sum(not row["correct"] for row in seen) / (len(seen) / 2)  # only low is ever wrong
    # The spread is an estimate from 40 items, which takes more of them than one that is known.
    power = power_to_plan_with(0.8, 0.95, 2 * 40 * wrong / (1 - wrong))
    detects = detectable(240, discordant=wrong, power=power)
    needed = items_needed(0.05, discordant=wrong, power=power)
    assert (needed or 0) > 1.02 * (items_needed(0.05, discordant=wrong) or 0)
    said = (
        f"H1 (correct): 240 items tell {detects:.2g} from no difference; you ask for 0.05, which "
        f"needs about {needed:,} (in 80%; seen on 40 items of the dev-run)"
    )
    assert said in ready.run("ready", expect=1).said
    assert said in ready.run("dry-run").said
    planned(ready, 0.2)
    assert "you ask for 0.2, which takes about" in ready.run("dry-run").said


def test_a_plan_that_cannot_be_decided_blocks_and_can_be_overridden(ready: Bench) -> None:
    allow = ["--allow", "tests"]
    planned(ready, 0.01)
    ready.commit()
    ready.dev_run(40)
    blocked = ready.run("experiment", "e0.0.1", *allow, expect=1).said
    assert re.search(r"gate power: H1 .* you ask for 0.01, which needs about \d\d,\d{3}", blocked)
    assert "ALLOW=power" in blocked
    ready.run("experiment", "e0.0.1", "--allow", "tests,power")
    assert "Gates overridden: power, tests." in ready.run("summary", "e0.0.1").out
    # Now all items are known, and their spread is taken from there.
    assert "seen on 240 items of e0.0.1" in ready.run("dry-run").said
    planned(ready, 0.2)
    ready.commit()
    ready.run("experiment", "e0.0.2", *allow)


def test_few_items_and_what_never_differed_are_said_plainly(bench: Bench) -> None:
    bench.items(9, n="n")
    planned(bench, 0.05)
    bench.commit()
    bench.dev_run()
    few = bench.run("ready", expect=1).said
    assert "H1 (correct): 9 items, at least 10 are needed for any verdict" in few
    assert "more items, or a larger smallest_difference" in few
    bench.items(40, n="1")
    bench.predict(RULE)
    bench.commit()
    bench.dev_run()
    same = bench.run("dry-run").said
    assert "H1 (correct): 40 items, no forecast: all 40 items of the dev-run differ alike" in same


def test_repeats_are_no_items_and_no_clusters(bench: Bench) -> None:
    bench.items(240, n="n")
    bench.predict(RULE)
    bench.settings(run={"repeats": 2})
    planned(bench, 0.05)
    bench.dev_run(40)
    assert {row["repeat"] for row in bench.rows("dev")} == {0, 1}
    said = bench.run("dry-run").said
    assert "H1 (correct): 240 items tell" in said
    assert "seen on 40 items of the dev-run" in said


def test_without_hypotheses_nothing_is_forecast(bench: Bench) -> None:
    assert "items tell" not in bench.run("dry-run").said
    assert not (Path(bench.root) / "PLAN.toml").exists()
