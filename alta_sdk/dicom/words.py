"""The words of a header's text, in whatever language and spelling a hospital writes.

Takes free text, gives words that can be looked up: accents are dropped, case is folded, signs and digits part words,
and what hospitals write in pieces ("P.A.", "postero-anterior", "L L") or glued ("CHESTPA") is brought to one form.
"""

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset


def fold(text: str) -> str:
    """Return text in lower case, without accents: "Tórax" is "torax", "Θώραξ" is "θωραξ"."""
    # Letters that have no decomposition are named; of the Hangul, the composed form is looked up.
    apart = unicodedata.normalize("NFKD", text.casefold().replace("ł", "l").replace("ø", "o").replace("ı", "i"))
    return unicodedata.normalize("NFC", "".join(sign for sign in apart if not unicodedata.combining(sign)))


CHEST_WORDS = frozenset(
    fold(word)
    for word in (
        "chest cxr thorax torax torace toraks toraxul lung lungs poitrine poumon poumons pulmon pulmones "
        "pulmao pulmoes pulmo pulmones polmone polmoni plaman plamani lunge lungen lunga lungor lungorna lunger longen "
        "brustkorb borstkas bröstkorg brystkasse hrudník pluca plíce pľúca plućа pluća prsni keuhkot keuhkokuva "
        "mellkas göğüs akciğer teletorax teletorace "
        "chests chst thx thrx thor cxray pcxr telerx pecho petto brust klatka klp rintakehä płuca hrudní bröst bryst "
        "грудь грудной грудная грудная легкие легких огк θώρακας θώρακος θώραξ 胸 胸部 胸片 肺 흉부 가슴 "
        "tüdő плућа гръден дробове krūtinė krūtinės rindkere πνεύμονες πνευμόνων ngực phổi paru piept telecuore"
    ).split()
)
_GLUED = "|".join(sorted((word for word in CHEST_WORDS if word.isascii() and len(word) > 3), key=len, reverse=True))
# What stands behind a chest word without a blank: a view, or how many, or how it was taken.
_TAILS = r"pa|ap|ll|rl|lat|lateral|frontal|v|vw|vws|view|views|xr|xray|port|portable|routine|film"
# In pieces, and the word that they are. Hyphens, dots and blanks stand between pieces.
_PIECES = (
    (r"\b(?:poster(?:o|ior)|anter(?:o|ior)|dorso|ventro)[\s.\-]*(?:anteri|posteri|dorsa|ventra)\w*", " frontal "),
    (r"\b(?:przednio|tylno)[\s.\-]*(?:przedni|tyln)\w*|\b(?:predo|zado)(?:zadni|predni)\w*", " frontal "),
    (r"\b(?:arka|on)[\s.\-]+(?:arka|on)\b|\b(?:voor|achter)[\s.\-]*(?:achter|voor)waarts\w*", " frontal "),
    (r"\blatero[\s.\-]*lateral\w*", " lateral "),
    # Not on the side. "Dorsal decubitus" is: in English a lateral view of somebody who lies on the back.
    (r"\bdecub(?:it\w*)?[\s.\-]+(?:dors\w*|supin\w*|ventr\w*|pron\w*)", " supine "),
    (r"\b(?:supin|pron)\w*[\s.\-]+decub\w*", " supine "),
    (r"\bsid[\s=:]{0,3}\d+", " "),  # the distance from source to image
    (r"\b(?:x|cross|kors)[\s.\-]*(?:table|tisch)\b", " xtable "),
    (r"\bx[\s.\-]*ray", " xray "),
    (r"\bp[\s.\-/]+a\b", " pa "),
    (r"\ba[\s.\-/]+p\b", " ap "),
    (r"\bl[\s.\-]+l\b", " ll "),
    (r"\br[.\-]+l\b", " rl "),
    (r"\bl[.]?a[.]t\b|\bl[.]at\b", " lat "),
    (r"\bw/(?:o\b)?", " "),  # with, without
    (r"\bn[\s./\\]+a\b", " na "),
    (r"\bs\s?\+\s?p\b", " chest "),  # srdce a plíce
    # Written without blanks between words.
    (r"[両两兩双雙][侧側]|양측", " "),  # both sides of the body
    (r"[侧側][卧臥]位?|측와위?", " lld "),
    (r"正(?=[\s・、,，/+&和及与與]*[侧側])|정(?=[\s·・、,/+&]*측)", " frontal "),
    (r"正面|正位|后前位|後前位|前后位|前後位|정면|후전|전후", " frontal "),
    (r"[侧側][面位]?|측면?|横向", " lateral "),
    (r"(?<=[a-z])(?=[\u3040-\u9fff\uac00-\ud7a3])", " "),
    (r"斜位", " oblique "),
    (r"胸部|胸片|흉부", " chest "),
    # Their vowel signs and marks are no letters to Python, or they stand without blanks.
    (f"{fold('छाती')}|{fold('ทรวงอก')}|{fold('ปอด')}|{fold('חזה')}|{fold('صدر')}", " chest "),
    (rf"\b(xr|rx|cr|dx|pa|ap|lat|port|portable)(?=(?:{_GLUED}))", r"\1 "),
    (rf"\b({_GLUED})(?=(?:{_TAILS}|\d)+\b)", r"\1 "),
)


def read_text(header: "Dataset", keyword: str) -> str:
    """Return an element's text with its words in one form, and the signs between them."""
    return unify(str(header.get(keyword) or ""))


def words_of(header: "Dataset", keyword: str) -> set[str]:
    """Return the words of an element in lower case, without accents."""
    return set(split_words(read_text(header, keyword)))


def unify(text: str) -> str:
    """Return text folded, with what is written in pieces or glued as words of their own."""
    folded = fold(text).replace("_", " ")
    for pattern, word in _compile_pieces():
        folded = pattern.sub(word, folded)
    return folded


@cache
def _compile_pieces() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compile when a first text is read: it takes as long as reading ten radiographs, and pictures have no text."""
    return tuple((re.compile(pattern), word) for pattern, word in _PIECES)


def split_words(text: str) -> list[str]:
    """Split unified text into its words: signs and digits part them."""
    return re.findall(r"[^\W\d_]+", text)
