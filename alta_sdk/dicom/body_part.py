"""Is this DICOM image a chest radiograph?"""

from typing import TYPE_CHECKING

from .chest_words import names_chest
from .views import DESCRIPTIONS, items_of
from .words import fold, read_text, split_words

if TYPE_CHECKING:
    from pydicom import Dataset

RADIOGRAPHY = frozenset({"CR", "DX", "RG"})
CAPTURES = frozenset({"OT", "SC", ""})  # secondary captures and unstated: chest only if it says so
# A body part of these words alone is as good as none: nobody chose one, or somebody removed it.
PLACEHOLDERS = frozenset(
    fold(word)
    for word in (
        "unknown unk unkn undefined unspecified unassigned undetermined uncertain other others oth na nan none null "
        "nil any all default blank empty missing misc miscellaneous various tbd todo test x xx xxx xxxx "
        "not no sin non ohne stated specified given available applicable defined known set body part bodypart region "
        "exam examined removed deleted redacted anon anonymous anonymized anonymised deidentified masked "
        "desconocido desconocida otro otra otros otras ninguno inconnu inconnue autre autres aucun unbekannt sonstige "
        "sonstiges andere anderes anderer keine sconosciuto altro altra nessuno desconhecido outro outra outros nenhum "
        "onbekend overig overige anders geen okänd annan annat övrigt ukjent ukendt annet andet tuntematon muu "
        "nieznane nieznany inne brak neznámé jiné iné ismeretlen egyéb necunoscut altul bilinmeyen diğer nepoznato "
        "unkown unknow unknwon uknown unknowned notstated notspecified notapplicable notavailable notdefined notgiven "
        "notknown notset unspec noinfo nodata noname noninfo nostated angabe angaben sonst nvt especificado "
        "especificada especificar informado indicado indicada precise specifie specificato definito nie nao ej ikke ei "
        "nezadano neurceno nespecifikovano určeno okreslono okreslone nieokreslone podano angivet angitt angiven "
        "tiedossa määritetty belirtilmemiş yok bekend opgegeven ingen intet "
        "de identified to be determined value nicht definiert definido definida defini definie niet neznama xxxxx "
        "xxxxxx standard generic tbc dummy определено определен определена "
        "не указано указана неуказано нет 未指定 不詳 不详 未知 未定 指定なし なし 無 无 미상 미지정 기타 없음 "
        "неизвестно другое άγνωστο 其他 不明 その他"
    ).split()
)
# PS3.16 CID 4031: chest, thorax and lung, in SNOMED CT and RT
CHEST_CODES = frozenset({"816094009", "51185008", "43799004", "39607008", "T-D3000", "T-28000"})
# Frequent codes of modalities and body parts: an error may quote these, and no other value of a header.
KNOWN_CODES = frozenset(
    "CR CT DX ES IO MG MR NM OT PT PX RF RG SC SR US XA XC "
    "ABDOMEN ANKLE ARM BRAIN BREAST CLAVICLE CSPINE ELBOW EXTREMITY FEMUR FINGER FOOT FOREARM HAND HEAD HEART HIP "
    "HUMERUS JAW KNEE LEG LSPINE LSSPINE NECK PELVIS RIB RIBS SCAPULA SHOULDER SKULL SPINE SSPINE STERNUM TOE TSPINE "
    "WHOLEBODY WRIST".split()
)


def refuse_body_part(header: "Dataset") -> str:
    """Return why this is not a chest radiograph by its header, or nothing.

    A radiograph (CR, DX, RG) whose body part is not stated passes, also where a placeholder stands in its place;
    another kind of image passes only if it says that it shows a chest.
    """
    modality = str(header.get("Modality") or "").strip().upper()
    if modality not in RADIOGRAPHY | CAPTURES:
        return f"not a chest radiograph: modality is {_printable_code(modality)}; {_WAY_OUT}"
    body_part = read_text(header, "BodyPartExamined").strip()
    if not PLACEHOLDERS.issuperset(split_words(body_part)):
        if not names_chest(body_part):
            return f"not a chest radiograph: body part examined is {_printable_code(body_part.upper())}; {_WAY_OUT}"
    elif regions := items_of(header, "AnatomicRegionSequence"):
        if not any(_is_chest(region) for region in regions):
            return f"not a chest radiograph: its anatomic region is coded as another one; {_WAY_OUT}"
    elif modality in CAPTURES and not any(names_chest(read_text(header, key)) for key in DESCRIPTIONS):
        return f"not known to be a chest radiograph: a secondary capture without a body part; {_WAY_OUT}"
    return ""


_WAY_OUT = "pass any_body_part=True (--any-body-part) to score it anyway"


def _is_chest(region: "Dataset") -> bool:
    value = str(region.get("CodeValue") or "").strip().upper()
    return value in CHEST_CODES or names_chest(read_text(region, "CodeMeaning"))


def _printable_code(code: str) -> str:
    # Only codes that DICOM defines (PS3.3 C.7.3.1.1.1, PS3.16 annex L): others may be anything, a name too.
    return code if code in KNOWN_CODES else "not a code that is known here"
