"""Were the zero-shot prompts taught? A run counts them in its training texts, and its model card says so.

A model whose texts hold "There is edema." has been taught a label; one whose texts do not has to make it
out of other words. Only counts are kept, never a text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from alta_sdk.errors import CheckpointError
from alta_sdk.matching.prompts import make_pair

from ..data.labelled import count_findings, spell_finding
from ..data.records import read_table

PROMPT_SENTENCES = "prompt_sentences"  # the key in a checkpoint's metadata


def state_prompt_sentences(table: Path, root: Path | None, finding: str, labelled: Path | None) -> str:
    """Return what a run states of its training table, as JSON, for the finding and those that `labelled` names.

    Raises TrainingError for a table that cannot be read.
    """
    findings = {finding: 0, **(count_findings(labelled) if labelled else {})}
    return count_prompt_sentences([record.report for record in read_table(table, root)], findings)


def count_prompt_sentences(reports: Sequence[str], findings: Iterable[str]) -> str:
    """Count the reports that hold the sentences "There is …." and "There is no …." of each finding: JSON.

    {"reports": 556, "findings": {"edema": [55, 281]}}
    """
    held = {spell_finding(name): [_count(reports, prompt) for prompt in _spell_pair(name)] for name in findings}
    return json.dumps({"reports": len(reports), "findings": held})


def tell_prompt_sentences(stated: Mapping[str, str], finding: str) -> str:
    """Say in words what a checkpoint's metadata states for a finding, or that it states nothing.

    Raises CheckpointError for a statement that is none.
    """
    try:
        content = json.loads(stated.get(PROMPT_SENTENCES, "{}"))
        counts = content.get("findings", {}).get(spell_finding(finding))
        if counts is not None and not all(isinstance(one, int) for one in (content["reports"], *counts[:2], counts[1])):
            raise TypeError("a count is not a number")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"checkpoint's metadata is damaged: {PROMPT_SENTENCES} holds no counts") from error
    present, absent = (f"“{prompt}.”" for prompt in _spell_pair(finding))
    if counts is None:
        return f"The run does not state whether its training texts hold the sentences {present} and {absent}"
    reports = f"{content['reports']:,} texts of the training table"
    if not any(counts):
        return f"None of the {reports} holds the sentence {present} or {absent}"
    return (
        f"Of the {reports}, {counts[0]:,} hold the sentence {present} and {counts[1]:,} {absent} "
        "The model has been taught this label in these words, as the baselines have been taught it."
    )


def _spell_pair(finding: str) -> tuple[str, str]:
    label = make_pair(spell_finding(finding))
    return label.positive[0], label.negative[0]


def _count(reports: Sequence[str], prompt: str) -> int:
    return sum(f"{prompt}.".lower() in report.lower() for report in reports)
