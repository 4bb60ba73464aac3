"""A run as one self-contained page: no script, no link, nothing loaded, all text escaped (`templates.py`)."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..locate.overlay import DISCLAIMER, make_colours
from .run import ReportRow, RunReport
from .templates import embed_picture, format_percent, render_template

READING = (
    "Each score lies between 0 and 1: how much more the study matches the statement of the finding than its "
    "negation, or, in a set without negations, than the set's other labels. It is not a probability of disease."
)
WITH_LIMITS = " The red mark is this site's threshold; scores that reach it are bold."
MADE_BY = b'<meta name="generator" content="alta-sdk">'
MAPS = (
    "The similarity of the phrase with each patch of the radiograph, on one scale for all studies of the run. What "
    "the model did not see is dark. The map shows what the model compares: it has not been shown to find findings."
)


def is_page(head: bytes) -> bool:
    """Tell by its first bytes whether a file is such a page."""
    return head.startswith(b"<!DOCTYPE html>") and MADE_BY in head


def render_page(report: RunReport) -> str:
    """Return the page of a run, as HTML 5."""
    told = [*report.provenance.get("notices", ()), *report.provenance.get("prompt_reading", ())]
    has_limits = any(row.thresholds for row in report.rows)
    return render_template(
        "page.html",
        engine=report.provenance.get("engine", "an engine"),
        summary=_summarise(report),
        notices=list(dict.fromkeys([*told, f"{DISCLAIMER}."])),
        reading=READING + (WITH_LIMITS if has_limits else ""),
        report=report,
        maps=[found for phrase in range(len(report.phrases)) if (found := _collect_maps(report, phrase))],
        about_maps=MAPS,
        scale=embed_picture(make_colours()[None]) if report.phrases else "",
        disclaimer=DISCLAIMER,
        percent=format_percent,
        say_seen=_say_seen,
        terms=report.terms,
        provenance=list(list_provenance(report.provenance)),
    )


def _summarise(report: RunReport) -> str:
    failed = sum(bool(row.error) for row in report.rows)
    told = f"{len(report.rows) - failed} of {len(report.rows)} studies scored for {len(report.labels)} labels"
    return f"{told}, {report.created}"


def _say_seen(row: ReportRow, report: RunReport) -> str:
    """Name the radiographs that the scores are of, and the fusion mode where it is not that of all studies."""
    seen = ", ".join(row.slots).replace("_", " ") or "-"
    return f"{seen} (fusion {row.fusion_mode})" if report.has_modes else seen


def _collect_maps(report: RunReport, phrase: int) -> dict[str, Any]:
    """Return what the section of one phrase shows: its scale, and a picture of each study; empty without a map."""
    found = [(number, one) for number, row in enumerate(report.rows, start=1) for one in row.maps]
    maps = [(number, one) for number, one in found if one.phrase == phrase]
    if not maps:
        return {}
    low, high = limits = report.limits_of(phrase)
    shown = [
        {
            "number": number,
            "width": one.grey_u8.shape[1],
            "height": one.grey_u8.shape[0],
            "source": embed_picture(one.paint(limits)),
            "told": f"study {number}: cosine {one.cosine:.3f}, local {one.local_cosine:.3f}",
        }
        for number, one in maps
    ]
    return {"phrase": report.phrases[phrase], "low": low, "high": high, "maps": shown}


def list_provenance(provenance: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield names and values as a page shows them, but for those that it shows elsewhere."""
    for name, value in provenance.items():
        if name not in ("notices", "prompt_reading", "slots", "reading"):  # shown above; of one study alone
            yield name.replace("_", " "), _say(value)


def _say(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
