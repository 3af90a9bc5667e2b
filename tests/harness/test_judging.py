"""A judge is asked about recorded answers: once, again where it failed, and never the candidate."""

import pytest

from tests.harness.project_fixture import Bench

JUDGE = """
import os
from dataclasses import dataclass
from pathlib import Path

from benchmark.trace import note

READS = ("input_id", "prediction")


@dataclass(frozen=True)
class Params:
    rubric: str


GRID = [Params("strict")]


def files(params):
    return [Path(f"rubrics/{params.rubric}.txt")]


def estimate(answer, params):
    return 0.01


def judge(answer, params):
    note("judged", params.rubric, answer["input_id"])
    if Path(os.environ["BENCH_TRACE"] + ".away").exists():
        raise ValueError("off the scale")
    limit = float(Path(f"rubrics/{params.rubric}.txt").read_text())
    return {"verdict": float(answer["prediction"]) >= limit, "cost": 0.01}
"""
SCORE = """
from harness import Score

SCORES = {"good": Score("proportion", better="higher")}


def score(row):
    verdicts = [each["verdict"] for each in row["judgements"]]
    return {"good": all(verdicts) if verdicts else None}
"""
PREDICT = 'return {"prediction": item["x"], "ground_truth": 1.0}'


@pytest.fixture
def judged(bench: Bench) -> Bench:
    """A benchmark of four answers 0, 0.25, 0.5, 0.75, each under two configurations."""
    bench.predict(PREDICT)
    bench.score(SCORE)
    bench.file("src/benchmark/judge.py", JUDGE)
    bench.file("rubrics/strict.txt", "0.5")
    bench.file("rubrics/mild.txt", "0.1")
    bench.commit()
    return bench


def _judgements(bench: Bench) -> list[dict[str, object]]:
    return bench.sql("SELECT * FROM judgements ORDER BY rowid", bench.db)


def test_equal_answers_are_judged_once_and_scores_read_it(judged: Bench) -> None:
    judged.experiment("e0.0.1")
    assert sum(judged.executed("ran").values()) == 8
    assert sum(judged.executed("judged").values()) == 4
    assert {row["input_id"]: row["good"] for row in judged.rows()} == {
        "i0": 0, "i1": 0, "i2": 1, "i3": 1
    }  # fmt: skip
    # The next experiment finds the answers and the judgements.
    judged.experiment("e0.0.2")
    assert sum(judged.executed("judged").values()) == 4
    assert {row["good"] for row in judged.rows("e0.0.2")} == {0, 1}


def test_a_report_says_who_judged_and_for_how_much(judged: Bench) -> None:
    judged.experiment("e0.0.1")
    summary = judged.run("summary", "e0.0.1", expect=1).out
    [line] = [each for each in summary.splitlines() if "rubric=strict" in each]
    asked = len(_judgements(judged))
    assert [cell.strip() for cell in line.split("|")][3:7] == (
        [str(asked), str(asked), "0", f"{0.01 * asked:g}"]
    )


def test_a_benchmark_tests_its_scores_without_a_judge(judged: Bench) -> None:
    rows = """
    import sys
    from pathlib import Path
    from harness.trial import Trial
    rows = Trial(Path("."), Path(sys.argv[1]))()
    print([row["judgements"] for row in rows])
    """
    said = judged.python(rows, str(judged.root / "apart"))
    assert said.split() == [b"[[],", b"[],", b"[]]"]


def test_a_new_rubric_asks_the_judge_only_and_earlier_judgements_stay(judged: Bench) -> None:
    judged.experiment("e0.0.1")
    judged.file("rubrics/strict.txt", "0.25")
    judged.run("judge", "e0.0.1")
    assert sum(judged.executed("ran").values()) == 8
    assert sum(judged.executed("judged").values()) == 8
    assert sorted(row["good"] for row in judged.rows()) == [0, 0, 1, 1, 1, 1, 1, 1]
    assert len(_judgements(judged)) == 8
    judged.run("judge", "e0.0.1")
    assert sum(judged.executed("judged").values()) == 8


