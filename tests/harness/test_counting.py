"""What counts in a figure: one policy everywhere, each score its own n, and nothing vanishes."""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.measure.score_values import ScoreValues
from harness.project.scores import Score
from harness.read import views
from harness.tell.compare import compare
from harness.tell.section import to_markdown
from harness.tell.summary import summarise_experiment
from tests.harness.project_fixture import OPENED, PROJECT, Bench
from tests.harness.scored_results import metrics_for, record, rows_for, run_for

HEAD = "import math\nfrom harness import Score\n"
ALLOW = f"{OPENED},failures"

# -- failures and None


@pytest.fixture(scope="module")
def crasher(make_module_bench: Callable[[], Bench]) -> Bench:
    """`crash` fails on half of the items that are hard, `steady` answers all: 0.40 against 0.50.

    Of its own answers 0.80 are right, which is what every way of leaving failures out would say.
    """
    bench = make_module_bench()
    bench.items(40, hard='"hard" if n % 2 else "easy"')
    bench.params('[Params("steady"), Params("crash")]')
    bench.predict(
        """
        n = int(item["id"][1:])
        if params.model == "crash" and n < 20:
            raise ValueError("too long")
        right = n % 2 if params.model == "steady" else n < 36
        return {"prediction": right, "ground_truth": True, "hard": item["hard"], "raw_response": ""}
        """
    )
    bench.file(
        "src/benchmark/metrics.py",
        HEAD
        + """
SCORES = {
    "correct": Score("proportion", better="higher"),
    "answered": Score("proportion", better="higher", missing="left out"),
    "mean_correct": Score("mean", better="higher", failure="given"),
    "lenient": Score("mean", better="higher"),
}


def score(row):
    right = row["prediction"] == row["ground_truth"]
    return {"correct": right, "answered": right if right else None}


def mean_correct(rows):
    assert rows["failed"].dtype == bool
    return rows["correct"].mean()


AGGREGATES = {"mean_correct": mean_correct, "lenient": lambda rows: rows["correct"].mean()}
""",
    )
    bench.file("PLAN.toml", 'segmentations = ["hard"]\n')
    bench.experiment("e0.0.1", allow=ALLOW)
    return bench


def test_means_aggregates_segments_comparisons_and_exports_count_failures_alike(
    crasher: Bench,
) -> None:
    [steady, crash] = crasher.sql("SELECT * FROM metrics ORDER BY params_model DESC")
    assert (steady["correct"], crash["correct"]) == (0.5, 0.4)
    assert (crash["n"], crash["failed"], crash["correct_n"]) == (40, 20, 40)
    assert (steady["mean_correct"], crash["mean_correct"]) == (0.5, 0.4)
    assert crash["mean_correct_n"] == 40
    # None is left out where its score says so; a failure counts as the worst all the same.
    assert (crash["answered"], crash["answered_n"]) == (pytest.approx(16 / 36), 36)
    text = crasher.run("summary", "e0.0.1").out
    assert "| hard | model=crash | 20 | 0.400 \\[" in text
    assert "| easy | model=crash | 20 | 0.400 \\[" in text
    assert "They count as 0 in correct." in text
    out = crasher.run("compare", "e0.0.1:model=crash", "e0.0.1:model=steady", expect=None).out
    assert "0.100 [" in out
    source = (PROJECT / "scripts/export_summary.py").read_text(encoding="utf-8")
    exported = crasher.python(
        f"import sys\nsys.argv[0] = 'export'\n__file__ = {str(PROJECT / 'scripts/x.py')!r}\n"
        + source.replace("sys.exit(main())", "main()"),
        str(crasher.db),
    ).decode()
    assert "| crash | 0.5 | 40 | 40 | 0 | 20 | 0.400 [" in exported


