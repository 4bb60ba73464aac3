"""Repairs of texts: the rules give what ftfy 6.3.1 and two of Python's HTML unescapes gave; all else is refused."""

import json
import re

import pytest

from alta_sdk import CheckpointError, IntegrityError, PromptError
from alta_sdk.engine.byte_pairs import make_byte_pairs
from alta_sdk.engine.text_repairs import check_repairable
from alta_sdk.engine.tokenizer import PromptTokenizer, adopt_tokenizer, build_wordpiece

# A text, and what the published cleaning made of it, white space collapsed and in lower case.
CLEANED = [
    ("it’s “small”", 'it\'s "small"'),
    ("‘x’ ‛y‟", "'x' 'y\""),
    ("eﬀusion ﬁbrosis ﬂuid ﬃ ﬄ", "effusion fibrosis fluid ffi ffl"),
    ("Ｃａｒｄｉｏｍｅｇａｌｙ\u3000ＮＯＴ", "cardiomegaly not"),
    ("e\u0301dema", "\u00e9dema"),
    ("a\x07b\ufeffc\u206a", "abc"),
    ("T1 &lt; T2 &amp;amp; &quot;x&quot; &#39;y&#39; &#x27;z&apos;", "t1 < t2 & \"x\" 'y' 'z'"),
    ("a&nbsp;b", "a b"),
    ("&amp;lt;", "<"),
    ("Ǆ ŉ", "dž 'n"),
    ("3.5 cm — µm ± 2° … ½ ≥ é", "3.5 cm — µm ± 2° … ½ ≥ é"),
    ("R&D; naïve", "r&d; naïve"),
    ("x\r\ny\u2028z", "x y z"),
    ("İ ẞ", "i̇ ß"),
]


@pytest.fixture(scope="module")
def normalizer():
    return make_byte_pairs([("n", "o</w>")]).normalizer


@pytest.mark.parametrize(("text", "cleaned"), CLEANED)
def test_rules_clean_as_published(normalizer, text, cleaned):
    check_repairable(text, "prompt")
    assert normalizer.normalize_str(text) == cleaned


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("naÃ¯ve", "another encoding"),
        ("itâ€™s", "another encoding"),
        ("2 Â°", "another encoding"),
        ("2&nbsp;Å&nbsp;", "another encoding"),
        ("it\u201a\u00c4\u00f4s", "another encoding"),  # of a Macintosh
        ("\u212b\xbc", "another encoding"),  # not before it is composed
        ("edema &eacute;", "HTML entity"),
        ("edema &EACUTE;", "HTML entity"),
        ("&copy edema", "HTML entity"),
        ("&#8217;", "HTML entity"),
        ("&amp;amp;amp;lt;", "HTML entity"),
        ("edema\x85", "control characters"),
        ("\x1b[31medema", "control characters"),
        ("ｱ", "half-width"),
        ("ΑΣ", "sigma"),
    ],
)
def test_what_no_rule_repairs_is_refused_without_showing_it(text, words):
    with pytest.raises(PromptError, match=words) as told:
        check_repairable(text, "prompt 1 of 2")
    assert str(told.value).startswith("prompt 1 of 2 ") and not re.search("edema|Ã|â", str(told.value))


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "no", "effusion", "'", '"']


@pytest.mark.parametrize("from_file", [False, True])
def test_a_wordpiece_may_clean_texts_so_before(from_file):
    plain = build_wordpiece(BERT)
    text = adopt_tokenizer(plain, repairs=True) if from_file else build_wordpiece(BERT, repairs=True)
    assert PromptTokenizer(plain, 16).encode(["‘No’ eﬀusion"]) == [[2, 1, 5, 1, 1, 3]]
    tokenizer = PromptTokenizer(text, 16)
    assert tokenizer.encode(["‘No’ eﬀusion"]) == [[2, 7, 5, 7, 6, 3]]
    for prompt in ("&eacute;", "[SEP]"):
        with pytest.raises(PromptError):
            tokenizer.encode([prompt])


def test_rules_of_another_kind_are_refused():
    content = json.loads(build_wordpiece(BERT, repairs=True))
    content["normalizer"]["normalizers"][0]["content"] = "and"
    with pytest.raises(IntegrityError, match="not as an export writes it"):
        PromptTokenizer(json.dumps(content), 16)
    with pytest.raises(CheckpointError, match="is no WordPiece"):
        adopt_tokenizer(build_wordpiece(BERT, repairs=True), repairs=True)
