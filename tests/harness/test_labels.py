"""People label answers, and the judge is held against them."""

import http.cookiejar
import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

import numpy as np
import pytest

from harness.stats.agreement import kappa, prediction_powered, rogan_gladen
from tests.harness.project_fixture import Bench

JUDGE = """
from dataclasses import dataclass
from pathlib import Path

READS = ("prediction", "note")
LABELS = {"verdict": ("yes", "no")}


@dataclass(frozen=True)
class Params:
    rubric: str


GRID = [Params("strict")]


def files(params):
    return [Path(f"rubrics/{params.rubric}.txt")]


def judge(answer, params):
    number = round(float(answer["prediction"]) * 1000)
    wrong = number // 10 % 7 == 3
    return {"verdict": "yes" if (number >= 400) != wrong else "no", "reason": "because"}
"""
SCORE = """
from harness import Score

SCORES = {"good": Score("proportion", better="higher", judged=True)}


def score(row):
    verdicts = [each["verdict"] == "yes" and each["reason"] != "" for each in row["judgements"]]
    return {"good": all(verdicts) if verdicts else None}
"""
PREDICT = """
return {
    "prediction": item["x"] + (0.001 if params.model == "low" else 0.0),
    "ground_truth": 1.0,
    "note": "<b>hostile</b>\\u202e",
}
"""
OPENED = "dev-run,tests,power"


@pytest.fixture(scope="module")
def labelled(make_module_bench: Callable[..., Bench]) -> Bench:
    """Two configurations with a hundred answers each in the dev phase; a judge, and no label."""
    bench = make_module_bench()
    bench.predict(PREDICT)
    bench.items(100)
    bench.score(SCORE)
    bench.file("src/benchmark/judge.py", JUDGE)
    bench.file("rubrics/strict.txt", "Is it large?")
    bench.commit()
    bench.dev_run()
    return bench


