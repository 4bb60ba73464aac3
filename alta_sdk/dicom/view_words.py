"""What the words of a description say of the side from which an image was taken.

Takes text that `words.py` has brought to one form, gives a view. A description that names two views stands on both
images of an examination, so it tells nothing about one of them: that has to hold for the second view in a language
that is not known here, too, and so a part behind "and" that cannot be read silences the part before it. So does a
count of views (`view_count.py`).
"""

import re
from enum import StrEnum

from .view_count import counts_views
from .words import CHEST_WORDS, fold, split_words


class View(StrEnum):
    """The side from which a radiograph was taken."""

    FRONTAL = "frontal"
    LATERAL = "lateral"
    OTHER = "other"
    UNKNOWN = "unknown"


def _words(text: str) -> frozenset[str]:
    return frozenset(fold(text).split())


FRONTAL_WORDS = _words(
    "pa ap frontal frontale frontales frontaal frontalis frontalt frontaux frontalna frontalne front face frente fata "
    "thẳng depan "
    "прямая прямой передняя οπισθοπρόσθια προσθοπίσθια"
)
LATERAL_WORDS = _words(
    "ll rl lat llat rlat lateral laterale laterales laterais lateralis lateraal lateralt lateralna lateralne lateralni "
    "lateralny lateralno perfil profil profilo seitlich seitliche seitlicher seitliches seitl seitenaufnahme "
    "seitenansicht dwars dwarse boczne boczna boczny boční bočna bočné bočný bočno bočni stranski oldalirányú "
    "oldalirány nghiêng samping sāniskā sāniskais sivukuva sivusuunta sidobild sidebilde sidebillede sideoptagelse "
    "yangrafi "
    "боковая боковой боковую бічна πλάγια πλαγία"
)
# Obliques, decubitus, lordotic and cross-table views are neither frontal nor lateral to the model.
OTHER_WORDS = _words(
    "oblique oblik obl oblicua oblicuo oblicuas obliqua obliquo obliquas obliques schräg schräge schrägaufnahme skośne "
    "skośna šikmá šikmý skrå schuin schuine decubitus decubito decubitos decubital decub lordotic lordotica lordotico "
    "lordotisch lordotische lordotique lordosante apical apicale apicales axial axiale axiaal "
    "swimmers swimmer xtable crosstable lld rld llo rlo lao rao lpo rpo косая"
)
# Beside a frontal view they are a lateral one, so are words that begin like one; alone they may mean a side of the
# body, or something else.
SECOND_WORDS = _words("l p lt ltl side quer yan yandan yanal sana hlið costado lado cote fianco flanc zboku")
SECOND_STEMS = re.compile(
    "lat(?!it|ex|en)|perf(?:$|[il])|prof(?:$|[il])|seit(?!z)|dwars|zij|bok(?:$|[iu])|boc(?!k)|sid(?!$|ero)|siv|oldal|"
    "stran|kulg|sonin|nghieng|бок|боч|биц|бичн|лат|проф|стран|πλαγ|צד|ציד|לטר|جانب"
)
# The same for words beside a lateral view.
FRONT_STEMS = re.compile("front|przed|predo|zado|vorn|anter|poster|edest|etuk|прям|перед|фронт|προσθ|οπισθ")
# Of these alone a part behind "and" is that of the side at which the other view was taken: "PA and left".
SIDES = _words("left right lt rt l r li re links rechts gauche droite izquierda derecha izq der esquerda direita")
LYING = _words("decubito decubitos")  # of an AP view in the languages that say so it is on the back, if no side is said
ON_SIDE = re.compile("lat|left|right|lt$|rt$|l$|r$|li|re|izq|der|esq|dir|sin|des|dx|sn|gau|dro")
AND = re.compile(
    r"[/+&]|[和及与與と및]|\b[וو](?=\w)"  # Hebrew and Arabic glue theirs to the word behind it
    r"|\b(?:y|e|u|i|et|and|und|og|och|oraz|plus|ve|va|və|ja|si|dan|un|ir|es|eta|agus|kaj|dhe|"
    r"и|і|та|ва|және|жана|ба|και|և|եւ|და)\b|\b(?:اور|और|এবং|மற்றும்|మరియు|และ|និង|ແລະ|እና)"
)
# What a part behind "and" may say without being a view: where, how and with what it was taken.
NEUTRAL_WORDS = CHEST_WORDS | _words(
    "abdomen abd rib ribs rippen costillas coste clavicle sternum spine heart cor "
    "portable port mobile bedside bed bett lit cama letto icu er ed ward stat erect upright standing sitting supine "
    "prone stehend liegend sitzend debout couche assis pie decubito ortostatismo in piedi seduto bipedestacion wall "
    "stand bucky grid raster table tisch no non inspiration inspiracion expiration espiracion exspiration insp exp "
    "inspirium exspirium routine rutina routineaufnahme adult child paed ped pediatric infant baby adulto nino view "
    "views vw vws v proj projection projections proyeccion incidence ebene ebenen xr xray rx cr dx dr ddr rtg rad "
    "radiograph radiografia radiographie digital film single one left right r re li dx sin"
)


def match_view(text: str) -> View:
    """Tell a view from unified text; "PA and lateral", "PA 2 views" and "PA + (no known word)" tell nothing."""
    parts = [split_words(part) for part in AND.split(text)]
    views = {view for part in parts if (view := _match_part(part)) is not None}
    if counts_views(text):
        views -= {View.FRONTAL, View.LATERAL}
    return views.pop() if len(views) == 1 else View.UNKNOWN


def _match_part(words: list[str]) -> View | None:
    """Tell the view of one part; None if it is about something else than a view."""
    found = set(words)
    frontal, lateral = bool(found & FRONTAL_WORDS), bool(found & LATERAL_WORDS)
    if found & OTHER_WORDS and not (frontal and _lies_on_back(found)):
        return View.OTHER
    if frontal and (lateral or _begins(found - FRONTAL_WORDS, SECOND_STEMS) or found & SECOND_WORDS):
        return View.UNKNOWN
    if lateral and _begins(found - LATERAL_WORDS, FRONT_STEMS):
        return View.UNKNOWN
    if frontal or lateral:
        return View.FRONTAL if frontal else View.LATERAL
    return None if not found or (found <= NEUTRAL_WORDS and not found <= SIDES) else View.UNKNOWN


def _begins(words: set[str], stems: re.Pattern[str]) -> bool:
    return any(stems.match(word) for word in words)


def _lies_on_back(found: set[str]) -> bool:
    """True if "decubito" or French "decubitus" is all that would make it another view, and no side is named."""
    lying = LYING | {"decubitus"} if "face" in found else LYING
    return found & OTHER_WORDS <= lying and not _begins(found, ON_SIDE)
