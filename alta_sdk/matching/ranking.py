"""Order reports by how well they match a study.

A report is often longer than the text tower reads. It is then cut after the last whole word that fits,
as the published training and retrieval evaluation cut theirs; which ones were cut is told. A prompt,
in scoring, is still never cut: its end may turn its meaning round, and a label must be read whole.
Reports have words that no vocabulary has: they are counted and told. Only where the engine knows no word
of any report are they refused: their order would say nothing.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..dicom.files import PathLike
from ..engine.clock import tell_time
from ..engine.engine import Engine
from ..engine.prompt_words import list_texts
from ..engine.vectors import require_finite, without_warnings
from ..errors import PromptError
from ..files.opening import open_file
from ..files.tables import read_rows
from .embeddings import StudyEmbedding
from .unknown_words import check_reports


@dataclass(frozen=True)
class RankedReport:
    """One report: its place in what was given, from 0; its cosine with the study; whether it was cut.

    words, unknown_words: of what was read, how many say something, and how many of these the engine does not know.
    """

    row: int
    cosine: float
    is_cut: bool
    words: int = 0
    unknown_words: int = 0

    @property
    def score(self) -> float:
        """The cosine, by its former name."""
        return self.cosine


@dataclass(frozen=True)
class Ranking:
    """Reports, best first, and where the numbers come from; no text of any report is in it."""

    reports: tuple[RankedReport, ...]
    provenance: dict[str, Any]
    scored_at: str = field(default_factory=tell_time, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        origin = {**self.provenance, "scored_at": self.scored_at}
        return {"reports": [asdict(report) for report in self.reports], "provenance": origin}


def rank_reports(engine: Engine, embedding: StudyEmbedding, reports: Sequence[str], origin: dict[str, Any]) -> Ranking:
    """Return every report by its cosine with a study; the first of equal ones first.

    Raises PromptError if there is no report, if one is empty or no text, or if the engine knows no word of any;
    EngineError if a cosine is not finite.
    """
    texts = list_texts(reports, "reports")
    if not texts:
        raise PromptError("reports must be a list of at least one text")
    read = cut_reports(engine, texts)
    words, notes = check_reports(engine, read)
    text = engine.project_prompts(read).astype(np.float64)
    # Row by row, not as one product: equal reports then have equal scores, wherever they stand.
    with without_warnings():  # a text of length 0 has no direction: refused below
        cosines = (text * embedding.vector).sum(axis=1) / np.linalg.norm(text, axis=1)
    require_finite(cosines, "scores are")
    is_cut = [whole != part for whole, part in zip(texts, read, strict=True)]
    ranked = tuple(
        RankedReport(row, float(cosines[row]), is_cut[row], words[row].words, words[row].unknown)
        for row in np.argsort(-cosines, kind="stable").tolist()
    )
    told = {"max_tokens": engine.max_tokens, "reports_cut": sum(is_cut), "report_reading": notes}
    return Ranking(ranked, {**origin, **told})


def cut_reports(engine: Engine, reports: Sequence[str]) -> list[str]:
    """Return each report as far as the text tower reads it; raises PromptError for one that is empty or no text."""
    for number, report in enumerate(list_texts(reports, "reports"), start=1):
        if not report.strip():
            raise PromptError(f"report {number} of {len(reports)} is empty: leave it out, or give its text")
    return [engine.cut_prompt(report) for report in reports]


def read_reports(path: PathLike, column: str = "report") -> list[str]:
    """Read reports: the column of a CSV file, or the lines of any other text file, in UTF-8.

    Raises PromptError for a file that cannot be read or has no report.
    """
    if Path(path).suffix.lower() == ".csv":
        return [row[column] for row in read_rows(Path(path), [column], error=PromptError, name="table of reports")]
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig") as file:
            text = file.read()  # universal newlines; splitlines would cut at form feeds, too
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError("file of reports cannot be read: give text in UTF-8, one report a line") from error
    lines = text.removesuffix("\n").split("\n") if text else []
    if not lines:
        raise PromptError("file of reports is empty: give one report a line")
    return lines
