"""Does a description count several views: "2 VIEWS", "in zwei Ebenen", "2 proiezioni", "2方向"?

Takes text that `words.py` has brought to one form. Such a description stands on every image of the examination, also
where it names one view beside the count, so it tells nothing about one of them.
"""

import re
from functools import cache

from .words import fold

# How words begin that a number of views stands before: views, projections, directions, pictures.
_THINGS = (
    "view vw vue vist vedut ansicht eben ebn proj proy proi incid aufn bilde bille plan richt rikt retn suun yon "
    "kuva snim zdj posi pozi exposure film cliche placa placche foto opname tagn optag image angle direction "
    "direcc direz lastre rzut smer irany felvetel radiogr прое "
    "снимк уклад προβολ 方向 体位 體位 位 面 枚 张 張 像 방향 면 매 장"
)
_SHORT_THINGS = "v vs p eb inc pr poz pos dir opn exp"  # whole words; and "2e", "2r" without a blank
_NUMBERS = (
    "two three four five zwei zwo drei vier deux trois quatre dos tres cuatro due tre quattro duas dois quatro "
    "dwa dwie dwoch dwu trzy trzech två to tva fire fyra kaksi kahden kahdessa kahdesta kolme kolmesta twee drie "
    "vier dva dve dvou dvěma dvema tri tři třech dveh dvije iki üç uc doua két ket ketto harom два две двух двум "
    "трех три δύο ii iii both beide beiden beider ambas ambos ambe entrambe entrambi begge båda bada bägge baegge "
    "molemmat obie obe oba multiple multi several mehrere mehreren plusieurs varias varios più piu diverse flere "
    "flera useita"
)
_FILLERS = (
    r"or|more|mas|of|x|mal|standard|routine|different\w*|verschieden\w*|orthogonal\w*|plain|add\w*|pa|ap|lat|chest|"
    r"thorax|torax|torace|senkrecht\w*|ortogonal\w*|perpendicular\w*|х|ух|мя"
)
_TWO_IN_ONE = (
    r"\bbi\W?(?:plan|proj|proi|proy|direc|direz)|\b(?:двух|dwu|dvou|dvoj|ket|iki|zwei)\W?(?:прое|proj|irany|yon)"
)
_PLURALS = (
    "views vws ebenen projections projektionen proiezioni proyecciones projecoes incidencias incidences aufnahmen "
    "projekcje projekce projektioner projeksjoner projekcii richtingen opnamen"
)


def counts_views(text: str) -> bool:
    """True if unified text speaks of two or more views, in digits or in words."""
    return _compile_count().search(text) is not None


@cache
def _compile_count() -> re.Pattern[str]:
    """Compile when a first text is read."""
    long = rf"(?:{_any_of(_THINGS)})"
    digits = r"(?<![\d.,])(?:[2-9]|1\d)(?!\d)(?:nd|rd|th)?"
    number = rf"(?:{digits}|\b(?:{_any_of(_NUMBERS)})(?:\b|(?={long}))|[二两兩双雙両三四두세양])"
    thing = rf"(?:{long}|(?:{_any_of(_SHORT_THINGS)})\b|(?<=\d)[er]\b)"
    return re.compile(
        rf"{number}\W*(?:(?:{_FILLERS})\b\W*){{0,3}}{thing}|{_TWO_IN_ONE}"
        rf"|(?:>|\bmore than|\bmehr als|\bplus d.|\bmas de|\bpiu di)\s*(?:1|one|eine\w?|une?|una)\W*{thing}"
        rf"|\b(?:{_any_of(_PLURALS)})\W{{0,3}}(?:x\W?)?[2-9](?!\d)"
        r"|(?<!\d)(?<!\d\W)\b[xх×]\W?[2-4]\b(?!\W?[x\d])"  # "PA X 2"; "14 X 17" is a cassette
    )


def _any_of(words: str) -> str:
    return "|".join(sorted(map(re.escape, dict.fromkeys(fold(words).split())), key=len, reverse=True))
