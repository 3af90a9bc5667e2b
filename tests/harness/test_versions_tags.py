"""Tags say what was found, by whom and on which data; the next one follows what changed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.project_fixture import PROJECT, SCORE, Bench, Done
from tests.harness.versioned import BETTER, PARAMS, WHO


def tags_in(done: Done) -> list[str]:
    return [line.split()[0] for line in done.out.splitlines() if line.startswith(" e")]


def test_a_list_has_metrics_with_intervals_data_who_and_when(past: Bench) -> None:
    shown = past.run("tags")
    assert tags_in(shown) == ["e0.0.1", "e0.1.0", "e1.0.0"]
    line = next(line for line in shown.out.splitlines() if line.startswith(" e1.0.0"))
    assert "correct 0.950 [0.835, 0.986], n 40 (first of 2)" in line
    assert "h1 supported" in line
    assert "second" in line
    assert past.sql("SELECT data_version FROM runs")[0]["data_version"][:12] in line
    assert "the rows of e0.1.0 are not here: these figures were committed" in shown.err
    away = next(line for line in shown.out.splitlines() if line.startswith(" e0.1.0"))
    assert "2 configurations (make pull)" in away, "which of them is first is not known here"
    assert "make pull" in shown.err


def test_a_list_is_sorted_by_a_metric_a_param_or_who(past: Bench) -> None:
    assert tags_in(past.run("tags", "--sort", "correct"))[0] == "e1.0.0"
    assert tags_in(past.run("tags", "--sort", "-correct"))[-1] == "e1.0.0"
    assert tags_in(past.run("tags", "--sort", "-tag")) == ["e1.0.0", "e0.1.0", "e0.0.1"]
    assert tags_in(past.run("tags", "--sort", "message")) == ["e0.1.0", "e0.0.1", "e1.0.0"]
    refused = past.run("tags", "--sort", "corect", expect=2)
    assert "no experiment has 'corect'" in refused.err
    assert "correct" in refused.err.partition("fix:")[2]


def test_a_metric_may_be_named_as_it_is_shown(tagged: Bench) -> None:
    tagged.score(SCORE.replace('better="higher"', 'better="higher", label="accuracy"'))
    tagged.run("rescore", "e0.0.1")
    assert "accuracy 0.500" in tagged.run("tags", "--sort", "accuracy").out
    asked = ("--sort=-accuracy", "--metric=accuracy", "--where=accuracy=0.5")
    assert tagged.run("list", *asked).out.count("0.500 [") == 2
    refused = tagged.run("list", "--sort=acuracy", expect=2)
    assert "no experiment has 'acuracy'" in refused.err


def test_a_program_gets_every_metric_of_every_configuration(past: Bench) -> None:
    found = {each["tag"]: each for each in json.loads(past.run("tags", "--json").out)}
    assert found["e1.0.0"]["who"] == "benchmark"
    assert found["e1.0.0"]["commit"] == past.git("rev-parse", "e1.0.0^{commit}")
    high = found["e1.0.0"]["configurations"][1]
    assert high["params"] == {"model": "high", "threshold": 0.9}
    assert high["metrics"]["correct"]["value"] == 0.95
    assert high["metrics"]["correct"]["low"] < 0.95 < high["metrics"]["correct"]["high"]
    # Its database is that of another branch; what was committed with its tag is not.
    beside = found["e0.1.0"]["configurations"][1]
    assert beside["params"] == {"model": "high", "threshold": 0.8}
    assert beside["metrics"]["correct"]["n"] == 40


def test_the_index_has_a_line_for_each_experiment_and_keeps_what_people_wrote(past: Bench) -> None:
    text = past.git("show", "e1.0.0:results/README.md")
    assert text.startswith("What experiments recorded.\n")
    lines = [line for line in text.splitlines() if line.startswith("| [e")]
    assert [line.split("]")[0] for line in lines] == ["| [e0.0.1", "| [e1.0.0"]
    assert "| [e1.0.0](e1.0.0.md) |" in lines[1]
    assert "correct 0.950" in lines[1]
    assert "h1 supported" in lines[1]
    assert "second" in lines[1]


# -- the next version


@pytest.mark.parametrize(
    ("edit", "version", "why"),
    [
        (lambda bench: None, "e1.0.1  patch", "nothing changed since e1.0.0: a rerun"),
        (
            lambda bench: bench.file("src/benchmark/params.py", PARAMS.format(high=0.6)),
            "e1.1.0  minor",
            "the params changed since e1.0.0",
        ),
        (
            lambda bench: bench.file("prompts/ask.txt", "How low?\n"),
            "e1.1.0  minor",
            "the prompts changed (prompts/ask.txt) since e1.0.0",
        ),
        (
            lambda bench: bench.predict(BETTER.replace("or", "and")),
            "e2.0.0  major",
            "the code changed (src/benchmark/predict.py) since e1.0.0",
        ),
        (lambda bench: bench.items(39), "e2.0.0  major", "the data changed since e1.0.0"),
    ],
    ids=["rerun", "params", "prompts", "code", "data"],
)
def test_the_next_version_follows_what_changed(
    past: Bench, edit: Callable[[Bench], object], version: str, why: str
) -> None:
    edit(past)
    try:
        assert past.run("next").out.strip() == f"{version}: {why}"
    finally:
        past.git("checkout", "-q", "--", ".")


def test_without_an_experiment_the_next_version_is_the_first(bench: Bench) -> None:
    assert bench.run("next").out.startswith("e0.0.1")
    assert json.loads(bench.run("next", "--json").out)["level"] == "patch"


# -- where the harness ran nothing


def script(folder: Path, *arguments: str) -> Done:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "scripts/version_tag.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    """A repository with a table that xetrack wrote, and nothing of ours."""
    from xetrack import Tracker

    folder = tmp_path_factory.mktemp("foreign")
    for arguments in (["init", "-q"], [*WHO, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    tracker = Tracker(str(folder / "x.db"), engine="sqlite", table="evals", params={"model": "a"})
    for index in range(40):
        tracker.log({"id": index, "accuracy": float(index % 4 > 0)})
    return folder


def test_a_table_of_another_program_is_tagged_with_its_figures(foreign: Path) -> None:
    given = ["v0.1.0", "--prefix", "v", "--db", "x.db", "--table", "evals", "--description", "one"]
    tried = script(foreign, *given, "--dry-run")
    assert tried.out.strip() == "model=a | n=40 accuracy=0.75 [0.6098, 0.8902] | one"
    assert script(foreign, "--show", "v0.1.0", "--prefix", "v").code == 2, "nothing was made"

    assert script(foreign, *given).code == 0
    shown = script(foreign, "--show", "v0.1.0", "--prefix", "v").out
    assert "accuracy=0.75 [0.6098, 0.8902] | one" in shown
    assert "v0.1.0" in script(foreign, "--list", "--prefix", "v").out
    following = script(foreign, "--suggest", "--prefix", "v").out
    assert following.startswith("v0.1.1  patch: nothing is recorded that says what changed")
    refused = script(foreign, *given)
    assert (refused.code, "v0.1.0 is taken" in refused.err) == (2, True)
    assert "v0.1.1" in refused.err


def test_what_cannot_become_a_tag_is_refused_with_the_way_to_do_it(
    past: Bench, foreign: Path
) -> None:
    for arguments, words in (
        (["e1"], "'e1' is no version"),
        (["e0.0.1"], "nothing to say in the tag"),
        (["e9.0.0", "--db", str(past.db)], "make experiment TAG=… tags it"),
        (["--list", "--suggest"], "ask for one thing"),
        (["--show", "e7.0.0"], "there is no tag 'e7.0.0' here"),
    ):
        refused = script(foreign, *arguments)
        assert refused.code == 2, arguments
        assert words in refused.err
        assert "fix:" in refused.err