def test_an_aggregate_that_leaves_failures_out_says_so_and_ranks_nothing(crasher: Bench) -> None:
    [_, crash] = crasher.sql("SELECT * FROM metrics ORDER BY params_model DESC")
    assert (crash["lenient"], crash["lenient_n"]) == (0.8, 20)
    assert re.search(r"0\.800 \[0\.\d+, 0\.\d+\] n 20", crasher.run("rescore", "e0.0.1").out)
    plan = """
        [[hypotheses]]
        id = "H1"
        claim = "crashing pays"
        metric = "lenient"
        better = { model = "crash" }
        than = { model = "steady" }
        direction = "higher"
        smallest_difference = 0.05
        """
    crasher.file("PLAN.toml", plan)
    crasher.experiment("e0.0.2", allow=ALLOW)
    said = crasher.run("summary", "e0.0.2", expect=1).out
    assert "2 configurations, not ranked: lenient leaves out 20 failed datapoints" in said
    assert "Hypothesis H1 cannot be judged: lenient leaves out 20 failed datapoints" in said
    subject = crasher.git("for-each-ref", "--format=%(contents:subject)", "refs/tags/e0.0.2")
    assert subject.startswith("2 configurations, not ranked | data=")


def test_the_answer_that_is_hardly_ever_given_is_not_the_best(bench: Bench) -> None:
    """0 shots read 4 of 40 answers, all right: 1.000 of those, and 0.100 of what was asked."""
    bench.items(40)
    bench.params('[Params("silent"), Params("talks")]')
    bench.predict(
        'n = int(item["id"][1:])\n'
        'said = n < 4 if params.model == "silent" else n < 30\n'
        'return {"prediction": "yes" if said else None, "ground_truth": "yes", "raw_response": "x"}'
    )
    bench.file(
        "src/benchmark/metrics.py",
        HEAD
        + """
SCORES = {
    "correct": Score("proportion", better="higher", label="accuracy"),
    "of_read": Score("proportion", better="higher", missing="left out"),
}


def score(row):
    read = None if row["prediction"] is None else row["prediction"] == row["ground_truth"]
    return {"answer_length": len(row["prediction"] or ""), "correct": read, "of_read": read}
""",
    )
    said = bench.experiment("e0.0.1").out
    assert "1.000 [0.510, 1.000] n 4" in said
    tag = bench.git("for-each-ref", "--format=%(contents)", "refs/tags").splitlines()
    assert tag[0].startswith("model=talks threshold=0.5 | accuracy=0.75 of_read=1 (n=30) ")
    assert tag[2].startswith("model=silent threshold=0.5 | n=40 accuracy=0.1 of_read=1 (n=4) ")
    text = bench.run("summary", "e0.0.1").out
    assert "Best by accuracy" in text
    assert "Best by answer" not in text
    figures = r"40 \| 0 \| 0.100 \\\[0.040, 0.231\\\] \| -0.650 [^|]+ \| 1.000 \\\["
    assert re.search(rf"\| 2 \| model=silent \| {figures}", text)
    # Where nothing is declared, the same score ranks nothing, whatever letter it begins with.
    bench.score(
        'def score(row):\n    return {"a": 0.5, "correct": row["prediction"] == "yes" or None}\n'
    )
    bench.experiment("e0.0.2")
    assert "2 configurations, not ranked: nothing says which way" in bench.run("summary").out


def test_a_mean_that_leaves_out_what_nothing_declares_ranks_nothing(bench: Bench) -> None:
    bench.items(40)
    bench.score(
        HEAD
        + """
SCORES = {"loss": Score("mean", better="lower", low=0)}


def score(row):
    if row["params_model"] == "high":
        return {"loss": 0.5}
    return {"loss": 0.1 if row["input_id"] == "i1" else None}
"""
    )
    bench.experiment("e0.0.1")
    said = bench.run("summary").out
    assert "not ranked: loss leaves out 39 of the 40 datapoints of model=low" in said


# -- what cannot count


