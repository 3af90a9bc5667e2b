"""What a server, a param, an error or a tag says reaches a terminal as text and as nothing else."""

import json
import unicodedata
from collections.abc import Callable

import pytest

from tests.harness.project_fixture import OPENED, PROJECT, Bench, Done, finished

# Writes the clipboard, colours what follows, closes a markup that nobody opened, hides, reorders.
HOSTILE = "\x1b]52;c;cm0=\x07\x1b[31m[/x][INST] {text} [a-z]+ \u202egnp\u200b\x9b2J\r\x00<b>"
SCORE = """
def score(row):
    return {"correct": row["prediction"] == row["ground_truth"], "[/x] [red]": 1.0}
"""
PLAN = f"""
questions = [{json.dumps(HOSTILE)}]
segmentations = ["language"]

[[hypotheses]]
id = {json.dumps(HOSTILE)}
claim = {json.dumps(HOSTILE)}
metric = "correct"
better = {{ model = "[a-z]+" }}
than = {{ model = {json.dumps(HOSTILE)} }}
direction = "higher"
smallest_difference = 0.0
"""


def is_text(done: Done) -> None:
    """Nothing came out but line ends, tabs and characters that can be seen."""
    for stream in (done.out, done.err):
        unseen = {
            character
            for character in stream
            if unicodedata.category(character) in ("Cc", "Cf", "Cs") and character not in "\n\t"
        }
        assert not unseen, (unseen, stream)
    assert "Traceback" not in done.said


@pytest.fixture(scope="module")
def hostile(make_module_bench: Callable[[], Bench]) -> Bench:
    """A benchmark in which whoever says anything says it with malice; dev-run, and run as e0.0.1.

    The experiment is run twice, for its first start ends in failures.
    """
    bench = make_module_bench()
    bench.settings(benchmark={"name": HOSTILE, "kind": HOSTILE}, run={"max_permanent_errors": 99})
    bench.params(f"[Params({HOSTILE!r}), Params('[a-z]+'), Params('[b]+')]")
    bench.dataset(
        f"return [{{'id': f'i{{n}}' + {HOSTILE!r}, 'label': n % 2, 'x': n}} for n in range(8)]"
    )
    bench.predict(
        f"""
        hostile = {HOSTILE!r}
        if item["x"] == 1:
            raise ValueError(hostile)
        if item["x"] == 2:
            return {{"error": hostile, "error_type": hostile}}
        if item["x"] == 3:
            return {{"prediction": {{"no": hostile}}, hostile: 1}}
        return {{"prediction": hostile, "ground_truth": hostile, "raw_response": hostile,
                 "language": hostile + str(item["x"] % 2)}}
        """
    )
    bench.score(SCORE)
    bench.file("PLAN.toml", PLAN)
    bench.file("data/[x] \x1b[31m.csv", "1\n")
    return bench


def test_every_command_shows_hostile_text_as_text(hostile: Bench) -> None:
    bench = hostile

    def run(*command: str, expect: int | None = None) -> str:
        done = bench.run(*command, expect=expect)
        is_text(done)
        return done.said

    shown = run("dev-run", "--items=1000", expect=1)
    assert "[a-z]+" in shown
    assert "[b]+" in shown
    assert "⟨U+001B⟩]52;c;cm0=" in shown
    assert "[/x] [red]" in shown
    assert "⟨U+202E⟩" in run("inspect")
    run("ready")
    run("data")
    run("dry-run")
    run("explain", "i3")
    run("explain", f"i3{HOSTILE.replace(chr(0), '')}")
    run("schema")
    bench.commit()
    allow = f"{OPENED},failures,validation,inspect,plan,schema,items"
    assert "failed" in run("experiment", "e0.0.1", "--allow", OPENED, expect=1)
    message = HOSTILE.replace("\0", "")
    tagged = run("experiment", "e0.0.1", "--allow", allow, "--message", message, expect=0)
    assert "by correct 3 of them may be the best" in tagged
    assert "[INST]" in run("tags", expect=0)
    assert "by correct" in run("tags")
    for name in ("e0.0.1", "dev"):
        run("summary", name)
        run("report", name)
        run("rescore", name)
        run("compare", name)
    run("compare", "e0.0.1:model=[/x]\x1b[31m", "e0.0.1:model=[b]+")
    run("spot-check", "--items=2")
    run("spot-check")
    run("validate")
    run("cache-hits")
    run("sql", "--query", "SELECT * FROM predictions")
    run("sql", "--query", "SELECT * FROM predictions", "--phase=dev")
    run("sql", "--query", f"SELECT '{message}' AS \"{message}\"", expect=0)
    run("sql", "--query", f"SELECT {message}")
    run("sql", "--file", f"{message}.sql", expect=2)
    run("sql", "--query", "SELECT 1", "--out", f"{message}/x.csv", expect=2)
    run("sql", "--query", "SELECT 1", "--set", message.replace("=", ""), expect=2)
    for command in ("experiment", "discard", "summary", "rescore", "explain", "compare"):
        run(command, "--", message)
    run("retag", message, message)
    run(message, expect=2)
    run("dev-run", f"--items={message}", expect=2)
    run("dev-run", f"--{message}", expect=2)
    run("schema", "rename", message, message, expect=2)


