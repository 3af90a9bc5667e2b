"""What is committed beside the database: an experiment's metrics, summary and line in the index.

A forge shows these. A rescore writes them again, so that none says what was in force before.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from harness.console import out
from harness.project.contract import Project
from harness.read.catalogue import Row
from harness.read.views import connect
from harness.record.layout import Place
from harness.tell.report import write_report
from harness.tell.section import to_markdown
from harness.tell.summary import Summary
from harness.tell.tag_message import write_index


def write_metrics(root: Path, tag: str, rows: Sequence[Row]) -> str:
    """Write the metrics in a form that git shows in a diff; returns their place."""
    path = root / _metrics_of(tag)
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return _metrics_of(tag)


def write_summary(project: Project, place: Place, tag: str) -> Summary:
    """The summary, which git keeps, and the report, which `make report` can make again."""
    path = project.root / _summary_of(tag)
    report = project.root / "results" / "reports" / f"{tag}.html"
    with connect([place.db]) as con:
        columns = project.settings.report.item
        found = write_report(con, tag, report, project.kind, columns, project.root)
    path.write_text(to_markdown(f"Results of {tag}", found.sections), encoding="utf-8")
    out.print(f"report: {report.relative_to(project.root)}", markup=False, soft_wrap=True)
    return found


def renew(project: Project, place: Place, tag: str, rows: Sequence[Row]) -> list[str]:
    """Write all of it again after a rescore; returns the files, none of what is not published.

    The line in the index keeps its day: the experiment is no newer for it.
    """
    if not (project.root / _summary_of(tag)).exists():
        return []
    found = write_summary(project, place, tag)
    run = found.experiment.runs[-1] if found.experiment.runs else {}
    day, message = (str(run.get(name) or "") for name in ("published", "message"))
    data = found.experiment.data_version
    index = write_index(project.root, tag, rows, found, data, message, day[:10])
    return [write_metrics(project.root, tag, rows), _summary_of(tag), index]


def _metrics_of(tag: str) -> str:
    return f"results/{tag}.json"


def _summary_of(tag: str) -> str:
    return f"results/{tag}.md"
