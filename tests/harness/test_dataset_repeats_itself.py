"""dataset.load is asked several times, and is held to what it gave first."""

import pytest

from tests.harness.project_fixture import Bench

UNSEEDED = """
import random
chosen = random.sample(range(1000), 20)
return [{"id": f"i{n}", "x": n / 1000, "label": n % 2 == 0} for n in chosen]
"""
SHUFFLED = """
import random
items = [{"id": f"i{n}", "x": n / 20, "label": n % 2 == 0} for n in range(20)]
random.shuffle(items)
return items
"""


@pytest.mark.parametrize("body", [UNSEEDED, SHUFFLED], ids=["sample", "order"])
@pytest.mark.parametrize("phase", ["dev-run", "experiment"])
def test_a_dataset_that_draws_without_a_seed_is_refused(
    bench: Bench, body: str, phase: str
) -> None:
    bench.dataset(body)
    done = bench.dev_run(expect=2) if phase == "dev-run" else bench.experiment("e0.0.1", expect=2)
    assert "dataset.load does not repeat itself" in done.said
    assert "seed what it draws" in done.said
    assert not bench.executed()


def test_an_iterator_that_ends_once_is_refused(bench: Bench) -> None:
    """It gave n = 20, 10, 0 for three configurations, and exit code 0."""
    bench.file(
        "src/benchmark/dataset.py",
        "ITEMS = iter([{'id': f'i{n}', 'x': n / 20, 'label': True} for n in range(20)])\n\n\n"
        "def load():\n    return ITEMS\n",
    )
    done = bench.experiment("e0.0.1", expect=2)
    assert "dataset.load does not repeat itself" in done.said
    assert "0 items instead of 20" in done.said
    assert not bench.executed()
    assert not bench.git("tag")


def test_one_more_item_the_second_time_is_refused(bench: Bench) -> None:
    bench.file(
        "src/benchmark/dataset.py",
        "calls = []\n\n\ndef load():\n    calls.append(1)\n"
        "    return [{'id': f'i{n}', 'x': 0.1, 'label': True} for n in range(3 + len(calls))]\n",
    )
    done = bench.dev_run(expect=2)
    assert "item 5 (id 'i4') is another one" in done.said


def test_items_of_one_configuration_that_change_are_refused(bench: Bench) -> None:
    """With load(params) each configuration is held to its own items."""
    bench.file(
        "src/benchmark/dataset.py",
        "import random\n\n\ndef load(params):\n"
        "    seed = 1 if params.model == 'low' else None\n    draw = random.Random(seed)\n"
        "    return [{'id': f'i{n}', 'x': draw.random(), 'label': True} for n in range(4)]\n",
    )
    done = bench.experiment("e0.0.1", expect=2)
    assert "dataset.load does not repeat itself" in done.said
    assert {words[0] for words in bench.executed()} <= {"low"}


def test_an_experiment_is_not_resumed_with_other_items(bench: Bench) -> None:
    """It would end with more rows than datapoints, under a data version that nobody ran."""
    bench.predict(
        'if item["id"] == "i3":\n    raise ValueError("no")\n'
        'return {"prediction": 1, "ground_truth": 1}'
    )
    bench.experiment("e0.0.1", expect=1)
    recorded = bench.rows()
    bench.items(5)
    refused = bench.experiment("e0.0.1", expect=2)
    assert "e0.0.1 was begun with other items than dataset.load gives now" in refused.said
    assert "make discard TAG=e0.0.1" in refused.said
    assert bench.rows() == recorded


def test_rows_of_a_configuration_that_left_the_grid_are_no_experiment(bench: Bench) -> None:
    bench.predict(
        'if item["id"] == "i3":\n    raise ValueError("no")\n'
        'return {"prediction": 1, "ground_truth": 1}'
    )
    bench.experiment("e0.0.1", expect=1)
    bench.params('[Params("low", 0.25)]')
    refused = bench.experiment("e0.0.1", allow="dev-run,tests,failures", expect=1)
    assert "e0.0.1 has 8 rows for 4 datapoints" in refused.said
    assert "make discard TAG=e0.0.1" in refused.said
    assert not bench.git("tag")
    bench.run("discard", "e0.0.1")
    bench.experiment("e0.0.1", allow="dev-run,tests,failures")
    assert len(bench.rows()) == 4
