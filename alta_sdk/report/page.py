"""A run as one self-contained page: no script, no link, nothing loaded, all text escaped.

The threats: a label, a phrase or a file name with markup in it, and a page that tells a server that it was
opened. The page's own policy (CSP) lets it load nothing but its inline style and pictures.
"""

import base64
from collections.abc import Iterable, Mapping
from html import escape as escape_markup
from importlib.resources import files
from string import Template

from ..files.shown import escape_bytes
from ..files.spelling import spell
from ..locate.overlay import DISCLAIMER, Rgb, encode_png, make_colours
from .run import ReportRow, RunReport, SmallMap

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


def escape(text: str) -> str:
    """Return text as HTML that shows it: no markup, and nothing that a browser hides or turns round."""
    return escape_markup(spell(text))


def render_page(report: RunReport) -> str:
    """Return the page of a run, as HTML 5."""
    template = Template((files(__package__) / "page.html").read_text(encoding="utf-8"))
    told = [*report.provenance.get("notices", ()), *report.provenance.get("prompt_reading", ())]
    notices = dict.fromkeys([*told, f"{DISCLAIMER}."])
    has_limits = any(row.thresholds for row in report.rows)
    page = template.substitute(
        engine=escape(str(report.provenance.get("engine", "an engine"))),
        summary=escape(_summarise(report)),
        notices="\n".join(f'<div class="notice">{escape(notice)}</div>' for notice in notices),
        reading=escape(READING + (WITH_LIMITS if has_limits else "")),
        columns="".join(f'<th scope="col">{escape(label)}</th>' for label in report.labels),
        rows="\n".join(_render_row(number, row, report) for number, row in enumerate(report.rows, start=1)),
        maps="\n".join(_render_maps(report, phrase) for phrase in range(len(report.phrases))),
        terms="\n".join(_render_facts(report.terms)),
        provenance="\n".join(_render_facts(_list_origin(report))),
    )
    return escape_bytes(page)


def _summarise(report: RunReport) -> str:
    failed = sum(bool(row.error) for row in report.rows)
    told = f"{len(report.rows) - failed} of {len(report.rows)} studies scored for {len(report.labels)} labels"
    return f"{told}, {report.created}"


def _render_row(number: int, row: ReportRow, report: RunReport) -> str:
    path = f'<span class="path">{escape(row.path)}</span>' if row.path else ""
    if row.error:
        cells = f'<td class="error" colspan="{1 + len(report.labels)}">{escape(row.error)}</td>'
    else:
        cells = f"<td>{escape(_say_seen(row, report))}</td>"
        cells += "".join(_render_score(row.scores[label], row.thresholds.get(label)) for label in report.labels)
    told = "".join(f'<span class="doubt">{escape(notice)}</span>' for notice in row.notices)
    return f'<tr><th scope="row">{number}{path}{told}</th>{cells}</tr>'


def _say_seen(row: ReportRow, report: RunReport) -> str:
    """Name the radiographs that the scores are of, and the fusion mode where it is not that of all studies."""
    seen = ", ".join(row.slots).replace("_", " ") or "-"
    return f"{seen} (fusion {row.fusion_mode})" if report.has_modes else seen


def _render_score(score: float, limit: float | None) -> str:
    """Return a cell with a score's number and bar, and its threshold as a mark."""
    mark = "" if limit is None else f'<span class="limit" style="left:{_percent(limit)}"></span>'
    is_above = limit is not None and score >= limit
    number = f'<span class="above">{score:.3f}</span>' if is_above else f"{score:.3f}"
    told = "" if limit is None else f' title="threshold {limit:.3f}"'
    bar = f'<span class="bar" style="width:{_percent(score)}"></span>'
    return f'<td class="score"{told}>{number}<span class="track">{bar}{mark}</span></td>'


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _render_maps(report: RunReport, phrase: int) -> str:
    """Return the section of one phrase: its scale, and a picture of each study."""
    found = [(number, one) for number, row in enumerate(report.rows, start=1) for one in row.maps]
    maps = [(number, one) for number, one in found if one.phrase == phrase]
    if not maps:
        return ""
    low, high = limits = report.limits_of(phrase)
    figures = "\n".join(_render_map(number, one, _picture(one.paint(limits))) for number, one in maps)
    scale = _picture(make_colours()[None])
    return (
        f"<section>\n<h2>Where “{escape(report.phrases[phrase])}” matches</h2>\n<p>{escape(MAPS)}</p>\n"
        f'<img class="scale" alt="colours from the lowest to the highest similarity" src="{scale}">\n'
        f'<div class="ends"><span>{low:+.3f}</span><span>similarity</span><span>{high:+.3f}</span></div>\n'
        f'<div class="maps">\n{figures}\n</div>\n</section>'
    )


def _render_map(number: int, one: SmallMap, source: str) -> str:
    height, width = one.grey_u8.shape[:2]
    told = f"study {number}: score {one.score:.3f}, local {one.local_score:.3f}"
    return (
        f'<figure><img alt="heat map of study {number}" width="{width}" height="{height}" src="{source}">'
        f"<figcaption>{told}. {DISCLAIMER}.</figcaption></figure>"
    )


def _picture(rgb: Rgb) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(rgb)).decode("ascii")


def _list_origin(report: RunReport) -> dict[str, str]:
    """Return the provenance that holds for all studies; the rest is shown above, or is of one study alone."""
    left_out = ("notices", "prompt_reading", "slots", "reading")
    return {name.replace("_", " "): _say(value) for name, value in report.provenance.items() if name not in left_out}


def _render_facts(facts: Mapping[str, str]) -> Iterable[str]:
    for name, value in facts.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"


def _say(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