def _label(bench: Bench, answer: Callable[[float], str], *arguments: str, keys: int = 10**6) -> str:
    """`make label` by a person who looks at the number that is shown."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "harness", "label", *arguments],
        cwd=bench.root, env=bench.environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("prediction: "):
            keys -= 1
            process.stdin.write(answer(float(line.split()[1])) + "\n" if keys >= 0 else "q\n")
            process.stdin.flush()
    process.wait()
    assert process.returncode == 0, said
    return said


def _truth(number: float) -> str:
    return "y" if number >= 0.4 else "n"


def test_kappa_and_prediction_powered_means_are_those_of_known_numbers() -> None:
    y = [4, 2, 5, 3, 1, 4, 4, 2, 5, 3, 3, 4, 1, 2, 5, 4, 3, 2, 4, 5]
    f = [4, 3, 5, 3, 2, 4, 5, 2, 5, 4, 3, 4, 2, 2, 4, 4, 3, 3, 5, 5]
    # sklearn.metrics.cohen_kappa_score(y, f), and with weights="quadratic"
    assert kappa(y, f).estimate == pytest.approx(0.48051948051948057)
    assert kappa(y, f, ordered=True).estimate == pytest.approx(0.8591549295774648)
    rest = [5, 3, 4, 4, 2, 3, 5, 1, 4, 4, 2, 5, 3, 3, 4]
    rest += [5, 4, 2, 3, 4, 5, 4, 3, 5, 2, 4, 4, 3, 5, 4]
    # ppi_py.ppi_mean_pointestimate(y + y, f + f, rest) of ppi-python 0.2.3
    found = prediction_powered(y + y, f + f, rest)
    assert found.estimate == pytest.approx(3.31492289)
    # Rogan & Gladen 1978: (share + specificity - 1) / (sensitivity + specificity - 1)
    person = [1] * 20 + [0] * 20
    judge = [1] * 18 + [0] * 2 + [0] * 16 + [1] * 4
    assert rogan_gladen(0.5, 200, person, judge).estimate == pytest.approx(0.3 / 0.7)


@pytest.mark.slow
def test_corrected_means_cover_what_people_would_say() -> None:
    rng = np.random.default_rng(5)
    held = {"ppi": 0, "rogan": 0}
    for _ in range(1000):
        person = (rng.random(300) < 0.7).astype(float)
        said = np.where(person == 1, rng.random(300) < 0.9, rng.random(300) > 0.8).astype(float)
        by_labels = prediction_powered(person[:50], said[:50], said[50:], binary=True)
        by_errors = rogan_gladen(float(said.mean()), 300, person[:50], said[:50])
        for name, found in (("ppi", by_labels), ("rogan", by_errors)):
            held[name] += found.low is not None and found.low <= 0.7 <= (found.high or 0)
    assert min(held.values()) >= 930


def test_labels_are_blind_resumed_and_held_against_the_judge(labelled: Bench) -> None:
    bench = labelled
    blocked = bench.experiment("e0.0.1", OPENED, expect=1)
    assert "gate labels: good: a judge's word" in blocked.said
    assert "has 0 labels for the rubric of Params(rubric='strict')" in blocked.said
    said = _label(bench, _truth, "dev", "--items=30", keys=12)
    assert "12 of 30 answers of dev are labelled in labels/judge.jsonl" in said
    assert "Is it large?" in said
    # Neither the configuration, nor what the judge said, nor what would act on a terminal.
    assert "low" not in said
    assert "because" not in said
    assert "\u202e" not in said
    path = bench.root / "labels/judge.jsonl"
    with path.open("a") as file:
        file.write('{"rubric": "cut by a ki')
    assert "13 of 30\n" in _label(bench, _truth, "dev", "--items=30")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == len({line["answer"] for line in lines}) == 30


def test_a_key_too_many_is_taken_back(labelled: Bench) -> None:
    keys = iter(["y", "u", "n", "x", "s", "q"])
    before = (labelled.root / "labels/judge.jsonl").read_bytes()
    _label(labelled, lambda _: next(keys), "dev", "--items=40")
    added = (labelled.root / "labels/judge.jsonl").read_bytes()[len(before) :]
    first, back, second = map(json.loads, added.splitlines())
    assert first["answer"] == back["answer"] == second["answer"]
    assert [each["verdict"] for each in (first, back, second)] == ["yes", None, "no"]
    (labelled.root / "labels/judge.jsonl").write_bytes(before)


def test_a_page_asks_only_those_who_have_its_link(labelled: Bench) -> None:
    process = labelled.start("label", "dev", "--items=41", "--page", "--no-browser")
    assert process.stderr is not None
    link = process.stderr.readline().strip()
    before = (labelled.root / "labels/judge.jsonl").read_bytes()
    try:
        place = link.partition("?")[0]
        # A browser opens connections ahead; one that says nothing must not block the others.
        address = urllib.parse.urlsplit(place)
        silent = socket.create_connection((address.hostname, address.port))
        for request in (
            urllib.request.Request(place),
            urllib.request.Request(link, headers={"Host": "elsewhere.example"}),
            urllib.request.Request(place, data=b"key=y"),
            urllib.request.Request(place, data=b"key=y", headers={"Content-Length": "-9"}),
        ):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(request)
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        opener = urllib.request.build_opener(jar)
        page = opener.open(link).read().decode()
        assert "&lt;b&gt;hostile&lt;/b&gt;⟨U+202E⟩" in page
        assert "<b>" not in page
        fields = dict(re.findall(r'name="(token|answer)" value="([^"]+)"', page))
        for _ in range(2):  # the second click is on a page that is old
            body = urllib.parse.urlencode({**fields, "key": "y"}).encode()
            assert "31 of 41 labelled" in opener.open(place, data=body).read().decode()
        silent.close()
    finally:
        process.terminate()
        process.communicate(timeout=60)
    added = (labelled.root / "labels/judge.jsonl").read_bytes()[len(before) :]
    assert json.loads(added)["answer"] == fields["answer"]
    (labelled.root / "labels/judge.jsonl").write_bytes(before)


@pytest.mark.slow
def test_an_experiment_tells_the_judges_errors_and_means_without_them(labelled: Bench) -> None:
    bench = labelled
    _label(bench, _truth, "dev", "--items=30")  # where this test runs alone
    bench.experiment("e0.0.1", OPENED)
    assert "judged=True" not in bench.run("agreement", "e0.0.1").said
    _label(bench, _truth, "e0.0.1", "--items=60")
    bench.run("rescore", "e0.0.1")
    said = bench.run("agreement", "e0.0.1").said
    assert "The judge and people" in said
    assert "Rogan-Gladen" in said or "PPI++" in said
    [found] = bench.sql(
        "SELECT count(*) AS n, sum(by_judge <> by_person) AS wrong FROM judge_labels "
        "WHERE experiment_version = 'e0.0.1'"
    )
    assert found["n"] >= 60
    assert found["wrong"] > 0
    assert "The judge and people" in bench.run("summary", "e0.0.1").said
    # Another rubric needs labels of its own.
    bench.file("rubrics/strict.txt", "Is it huge?")
    blocked = bench.experiment("e0.0.2", OPENED, expect=1)
    assert re.search(r"has 0 labels for the rubric of .*, \d\d for another one", blocked.said)
    with (bench.root / "labels/judge.jsonl").open("a") as file:
        file.write("[]\n")
    assert "not a label ([])" in bench.run("label", "dev", expect=2).said
