"""A run as one self-contained page: no script, no link, nothing loaded, all text escaped (`templates.py`)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..locate.overlay import DISCLAIMER, make_scale
from .pictures import MAX_BYTES, MAX_MAP_BYTES, Room
from .run import ReportRow, RunReport, say_value
from .templates import embed_picture, format_percent, render_template

READING = (
    "Each score lies between 0 and 1: how much more the study matches the statement of the finding than its "
    "negation, or, in a set without negations, than the set's other labels. It is not a probability of disease."
)
WITH_LIMITS = " The red mark is this site's threshold; scores that reach it are bold, with a sign."
SORTED = " Click a label to see the highest scores first."
FEW = 8  # labels that a sheet of paper has columns for
SHOWN_PROMPTS = 4  # of one label
HIDDEN = frozenset({"notices", "prompt_reading", "slots", "reading", "decoders", "pixels_sha256", "scored_at"})
MADE_BY = b'<meta name="generator" content="alta-sdk">'
MAPS = (
    "The similarity of the phrase with each patch of the radiograph, on one scale for all studies of the run. What "
    "the model did not see is dark, and what matches least keeps its own grey. The map shows what the model compares: "
    "it has not been shown to find findings."
)


def is_page(head: bytes) -> bool:
    """Tell by its first bytes whether a file is such a page."""
    return head.startswith(b"<!DOCTYPE html>") and MADE_BY in head


def render_page(report: RunReport) -> str:
    """Return the page of a run, as HTML 5."""
    told = [*report.provenance.get("notices", ()), *report.provenance.get("prompt_reading", ())]
    has_limits = any(row.thresholds for row in report.rows)
    pictures, maps = Room(MAX_BYTES), Room(MAX_MAP_BYTES)
    for number, row in enumerate(report.rows, start=1):
        pictures.take([one.source for one in row.pictures], number)
    groups = [found for phrase in range(len(report.phrases)) if (found := _collect_maps(report, phrase, maps))]
    left_out = [*_say_left_out(pictures, "radiographs"), *_say_left_out(maps, "heat maps")]
    return render_template(
        "page.html",
        engine=report.provenance.get("engine", "an engine"),
        summary=_summarise(report),
        notices=list(dict.fromkeys([*told, *left_out, f"{DISCLAIMER}."])),
        reading=READING + (WITH_LIMITS if has_limits else "") + (SORTED if len(report.rows) > 1 else ""),
        report=report,
        few=FEW,
        places=_place_rows(report),
        pictures=pictures,
        prompts=[(name, _quote(one.positive), _quote(one.negative)) for name, one in report.prompts.items()],
        read=list(_list_read(report)),
        maps=groups,
        about_maps=MAPS,
        scale=embed_picture(make_scale()) if report.phrases else "",
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


def _place_rows(report: RunReport) -> list[str]:
    """Return for each study where it stands if a label sorts the table, as CSS: the highest first, errors last.

    The page runs no script: its style orders the rows by these numbers.
    """
    places: list[list[str]] = [[] for _ in report.rows]
    for number, label in enumerate(report.labels, start=1):
        ordered = sorted(range(len(report.rows)), key=lambda place: -report.rows[place].scores.get(label, -1.0))
        for rank, place in enumerate(ordered):
            places[place].append(f"--s{number}:{rank}")
    return [";".join(own) for own in places]


def _quote(prompts: Sequence[str]) -> str:
    """Return a label's first prompts in quotation marks, and how many more there are."""
    more = f" and {len(prompts) - SHOWN_PROMPTS} more" if len(prompts) > SHOWN_PROMPTS else ""
    return ", ".join(f"“{prompt}”" for prompt in prompts[:SHOWN_PROMPTS]) + more


def _list_read(report: RunReport) -> Iterable[tuple[int, str, str, str]]:
    """Yield each radiograph that was read: the study's number, slot, decoder, hash of the pixels."""
    for number, row in enumerate(report.rows, start=1):
        for slot, sha256 in row.origin.get("pixels_sha256", {}).items():
            yield number, slot.replace("_", " "), row.origin["decoders"][slot], sha256


def _say_left_out(room: Room, what: str) -> list[str]:
    if not room.studies:
        return []
    return [f"The {what} of {len(room.studies)} studies are left out to keep the page small: score fewer in a run."]


def _collect_maps(report: RunReport, phrase: int, room: Room) -> dict[str, Any]:
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
            "source": source,
            "told": f"study {number}: cosine {one.cosine:.3f}, local {one.local_cosine:.3f}",
        }
        for number, one in maps
        if not room.studies and room.take([source := embed_picture(one.paint(limits))], number)
    ]
    room.studies.update(number for number, _ in maps[len(shown) :])
    return {"phrase": report.phrases[phrase], "low": low, "high": high, "maps": shown}


def list_provenance(provenance: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield names and values as a page shows them, but for those that it shows elsewhere."""
    for name, value in provenance.items():
        if name not in HIDDEN:  # shown above; of one study alone
            yield name.replace("_", " "), say_value(value) or "-"
