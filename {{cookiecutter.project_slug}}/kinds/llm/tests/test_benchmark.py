"""Tests of the four files, against the canned server: no key is needed and nothing is spent."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmark import dataset, metrics, params, predict
from benchmark.llm import canned, client, prompt
from benchmark.llm.endpoint import CANNED
from benchmark.llm.prompt import build_prompt, check_prompt, choose
from benchmark.params import GRID, Params
from harness.errors import HarnessError
from harness.trial import Trial

PROMPT = GRID[0].prompt
PARAMS = Params(PROMPT, shots=3, endpoint=CANNED, model=CANNED, api="chat")
ITEMS = dataset.load()


@pytest.fixture(autouse=True)
def _no_money(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever server is configured, tests ask the canned one."""
    monkeypatch.setattr(params, "GRID", [PARAMS])


@pytest.fixture(scope="module")
def server() -> Any:
    return predict.load(PARAMS)


def test_every_item_has_an_id_of_its_own_and_a_known_label() -> None:
    assert len({item["id"] for item in ITEMS}) == len(ITEMS) == 240
    assert {item["label"] for item in ITEMS} == set(metrics.LABELS)


@pytest.mark.parametrize("each", GRID, ids=lambda each: f"{each.prompt}-{each.shots}")
def test_a_configuration_depends_on_its_own_prompt_and_on_examples_it_shows(each: Params) -> None:
    names = [path.name for path in params.files(each)]
    assert names == [f"{each.prompt}.txt", "examples.csv"][: 2 if each.shots else 1]


def test_no_review_gives_both_items_and_examples() -> None:
    examples = choose(ITEMS[0], 24, seed=1)
    assert len(examples) == 24
    reviews = {example["id"].partition("-")[0] for example in examples}
    assert not reviews & {item["id"].partition("-")[0] for item in ITEMS}


def test_an_item_is_never_its_own_example() -> None:
    example = choose(ITEMS[0], 1, seed=1)[0]
    item = {**ITEMS[0], "id": example["id"]}
    assert example["id"] not in {other["id"] for other in choose(item, 23, seed=1)}


def test_examples_take_the_labels_in_turn_and_the_seed_decides() -> None:
    six = [example["label"] for example in choose(ITEMS[0], 6, seed=1)]
    assert sorted(six) == sorted(2 * metrics.LABELS)
    assert choose(ITEMS[0], 6, seed=1) == choose(ITEMS[0], 6, seed=1)
    assert choose(ITEMS[0], 6, seed=1) != choose(ITEMS[0], 6, seed=2)


def write_prompt(folder: Path, name: str, ask: str) -> None:
    """A prompt of the tests' own: the project's are the person's to change."""
    (folder / "prompts").mkdir(exist_ok=True)
    text = f"{ask}\n---\nSentence: {{text}}\nSentiment: {{label}}\n"
    (folder / "prompts" / f"{name}.txt").write_text(text, encoding="utf-8")


def test_a_prompt_ends_where_the_label_would_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prompt(tmp_path, "own", "Which is it?")
    monkeypatch.setattr(prompt, "ROOT", tmp_path)
    text = build_prompt(ITEMS[0], "own", 3, seed=1)
    assert text.startswith("Which is it?\n\n")
    assert text.endswith(f"Sentence: {ITEMS[0]['text']}\nSentiment:")
    assert text.count("Sentiment:") == 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Ask\n---\n{text} {tone} {label}", "unknown field {tone}"),
        ("Ask\n---\n{text} {label", "expected '}'"),
        ("Ask {text} {label}", "needs a line ---"),
        ("Ask\n---\n{label} {text}", "ends in {label}"),
        (None, "cannot read"),
    ],
)
def test_a_broken_template_is_found_before_the_run(
    tmp_path: Path, text: str | None, complaint: str
) -> None:
    file = tmp_path / "broken.txt"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=complaint):
        check_prompt(file, 0)


@pytest.mark.parametrize("shots", [-1, 24])
def test_more_examples_than_there_are_is_said(shots: int) -> None:
    with pytest.raises(HarnessError, match="has examples for 0 to 23"):
        params.files(Params(PROMPT, shots))


