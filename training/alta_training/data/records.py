"""The training table: rows of up to four radiographs and a report, checked as a whole before a run."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from alta_runtimes.choose import default_threads
from alta_sdk.errors import AltaError, TrainingError

from .labelled import split_findings
from .tables import read_rows

# In the order of alta_sdk.Slot; the published train.csv.
COLUMNS = ("image_path", "auxview_image_path", "last_image_path", "last_auxview_image_path")
REPORT = "report"
CAPTION = "caption"
FINDINGS = "radiograph_findings"
MISSING = "-1"
SHOWN_ROWS = 10
Progress = Callable[[Iterable[str | None], int, str], Iterable[str | None]]
ImagePaths = tuple[Path | None, Path | None, Path | None, Path | None]


@dataclass(frozen=True)
class Record:
    """One study and its report; `row` counts the table's data rows from 1, `images` follow the slots.

    caption: a second text of the study; findings: what is labelled in it; None where no objective reads them.
    """

    row: int
    images: ImagePaths
    report: str
    caption: str | None = None
    findings: tuple[str, ...] | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    row: int
    problem: str


def read_table(
    path: Path, root: Path | None = None, *, with_caption: bool = False, with_findings: bool = False
) -> list[Record]:
    """Read a table; relative image paths start at root, or at the table's folder.

    with_caption, with_findings: the table must have the column `caption`, or `radiograph_findings`, too;
    findings are separated by "|".
    Rows without a frontal or a text are kept for the checker. Raises TrainingError for a table that
    is not there, is damaged, lacks columns or has no row.
    """
    base = root or path.parent
    more = [*([CAPTION] if with_caption else []), *([FINDINGS] if with_findings else [])]
    rows = read_rows(path, (*COLUMNS, REPORT, *more))
    return [
        Record(
            number,
            read_record_paths(row, base),
            row[REPORT].strip(),
            row[CAPTION].strip() if with_caption else None,
            tuple(split_findings(row[FINDINGS])) if with_findings else None,
        )
        for number, row in enumerate(rows, start=1)
    ]


def check_records(
    records: Sequence[Record], read: Callable[[Path], object], workers: int = 0, progress: Progress | None = None
) -> list[BadRow]:
    """Check every row and return the bad ones, in order.

    read: raises AltaError for an image that cannot be used; each file is read once, by `workers` threads (0: one
    for each processor: decoders let others work meanwhile). progress: passes items on and counts them.
    """
    paths = sorted({path for record in records for path in record.images if path is not None})

    def find_problem(path: Path) -> str | None:
        if not os.path.isfile(path):
            return "file not found"
        try:
            read(path)
        except AltaError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(workers or default_threads()) as pool:
        found_problems: Iterable[str | None] = pool.map(find_problem, paths)
        if progress is not None:
            found_problems = progress(found_problems, len(paths), "radiographs read")
        problems = dict(zip(paths, found_problems, strict=True))
    bad = []
    for record in records:
        # The column and not the file's name, which may be a patient's.
        found = [
            f"{column}: {problems[path]}"
            for column, path in zip(COLUMNS, record.images, strict=True)
            if path is not None and problems[path]
        ]
        own = "no current frontal image" if record.images[0] is None else None
        texts = {REPORT: record.report, CAPTION: record.caption}
        empty = next((f"empty {name}" for name, text in texts.items() if text is not None and not text.strip()), None)
        problem = own or next(iter(found), None) or empty
        if problem:
            bad.append(BadRow(record.row, problem))
    return bad


def keep_good(records: Sequence[Record], bad: Sequence[BadRow], on_bad_row: str, table_name: str) -> list[Record]:
    """Return the usable records; raise TrainingError if there are bad ones ("stop") or no good one."""
    rows = {row.row for row in bad}
    good = [record for record in records if record.row not in rows]
    shown = "; ".join(f"row {row.row}: {row.problem}" for row in bad[:SHOWN_ROWS])
    if not good:
        raise TrainingError(f"no usable row in {table_name}: {shown}")
    if bad and on_bad_row == "stop":
        raise TrainingError(
            f"{len(bad)} of {len(records)} rows of {table_name} cannot be used: {shown}"
            f"{'; …' if len(bad) > SHOWN_ROWS else ''}; mend them or pass --bad-rows skip"
        )
    return good


def digest_records(records: Sequence[Record]) -> str:
    """Return a SHA-256 of the studies, in order: file names (not folders), texts and, where read, findings.

    A model keeps it, so that what it was trained on can be proved to whoever has the table.
    """
    digest = hashlib.sha256()
    for record in records:
        names = [MISSING if path is None else path.name for path in record.images]
        texts = [record.report, *([record.caption] if record.caption is not None else [])]
        texts += record.findings or ()
        digest.update("\x1f".join([*names, *texts]).encode() + b"\x1e")
    return digest.hexdigest()


def read_record_paths(row: Mapping[str, str], base: Path) -> ImagePaths:
    """Return a row's image paths in the order of the slots, None for a missing one; relative ones start at base."""
    cells = [row[name].strip() for name in COLUMNS]
    images = tuple(None if cell in ("", MISSING) else base / cell for cell in cells)
    return images  # type: ignore[return-value]  # four columns, four slots
