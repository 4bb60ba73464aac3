"""What a run states of the prompts in its training texts, and what a card makes of it."""

import csv
import json

import pytest

from alta_sdk import CheckpointError
from alta_training.data.records import COLUMNS
from alta_training.evaluation.prompt_sentences import (
    PROMPT_SENTENCES,
    count_prompt_sentences,
    state_prompt_sentences,
    tell_prompt_sentences,
)

REPORTS = [
    "There is edema. There is no pleural thickening. Heart is large.",
    "Lungs: there is edema.",
    "There is no edema. There is edematous tissue.",
    "Edema is seen.",
]


def test_only_the_very_sentences_count():
    stated = json.loads(count_prompt_sentences(REPORTS, ["Edema", "Pleural_Thickening", "Mass"]))
    assert stated == {"reports": 4, "findings": {"edema": [2, 1], "pleural thickening": [0, 1], "mass": [0, 0]}}


def test_a_card_says_what_was_taught_what_was_not_and_what_it_does_not_know():
    stated = {"prompt_sentences": count_prompt_sentences(REPORTS, ["Edema", "Mass"])}
    taught = tell_prompt_sentences(stated, "Edema")
    assert taught.startswith(
        "Of the 4 texts of the training table, 2 hold the sentence “There is edema.” and 1 “There is"
    )
    assert "has been taught" in taught
    assert tell_prompt_sentences(stated, "Mass") == (
        "None of the 4 texts of the training table holds the sentence “There is mass.” or “There is no mass.”"
    )
    for unknown in (tell_prompt_sentences(stated, "Hernia"), tell_prompt_sentences({}, "Hernia")):
        assert "does not state" in unknown and "taught" not in unknown


def test_a_run_counts_the_findings_that_it_is_validated_on(tmp_path):
    with (tmp_path / "train.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[*COLUMNS, "report"], *(["a.png", "", "", "", text] for text in REPORTS)])
    with (tmp_path / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["image", "patient", "findings"], ["a.png", 1, "Edema|Mass"]])
    alone = json.loads(state_prompt_sentences(tmp_path / "train.csv", None, "Pneumonia", None))
    assert alone == {"reports": 4, "findings": {"pneumonia": [0, 0]}}
    more = json.loads(state_prompt_sentences(tmp_path / "train.csv", None, "Edema", tmp_path / "metadata.csv"))
    assert more["findings"] == {"edema": [2, 1], "mass": [0, 0]}


@pytest.mark.parametrize(
    "stated",
    [
        "[" * 100_000,
        "text",
        "7",
        "[]",
        '{"findings": 7}',
        '{"findings": {"edema": 7}, "reports": 1}',
        '{"findings": {"edema": [1]}, "reports": 1}',
        '{"findings": {"edema": ["a", "b"]}, "reports": 1}',
        '{"findings": {"edema": [1, 2]}}',
    ],
    ids=range(9),
)
def test_an_absurd_statement_is_refused(stated):
    with pytest.raises(CheckpointError, match="holds no counts"):
        tell_prompt_sentences({PROMPT_SENTENCES: stated}, "edema")