def test_a_budget_without_an_estimate_is_said_and_judgements_can_be_queried(judged: Bench) -> None:
    judged.experiment("e0.0.1")
    count = "SELECT count(*) AS n FROM judgements"
    assert '"n":4' in judged.run("sql", "--query", count, "--format=json").said
    judged.settings(limits={"max_cost_usd": 1.0})
    named = JUDGE.replace("def estimate(answer, params)", "def other(answer, params)")
    judged.file("src/benchmark/judge.py", named)
    refused = judged.run("judge", "e0.0.1", expect=None)
    assert refused.code != 0
    assert "what a call costs is not known" in refused.said
    assert "judge.py" in refused.said
    assert "another program" not in refused.said


def test_one_more_judge_asks_that_one_alone(judged: Bench) -> None:
    judged.experiment("e0.0.1")
    both = JUDGE.replace('[Params("strict")]', '[Params("strict"), Params("mild")]')
    judged.file("src/benchmark/judge.py", both)
    judged.experiment("e0.0.2")
    assert sum(judged.executed("ran").values()) == 8
    assert {rubric for rubric, _ in judged.executed("judged")} == {"strict", "mild"}
    assert set(judged.executed("judged").values()) == {1}
    assert sorted(row["good"] for row in judged.rows("e0.0.2")) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_judge_that_fails_is_asked_again_and_no_candidate_is(judged: Bench) -> None:
    away = judged.trace.with_name(judged.trace.name + ".away")
    away.touch()
    done = judged.experiment("e0.0.1", expect=1)
    assert "4 judgements failed" in done.said
    assert "off the scale" in done.said
    assert judged.git("tag") == ""
    away.unlink()
    judged.experiment("e0.0.1")
    assert sum(judged.executed("ran").values()) == 8
    assert sum(judged.executed("judged").values()) == 8
    assert {row["error_type"] for row in _judgements(judged)} == {None}


def test_judgements_are_within_the_budget(judged: Bench) -> None:
    dear = "\n\ndef estimate(item, params):\n    return 0.01\n"
    judged.predict('return {"prediction": item["x"], "ground_truth": 1.0, "cost": 0.01}', dear)
    judged.settings(limits={"max_cost_usd": 0.1005})
    done = judged.experiment("e0.0.1", expect=1)
    assert "could exceed the budget" in done.said
    assert sum(judged.executed("judged").values()) == 2
    judged.settings(limits={"max_cost_usd": 0.1205})
    judged.experiment("e0.0.1")
    assert sum(judged.executed("judged").values()) == 4


def test_the_dev_phase_judges_too(judged: Bench) -> None:
    judged.dev_run()
    assert sum(judged.executed("judged").values()) == 4
    assert {row["good"] for row in judged.rows("dev")} == {0, 1}
    said = judged.run("dry-run").said
    assert "judge.py: 8 judgements at most, 0.0800 USD at most (one cost 0.010000" in said


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('READS = ("input_id", "prediction")', "", "does not say what a judge is shown"),
        ('"input_id", "prediction"', '"input_id", "answer"', "answer, which no row has"),
        ("def judge(answer, params)", "def judge(answer)", "no function judge(answer, params)"),
        ('GRID = [Params("strict")]', "GRID = []", "missing or empty"),
    ],
)
def test_a_judge_that_cannot_be_is_one_sentence(
    judged: Bench, before: str, after: str, words: str
) -> None:
    assert before in JUDGE
    judged.file("src/benchmark/judge.py", JUDGE.replace(before, after))
    done = judged.dev_run(expect=2)
    assert words in done.said


def test_without_a_judge_the_command_says_so(bench: Bench) -> None:
    bench.dev_run()
    assert "there is no judge" in bench.run("judge", "dev", expect=2).said
