"""The task that the kind comes with: sentences to sort, prompts, examples, reading answers."""

from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError

LABELS = ("positive", "negative", "neutral")


@pytest.fixture(scope="module")
def items(kind: Any) -> list[dict[str, str]]:
    """What the dataset holds."""
    return list(kind.dataset.load())


def test_every_item_has_a_known_label(kind: Any, items: list[dict[str, str]]) -> None:
    assert len({item["id"] for item in items}) == len(items) == 240
    assert {item["label"] for item in items} == set(LABELS) == set(kind.metrics.LABELS)


def test_a_configuration_depends_on_its_own_prompt_and_on_examples_it_shows(kind: Any) -> None:
    for each in kind.params.GRID:
        names = [path.name for path in kind.params.files(each)]
        assert names == [f"{each.prompt}.txt", "examples.csv"][: 2 if each.shots else 1]


def test_no_review_gives_both_items_and_examples(kind: Any, items: list[dict[str, str]]) -> None:
    examples = kind.prompt.choose(items[0], 24, seed=1)
    assert len(examples) == 24
    reviews = {example["id"].partition("-")[0] for example in examples}
    assert not reviews & {item["id"].partition("-")[0] for item in items}


def test_an_item_is_never_its_own_example(kind: Any, items: list[dict[str, str]]) -> None:
    example = kind.prompt.choose(items[0], 1, seed=1)[0]
    item = {**items[0], "id": example["id"]}
    assert example["id"] not in {other["id"] for other in kind.prompt.choose(item, 23, seed=1)}


def test_examples_take_the_labels_in_turn_and_the_seed_decides(
    kind: Any, items: list[dict[str, str]]
) -> None:
    choose = kind.prompt.choose
    six = [example["label"] for example in choose(items[0], 6, seed=1)]
    assert sorted(six) == sorted(2 * LABELS)
    assert choose(items[0], 6, seed=1) == choose(items[0], 6, seed=1)
    assert choose(items[0], 6, seed=1) != choose(items[0], 6, seed=2)


def write_prompt(folder: Path, name: str, ask: str) -> None:
    """A prompt of the tests' own: the project's are the person's to change."""
    (folder / "prompts").mkdir(exist_ok=True)
    text = f"{ask}\n---\nSentence: {{text}}\nSentiment: {{label}}\n"
    (folder / "prompts" / f"{name}.txt").write_text(text, encoding="utf-8")


def test_a_prompt_ends_where_the_label_would_stand(
    kind: Any, items: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_prompt(tmp_path, "own", "Which is it?")
    monkeypatch.setattr(kind.prompt, "ROOT", tmp_path)
    text = kind.prompt.build_prompt(items[0], "own", 3, seed=1)
    assert text.startswith("Which is it?\n\n")
    assert text.endswith(f"Sentence: {items[0]['text']}\nSentiment:")
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
    kind: Any, tmp_path: Path, text: str | None, complaint: str
) -> None:
    file = tmp_path / "broken.txt"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=complaint):
        kind.prompt.check_prompt(file, 0)


@pytest.mark.parametrize("shots", [-1, 24])
def test_more_examples_than_there_are_is_said(kind: Any, shots: int) -> None:
    with pytest.raises(HarnessError, match="has examples for 0 to 23"):
        kind.params.files(kind.params.Params("guide", shots))


def test_an_estimate_is_not_below_what_a_call_costs(kind: Any, items: list[dict[str, str]]) -> None:
    url = "https://api.openai.com/v1"
    kind.endpoint.ENDPOINTS[url] = kind.endpoint.Endpoint(url, url)
    known = kind.params.Params("guide", 3, endpoint=url, model="gpt-4o-mini", max_output_tokens=16)
    # 150 tokens of prompt is more than this one has; 16 of answer is the most there can be.
    assert (kind.predict.estimate(items[0], known) or 0) >= (150 * 0.15 + 16 * 0.60) / 1e6
    latin, chinese = ({**items[0], "text": 3000 * letter} for letter in "a\u4e2d")
    costs = [kind.predict.estimate(item, known) or 0 for item in (latin, chinese)]
    assert costs[1] - costs[0] == pytest.approx(2000 * 0.15 / 1e6)


def test_what_an_answer_without_an_end_costs_is_not_known(
    kind: Any, items: list[dict[str, str]]
) -> None:
    url = "https://api.openai.com/v1"
    kind.endpoint.ENDPOINTS[url] = kind.endpoint.Endpoint(url, url)
    for settings in ({"model": "gpt-4o-mini"}, {"model": "unknown", "max_output_tokens": 9}):
        params = kind.params.Params("guide", 3, endpoint=url, **settings)
        assert kind.predict.estimate(items[0], params) is None
    canned = kind.params.Params("guide", 3, endpoint="canned")
    assert kind.predict.estimate(items[0], canned) == 0.0


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
def test_answers_are_read(kind: Any, answer: str | None, label: str | None) -> None:
    assert kind.metrics.parse(answer) == label


def _scores(kind: Any, **changes: Any) -> dict[str, Any]:
    row = {"prediction": "positive", "ground_truth": "positive", "attempts": 1}
    scores: dict[str, Any] = kind.metrics.score(row | changes)
    return scores


def test_an_answer_that_names_no_label_has_no_score_and_counts_as_wrong(kind: Any) -> None:
    scores = _scores(kind, prediction="hm")
    assert scores["correct"] is scores["correct_of_read"] is None
    assert scores["unparsed"] is True
    assert kind.metrics.SCORES["correct"].missing is None  # so it counts as the worst
    assert kind.metrics.SCORES["correct_of_read"].missing == "left out"


def test_answers_of_a_second_attempt_are_scored_apart(kind: Any) -> None:
    first, retried = _scores(kind), _scores(kind, attempts=3)
    assert (first["correct_first_try"], first["correct_retried"]) == (True, None)
    assert (retried["correct_first_try"], retried["correct_retried"]) == (None, True)


def test_canned_answers_are_better_where_the_prompt_says_more(
    kind: Any, items: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a dev-run shows a difference; it says nothing about models."""
    write_prompt(tmp_path, "short", "Which is it?")
    write_prompt(tmp_path, "long", "Say positive when a buyer would be drawn to it.")
    monkeypatch.setattr(kind.prompt, "ROOT", tmp_path)

    def right(name: str) -> int:
        prompts = [(kind.prompt.build_prompt(item, name, 0, 1), item["label"]) for item in items]
        answers = [(kind.canned.answer(prompt), label) for prompt, label in prompts]
        return sum(kind.metrics.parse(answer) == label for answer, label in answers)

    assert right("long") > right("short") > 0
