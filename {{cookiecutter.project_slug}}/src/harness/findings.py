"""What a check found, and how it is shown: as text, as JSON, and as the exit code."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from harness.console import RAW, out, runnable, shown, styled

Severity = Literal["error", "warning", "note"]
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    An error makes the numbers wrong, a warning has to be looked at, a note says what could not be
    checked. `count` is how many rows, tasks or items it concerns, `examples` names the first few.
    `experiment` is the one it is about; None (or "") where the table has none or it is about more.
    """

    check: str
    severity: Severity
    message: str
    count: int = 1
    examples: tuple[str, ...] = ()
    fix: str = ""
    experiment: str | None = None


def exit_code(findings: Sequence[Finding]) -> int:
    """1 where there is an error or a warning, else 0."""
    return int(any(finding.severity != "note" for finding in findings))


def show(findings: Sequence[Finding], subject: str, *, as_json: bool = False) -> int:
    """Print the findings about `subject` on standard output, the worst first; the exit code."""
    ordered = sorted(findings, key=lambda finding: tuple(_STYLES).index(finding.severity))
    if as_json:
        listed = [asdict(finding) for finding in ordered]
        print(json.dumps({"subject": subject, "findings": listed}, indent=2))
        return exit_code(findings)
    for finding in ordered:
        mark = (finding.severity, _STYLES[finding.severity])
        out.print(styled(mark, f" {finding.check}: {_flat(finding.message)}"), soft_wrap=True)
        for example in finding.examples:
            out.print(styled((f"        {_flat(example)}", "dim")), soft_wrap=True)
        if finding.fix:
            out.print(styled(("   fix:", "green"), f" {runnable(finding.fix)}"), soft_wrap=True)
    graver = sum(finding.severity != "note" for finding in findings)
    verdict = (many(graver, "finding"), "") if graver else ("no findings", "green")
    out.print(styled(f"{subject}: ", verdict), soft_wrap=True)
    return exit_code(findings)


def unchecked(check: str, why: str, experiment: str | None = None) -> Finding:
    """A note that a check could not be made."""
    return Finding(check, "note", f"not checked: {why}", experiment=experiment)


def _flat(text: str) -> str:
    """Text on one line, so that no recorded text can look like another finding."""
    return shown(" ".join(text.split()), RAW)


def many(n: int, noun: str) -> str:
    """A number with its noun."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def within(experiment: str | None) -> str:
    """The start of a message about one experiment; '' where there are none."""
    return f"{experiment}: " if experiment else ""
