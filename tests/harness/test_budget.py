"""A budget is never exceeded, and a forecast adds up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.run.budget import Budget, Share, forecast
from tests.harness.project_fixture import Bench


@given(
    limit=st.floats(0.01, 10),
    calls=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60),
    in_flight=st.integers(1, 8),
)
def test_what_is_spent_stays_within_the_limit(
    limit: float, calls: list[tuple[float, float]], in_flight: int
) -> None:
    """Whatever the order of outcomes, as long as no call costs more than estimated."""
    budget, paid = Budget(limit), 0.0
    open_calls: list[tuple[float, float]] = []
    for estimate, part in calls:
        if len(open_calls) == in_flight:
            done, cost = open_calls.pop(0)
            budget.spent(done, cost)
            paid += cost
        if budget.admit(estimate):
            open_calls.append((estimate, estimate * part))
    for done, cost in open_calls:
        budget.spent(done, cost)
        paid += cost
    assert paid <= limit * (1 + 1e-9)
    assert budget.total == pytest.approx(paid)


def test_calls_in_flight_are_reserved() -> None:
    budget = Budget(1.0)
    assert [budget.admit(0.3) for _ in range(4)] == [True, True, True, False]
    budget.spent(0.3, 0.1)  # cheaper than feared: 0.1 spent, 0.6 reserved
    assert budget.admit(0.3)
    assert not budget.admit(0.3)


def test_a_resumed_run_counts_what_earlier_ones_spent() -> None:
    assert not Budget(1.0, spent_usd=0.9).admit(0.2)
    assert Budget(1.0, spent_usd=0.7).admit(0.2)


def test_a_failed_call_counts_as_estimated_because_it_may_have_been_charged() -> None:
    budget = Budget(1.0)
    assert budget.admit(0.5)
    budget.spent(0.5, None)
    assert budget.total == 0.5


def test_a_cost_that_is_no_number_counts_as_estimated() -> None:
    budget = Budget(1.0)
    assert budget.admit(0.25)
    budget.spent(0.25, float("nan"))
    assert budget.total == 0.25


def test_calls_dearer_than_estimated_make_the_next_ones_dearer() -> None:
    budget = Budget(1.0)
    assert budget.admit(0.1)
    budget.spent(0.1, 0.4)
    assert budget.admit(0.1)  # reserved at 0.4: 0.8
    assert not budget.admit(0.1)


def test_nothing_in_flight_means_nothing_reserved() -> None:
    budget = Budget(1.0)
    for _ in range(300):
        assert budget.admit(0.1)
        budget.spent(0.1, 0.0)
    assert budget.admit(0.99)


def test_without_a_limit_everything_is_admitted_and_still_summed() -> None:
    budget = Budget(0.0)
    assert budget.admit(None)
    budget.spent(None, 2.5)
    assert budget.total == 2.5


@pytest.mark.parametrize("estimate", [None, float("nan"), float("inf"), -1.0])
def test_a_limit_without_a_usable_estimate_is_refused(estimate: float | None) -> None:
    with pytest.raises(HarnessError, match="is not known") as refused:
        Budget(1.0).admit(estimate)
    assert "max_cost_usd = 0" in refused.value.fix


def test_the_reason_for_stopping_names_what_is_spent_reserved_and_asked_for() -> None:
    budget = Budget(2.0, spent_usd=1.5)
    assert budget.admit(0.25)
    assert not budget.admit(0.5)
    said = budget.refusal(0.5)
    assert "1.5000 USD of 2.0000 spent, 0.2500 reserved for calls that are under way" in said
    assert said.endswith("the next one may cost 0.5000")
    assert "reserved" not in Budget(2.0, spent_usd=1.99).refusal(0.5)


def test_a_forecast_says_where_the_budget_would_stop_it() -> None:
    tasks = [("a", "new", 0.5), ("b", "new", 0.25)]
    assert "max_cost_usd is 0.7, less than this may cost" in forecast(tasks).lines(0.7)[-1]
    assert len(forecast(tasks).lines(0.8)) == len(forecast(tasks).lines()) == 3
    unknown = forecast([("a", "new", None)]).lines(0.7)[-1]
    assert "stops before a call whose cost is not known" in unknown
    assert len(forecast([("a", "cached", None)]).lines(0.7)) == 2


def test_configurations_are_forecast_in_the_order_of_the_grid() -> None:
    lines = forecast([("b", "new", 0.1), ("a", "new", 0.1)], names=["a", "b"]).lines()
    assert [line[0] for line in lines] == ["a", "b", "a"]


def test_a_forecast_adds_up_by_configuration() -> None:
    result = forecast(
        [
            ("a", "new", 0.5),
            ("a", "new", 0.25),
            ("a", "cached", None),
            ("b", "cached", 9.0),
            ("b", "new", None),
        ]
    )
    assert result.shares["a"] == Share(new=2, cached=1, cost=0.75)
    assert result.total == Share(new=3, cached=2, cost=0.75, unpriced=1)
    first, second, total = result.lines()
    assert "2 new, 1 cached" in first
    assert "0.7500 USD" in first
    assert "cost unknown" in second
    assert "and 1 calls without a price" in total


def test_a_forecast_of_nothing_says_so() -> None:
    assert forecast([]).lines() == ["all  0 new, 0 cached; 0 USD"]


@pytest.mark.parametrize("executor", ["serial", "threads", "async"])
def test_what_was_in_flight_and_cheaper_than_expected_leaves_room(
    bench: Bench, executor: str
) -> None:
    """A call costs 0.001 where 0.002 was expected: eight in flight reserve most of the budget."""
    bench.items(40)
    bench.params('[Params("only")]')
    bench.settings(run={"executor": executor, "workers": 8}, limits={"max_cost_usd": 0.0205})
    estimate = "\n\ndef estimate(item, params):\n    return 0.002\n"
    call = 'return {"prediction": True, "ground_truth": True, "cost": 0.001}'
    bench.predict(call, head=estimate)
    if executor == "async":
        path = bench.root / "src/benchmark/predict.py"
        path.write_text(path.read_text().replace("def predict(", "async def predict("))
    done = bench.dev_run(expect=1)
    assert "the next call could exceed the budget" in done.said
    assert "reserved" not in done.said
    rows = bench.rows("dev")
    assert len(rows) == bench.executed().total() == 19