def read(name: str, value: object, score: Score | None = None) -> tuple[object, str]:
    values = ScoreValues({} if score is None else {name: score})
    kept = values.read("i1", {name: value})[name]
    return kept, values.uncounted[0].reason if values.uncounted else ""


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (True, 1), (np.bool_(False), 0), (3, 3), (2**70, 2.0**70), (0.1, 0.1),
        (Decimal("0.1"), 0.1), (Fraction(1, 4), 0.25), (np.float32(0.5), 0.5), (np.int64(2), 2),
        (np.array(0.5), 0.5),
        (None, None), (pd.NA, None), (pd.NaT, None), (1e150, 1e150), ("good", "good"),
    ],
)  # fmt: skip
def test_what_plainly_is_a_number_counts_and_what_is_missing_is_none(
    value: object, kept: object
) -> None:
    assert read("s", value) == (kept, "")


@pytest.mark.parametrize(
    ("value", "reason", "score"),
    [
        (math.inf, "inf", None), (-math.inf, "-inf", None), (math.nan, "nan", None),
        (np.float64("nan"), "nan", None), (Decimal("sNaN"), "nan", None), (1e200, "beyond", None),
        (Fraction(10**400), "beyond", None), (10**400, "beyond", None),
        (object(), "no numbers", None),
        ("0.5", "no numbers", Score("mean")), ([1], "no numbers", Score("mean")),
        (0.5, "neither 0 nor 1", Score("proportion")), (-0.5, "below 0", Score("time")),
        (1.5, "above 1", Score("mean", low=0, high=1)),
    ],
)  # fmt: skip
def test_what_cannot_count_says_why(value: object, reason: str, score: Score | None) -> None:
    kept, said = read("s", value, score)
    assert kept is None
    assert reason in said


def test_a_rounding_error_beyond_a_bound_is_the_bound() -> None:
    assert read("s", 1 + 1e-12, Score("mean", low=0, high=1)) == (1.0, "")
    assert read("s", -1e-15, Score("mean", low=0)) == (0.0, "")


def test_values_that_cannot_count_are_named_and_counted_and_keep_the_tag_away(
    bench: Bench,
) -> None:
    bench.items(48)
    bench.params('[Params("m")]')
    odd = 'math.inf, -math.inf, math.nan, 1e200, "n/a", pd.NA'
    metrics = (
        "import pandas as pd\nfrom decimal import Decimal\nfrom fractions import Fraction\n"
        + HEAD
        + """
SCORES = {"declared": Score("mean", better="lower", low=0), "exact": Score("mean", better="lower")}


def score(row):
    n = int(row["input_id"][1:])
    some = [pd.NA, ODD]
    odd = some[n % len(some)] if n < 14 else 0.25
    exact = [pd.NA, Decimal("0.25"), Fraction(1, 4), 0.25][n % 4]
    return {"declared": odd, "loose": odd, "exact": exact}
"""
    )
    bench.file("src/benchmark/metrics.py", metrics.replace("ODD", odd))
    note = (
        "declared: 10 values cannot count (2 x -inf, 2 x beyond 1e+150, 2 x inf, 2 x nan, 2 x text"
    )
    done = bench.dev_run()
    assert note in done.err
    assert note.replace("declared", "loose") in done.err
    assert "exact" not in done.err
    [metrics_row] = bench.sql("SELECT * FROM metrics", bench.dev_db)
    assert (metrics_row["exact"], metrics_row["exact_n"], metrics_row["n"]) == (0.25, 36, 48)
    assert (metrics_row["declared"], metrics_row["declared_n"]) == (0.25, 34)
    assert metrics_row["loose"] == 0.25
    kinds = "SELECT DISTINCT typeof(declared) AS a, typeof(loose) AS b FROM predictions"
    assert {tuple(row.values()) for row in bench.sql(kinds, bench.dev_db)} == {
        ("real", "real"), ("null", "null")
    }  # fmt: skip
    found = bench.run("inspect", expect=1).said
    assert f"error uncounted_scores: dev: {note}" in found
    assert "item i1: inf" in found
    refused = bench.experiment("e0.0.1", expect=1, allow=f"{OPENED},inspect")
    assert f"e0.0.1 is not tagged: e0.0.1: {note}" in refused.said
    assert "Traceback" not in refused.said
    assert not bench.git("tag")
    assert note in bench.run("summary", "e0.0.1", expect=1).out.replace("\\", "")
    bench.file("src/benchmark/metrics.py", metrics.replace("ODD", "pd.NA"))
    bench.experiment("e0.0.1", allow=f"{OPENED},inspect")
    assert bench.git("tag") == "e0.0.1"
    assert bench.sql("SELECT * FROM uncounted_scores") == []
    assert "no findings" in bench.run("validate").out