def test_scripts_and_machine_readable_output_are_text_too(hostile: Bench) -> None:
    hostile.run("dev-run", "--items=1000", expect=1)
    database = str(hostile.dev_db)
    for script, *arguments in (
        ("validate_benchmark", database),
        ("analyze_cache_hits", database),
        ("export_summary", database),
        ("validate_benchmark", database, HOSTILE.replace("\0", "")),
        ("export_summary", database, "predictions", HOSTILE.replace("\0", "")),
    ):
        source = f"""
            import runpy, sys
            sys.argv = [{script!r}, *sys.argv[1:]]
            sys.stderr = sys.stdout
            try:
                runpy.run_path({str(PROJECT / "scripts" / f"{script}.py")!r}, run_name="__main__")
            except SystemExit:
                pass
        """
        is_text(Done(0, hostile.python(source, *arguments).decode(), ""))
    for command in (["inspect"], ["validate"], ["cache-hits"], ["compare", "dev"]):
        done = hostile.run(*command, "--json", expect=None)
        is_text(done)


def test_a_committed_summary_is_as_clean_as_the_report(hostile: Bench) -> None:
    hostile.run("dev-run", "--items=1000", expect=1)
    hostile.run("summary", "dev", "--out", "summary.md", expect=None)
    text = (hostile.root / "summary.md").read_text("utf-8")
    is_text(Done(0, text, ""))
    assert "\\[INST\\]" in text
    assert "<b>" not in text


WHOLE_WAY: list[tuple[int | None, list[str]]] = [
    (1, ["dev-run"]),
    (1, ["inspect"]),
    (0, ["experiment", "e0.0.1", "--message=é", f"--allow={OPENED},failures,validation,inspect"]),
    (None, ["summary"]),
    (0, ["tags"]),
]


@pytest.mark.parametrize(
    ("name", "value", "commands"),
    [
        ("PYTHONIOENCODING", "ascii", WHOLE_WAY[:2]),
        ("PYTHONIOENCODING", "latin-1", WHOLE_WAY[:1]),
        ("LC_ALL", "C", WHOLE_WAY),
    ],
)
def test_nothing_raises_on_a_terminal_that_cannot_show_it(
    make_bench: Callable[..., Bench],
    name: str,
    value: str,
    commands: list[tuple[int | None, list[str]]],
) -> None:
    bench = make_bench(fresh=True)
    bench.params("[Params('漢字 ≤ é'), Params('–')]")
    bench.predict('if item["id"] == "i1":\n    raise ValueError("≠")\nreturn {"prediction": "é"}')
    bench.score("def score(row):\n    return {'größe': 1}")
    bench.file("notes/é.txt", "ü")
    bench.commit("é")
    for code, command in commands:
        done = finished(bench.start(*command, PYTHONUTF8="0", **{name: value}))  # type: ignore[arg-type]
        assert "Traceback" not in done.said
        assert code in (None, done.code), done
    if len(commands) == len(WHOLE_WAY):
        [row] = bench.sql("SELECT message FROM runs")
        assert row["message"] == "é"
        assert "model=漢字 ≤ é" in bench.git("tag", "--list", "--format=%(contents)")


def test_a_failure_with_half_a_character_in_its_words_is_replaced_at_the_next_start(
    bench: Bench,
) -> None:
    bench.predict("""if item["id"] == "i1":
    raise ValueError("half \\ud800")
return {"prediction": True, "ground_truth": item["label"]}
""")
    for _ in range(2):
        assert "2 datapoints failed" in bench.experiment("e0.0.1", expect=1).said
    assert len(bench.rows()) == 8
    assert bench.executed()["low", "i1"] == 2


def test_a_terminal_that_is_one(hostile: Bench) -> None:
    source = """
        import pty, sys
        sys.exit(pty.spawn([sys.executable, "-m", "harness", *sys.argv[1:]]) >> 8)
    """
    hostile.run("dev-run", "--items=1000", expect=1)
    query = "SELECT * FROM predictions"
    for command in (["sql", "--phase=dev", "--format=csv", f"--query={query}"], ["dry-run"]):
        shown = hostile.python(source, *command).decode()
        assert "]52;c;cm0=" in shown
        assert "\x1b]52" not in shown
        assert "\u202e" not in shown


def test_a_param_of_twenty_thousand_characters_is_shortened_everywhere(bench: Bench) -> None:
    bench.params("[Params('x' * 20000 + end) for end in 'ab']")
    bench.experiment("e0.0.1")
    subject, *lines = bench.git("tag", "--list", "--format=%(contents)").splitlines()
    assert "by correct" in subject
    assert len(subject) < 400
    named = [each for each in lines if each.startswith("model=")]
    assert len(named) == 2
    assert all("correct=" in each for each in named)
    assert all(len(each) < 400 for each in lines)
    for command in ("summary", "tags", "dry-run"):
        assert max(map(len, bench.run(command, expect=None).out.splitlines())) < 1000
    # What is cut still tells one configuration from the other.
    assert len(set(bench.run("dry-run").out.splitlines())) == 3
