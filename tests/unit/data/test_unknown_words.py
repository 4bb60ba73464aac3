"""Reports that a run learns from: their words are counted as the engine counts a prompt's, and told."""

import pytest
from conftest import make_sizes

from alta_sdk import TrainingError
from alta_sdk.engine.prompt_words import describe_unknown
from alta_training.data.synthetic import write_text_model
from alta_training.data.unknown_words import count_unknown_words, state_unknown_words
from alta_training.families.checkpoint import read_text_model

REPORTS = ["There is edema.", "Die Lunge ist frei.", "肺炎 肺炎", "there is edema " * 100]


@pytest.fixture
def text_model(tmp_path):
    write_text_model(tmp_path / "text-model", make_sizes().text.config)
    return read_text_model(tmp_path / "text-model")


def test_words_of_reports_of_any_length_are_counted(text_model):
    counts = count_unknown_words(REPORTS, text_model)
    assert [(one.words, one.unknown, one.is_unread) for one in counts] == [
        (1, 0, False),
        (4, 2, False),  # "Lunge" and "ist" are "lung" and "is" and a letter more
        (4, 4, True),
        (100, 0, False),
    ]
    assert state_unknown_words(counts) == "6 of 109"
    assert describe_unknown(counts)[0].endswith("in 2 of 4 reports; 1 have no word that is known")


def test_reports_of_another_script_alone_are_refused(text_model):
    with pytest.raises(TrainingError, match="none of the 2 reports has a word") as refused:
        count_unknown_words(["肺炎", "骨折"], text_model)
    assert "肺炎" not in str(refused.value)


def test_a_token_with_a_line_separator_in_it_shifts_no_id(text_model, tmp_path):
    vocabulary = tmp_path / "text-model" / "vocab.txt"
    before = text_model.vocabulary
    tokens = [*before[:10], "a\u2028b", "c\x85d", "e\x0cf", *before[10:]]
    vocabulary.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    assert read_text_model(tmp_path / "text-model").vocabulary == tokens
    vocabulary.write_bytes("\r\n".join(tokens).encode())
    assert read_text_model(tmp_path / "text-model").vocabulary == tokens
