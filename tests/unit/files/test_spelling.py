"""What a screen obeys or hides is spelled; what people write is left as it is."""

import sys
import unicodedata

import pytest

from alta_sdk.files.spelling import spell


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("\x1b[2J\x1b[1;1Hcleared", r"\x1b[2J\x1b[1;1Hcleared"),
        ("\x9b2J", r"\x9b2J"),
        ("one\nStudyError: two\r\t", r"one\nStudyError: two\r\t"),
        ("\u202egnihton\u2066x\u2069", r"\u202egnihton\u2066x\u2069"),
        ("a\u200bb\ufeff\u2028\u2029\U000e0041", r"a\u200bb\ufeff\u2028\u2029\U000e0041"),
        ("name\udcff", r"name\udcff"),
        ("\0\x7f\x85\x00", r"\x00\x7f\x85\x00"),
    ],
)
def test_what_a_screen_obeys_is_an_escape(text, spelled):
    assert spell(text) == spelled


@pytest.mark.parametrize(
    "text", ["pneumonia", r"C:\new\table", "Ergüsse – „links“ 肺炎 ذات\u200cالرئة 👩\u200d⚕", "", "↑ 0.5 ± 0.1"]
)
def test_what_people_write_is_left(text):
    assert spell(text) == text


def test_numbers_and_objects_are_text():
    assert spell(0.25) == "0.25" and spell(None) == "None"


def test_nothing_that_is_obeyed_passes():
    shown = spell("".join(map(chr, range(sys.maxunicode + 1))))
    assert {one for one in shown if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp", "Cs")} == set("\u200c\u200d")