@pytest.mark.parametrize("api", ["chat", "completions"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_row_keeps_what_was_sent_and_what_came(server: Any, api: str, stream: bool) -> None:
    asked = Params(PROMPT, 3, endpoint=CANNED, model=CANNED, api=api, stream=stream)
    row = predict.predict(ITEMS[0], asked, server)
    assert row["prediction"].strip() in metrics.LABELS
    assert row["ground_truth"] == ITEMS[0]["label"]
    assert row["finish_reason"] == "stop"
    assert row["canned"] is True
    assert row["model_reported"] == "canned"
    assert row["total_tokens"] == row["prompt_tokens"] + row["completion_tokens"]
    sent = json.loads(row["request"])
    assert (sent["model"], sent["max_tokens"]) == ("canned", 16)
    assert ITEMS[0]["text"] in row["request"]
    assert all(json.loads(line)["model"] == "canned" for line in row["raw_response"].split("\n"))
    assert (row["time_to_first_token"] is not None) == stream
    assert row["latency"] > (row["time_to_first_token"] or 0)


def test_the_same_question_gets_the_same_answer(server: Any) -> None:
    rows = [predict.predict(ITEMS[1], PARAMS, server) for _ in range(2)]
    assert rows[0]["raw_response"] == rows[1]["raw_response"]


def test_each_datapoint_is_a_row(trial: Trial) -> None:
    rows = trial()
    assert len(rows) == len(trial.calls) == 3
    assert all(row["error"] is None and row["raw_response"] and row["canned"] for row in rows)
    assert all(metrics.score(row)["unparsed"] in (True, False) for row in rows)


def test_no_question_is_asked_twice(trial: Trial) -> None:
    first, second = trial("e0.0.1"), trial("e0.0.2")
    assert len(trial.calls) == 3
    assert [row["raw_response"] for row in second] == [row["raw_response"] for row in first]
    assert [row["cache"] for row in second] == [row["track_id"] for row in first]


def test_an_error_becomes_a_row_and_is_tried_again(trial: Trial) -> None:
    trial.breaks = client.Unanswerable("400: too long")
    assert [row["error_type"] for row in trial()] == ["Unanswerable"] * 3
    trial.breaks = None
    assert [row["error_type"] for row in trial()] == [None] * 3


def test_threads_share_one_client() -> None:
    assert client.connect(CANNED) is client.connect(CANNED)


def test_an_unknown_price_is_no_price_of_zero() -> None:
    unknown = Params(PROMPT, 3, endpoint="https://example.invalid/v1", model="m", api="chat")
    assert predict.estimate(ITEMS[0], unknown) is None
    assert predict.estimate(ITEMS[0], PARAMS) == 0.0


def test_an_estimate_is_not_below_what_a_call_costs() -> None:
    known = Params(
        "guide", 3, endpoint="https://api.openai.com/v1", model="gpt-4o-mini", api="chat"
    )
    # 150 tokens of prompt is more than this one has; 16 of answer is the most there can be.
    assert (predict.estimate(ITEMS[0], known) or 0) >= (150 * 0.15 + 16 * 0.60) / 1e6


def test_letters_of_other_scripts_are_estimated_as_more_tokens() -> None:
    known = Params(
        "guide", 0, endpoint="https://api.openai.com/v1", model="gpt-4o-mini", api="chat"
    )
    latin, chinese = ({**ITEMS[0], "text": 3000 * letter} for letter in "a\u4e2d")
    costs = [predict.estimate(item, known) or 0 for item in (latin, chinese)]
    assert costs[1] - costs[0] == pytest.approx(2000 * 0.15 / 1e6)


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("positive", "positive"),
        (" Positive.", "positive"),
        ("**Negative**", "negative"),
        ("The sentiment is neutral!", "neutral"),
        ("negative\n\nSentence: great\nSentiment: positive", "negative"),
        ("positive or negative", None),
        ("positively", None),
        ("I cannot say.", None),
        ("", None),
        (None, None),
    ],
)
def test_answers_are_read(answer: str | None, label: str | None) -> None:
    assert metrics.parse(answer) == label


def _scores(**changes: Any) -> dict[str, Any]:
    row = {
        "prediction": "positive",
        "ground_truth": "positive",
        "attempts": 1,
        "refusal": None,
        "finish_reason": "stop",
    }
    return metrics.score(row | changes)


def test_an_answer_that_names_no_label_has_no_score_and_is_counted() -> None:
    scores = _scores(prediction="hm")
    assert scores["correct"] is None
    assert scores["correct_strict"] is False
    assert scores["unparsed"] is True


def test_answers_of_a_second_attempt_are_scored_apart() -> None:
    first, retried = _scores(), _scores(attempts=3)
    assert (first["correct_first_try"], first["correct_retried"]) == (True, None)
    assert (retried["correct_first_try"], retried["correct_retried"]) == (None, True)


def test_canned_answers_are_better_where_the_prompt_says_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a dev-run shows a difference; it says nothing about models."""
    write_prompt(tmp_path, "short", "Which is it?")
    write_prompt(tmp_path, "long", "Say positive when a buyer would be drawn to it.")
    monkeypatch.setattr(prompt, "ROOT", tmp_path)
    right = {
        name: sum(
            metrics.parse(canned.answer(build_prompt(item, name, 0, 1))) == item["label"]
            for item in ITEMS
        )
        for name in ("short", "long")
    }
    assert right["long"] > right["short"] > 0