def test_a_declared_score_is_a_number_also_where_no_row_has_one(bench: Bench) -> None:
    bench.score(
        HEAD + 'SCORES = {"correct": Score("proportion", better="higher")}\n\n'
        'def score(row):\n    return {"correct": None}\n'
    )
    bench.dev_run()
    found = bench.sql("SELECT correct, correct_n FROM metrics", bench.dev_db)
    assert [tuple(row.values()) for row in found] == [(0.0, 4)] * 2


def test_an_aggregate_that_is_infinite_is_named_too(bench: Bench) -> None:
    bench.score(
        HEAD + "import numpy as np\n"
        'def score(row):\n    return {"ok": True}\n'
        'AGGREGATES = {"ratio": lambda rows: np.inf, "none": lambda rows: np.nan}\n'
    )
    assert "ratio: 2 values cannot count (2 x inf; model=low" in bench.dev_run().err
    assert "uncounted_scores: dev: ratio" in bench.run("inspect", expect=1).said
    [low, _] = bench.sql("SELECT ratio, none FROM metrics", bench.dev_db)
    assert low == {"ratio": None, "none": None}


def test_a_constant_that_is_no_proportion_has_no_interval_and_bounds_stay_where_they_can_be(
    bench: Bench,
) -> None:
    bench.items(12)
    bench.params('[Params("m")]')
    bench.score(
        HEAD + 'SCORES = {"loss": Score("mean", better="lower", low=0, high=100)}\n\n'
        "def score(row):\n"
        '    loss = 90.0 if row["input_id"] == "i3" else 0.0\n'
        '    return {"constant": 1.0, "whole": 1, "loss": loss}\n'
    )
    said = bench.dev_run().out
    [found] = bench.sql("SELECT * FROM metrics", bench.dev_db)
    for name in ("constant", "whole"):
        assert (found[name], found[f"{name}_low"], found[f"{name}_high"]) == (1.0, None, None)
    assert said.count("1.000 [no interval]") == 2
    assert (found["loss"], found["loss_low"]) == (7.5, 0.0)
    assert found["loss_high"] > 7.5


# -- experiments that were recorded before


def test_infinity_that_was_recorded_once_ends_no_summary_and_refutes_nothing(
    tmp_path: Path,
) -> None:
    values = [math.inf, 1e200] + [0.1 * i for i in range(18)]
    rows = [
        row
        for depth, shift in ((2, 0.0), (8, 1.0))
        for row in rows_for("e0.0.1", {"depth": depth}, [{"loss": v + shift} for v in values])
    ]
    plan = {
        "segmentations": ["ground_truth"],
        "hypotheses": [
            {
                "id": "H1", "claim": "c", "metric": metric, "better": {"depth": 2},
                "than": {"depth": 8}, "direction": "lower", "smallest_difference": 0.5,
            }
            for metric in ("loss", "ratio")
        ],
    }  # fmt: skip
    plan["hypotheses"][1]["id"] = "H2"  # type: ignore[index]
    metrics = metrics_for(rows, ["loss"])
    for line in metrics:
        line |= dict.fromkeys(("ratio", "ratio_low", "ratio_high"), math.inf)
    db = record(tmp_path / "r.db", rows, metrics, [run_for("e0.0.1", plan)], None)
    with views.connect([db]) as con:
        found = summarise_experiment(con, "e0.0.1")
        pairs = compare(con, "e0.0.1").pairs
    loss, ratio = found.judged
    assert (loss.outcome, loss.items) == ("undecided", 18)  # what is left out may reverse it
    assert (ratio.outcome, ratio.answerable) == ("undecided", False)
    assert "no finite number" in ratio.reason
    assert pairs[0].outcome == "worse"
    assert "| yes | depth=2 | 20 | 0.85" in to_markdown("t", found.sections)
