"""Is this DICOM image a chest radiograph?"""

import re
from typing import TYPE_CHECKING

from .views import DESCRIPTIONS, items_of, words_of

if TYPE_CHECKING:
    from pydicom import Dataset

RADIOGRAPHY = frozenset({"CR", "DX", "RG"})
CAPTURES = frozenset({"OT", "SC", ""})  # secondary captures and unstated: chest only if it says so
CHEST = frozenset({"CHEST", "THORAX", "LUNG", "LUNGS"})
CHEST_WORDS = frozenset({"chest", "thorax", "cxr", "lung", "lungs"})
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

    A radiograph (CR, DX, RG) whose body part is not stated passes; another kind of image passes only
    if it says that it shows a chest.
    """
    modality = str(header.get("Modality") or "").strip().upper()
    if modality not in RADIOGRAPHY | CAPTURES:
        return f"not a chest radiograph: modality is {_printable_code(modality)}; {_WAY_OUT}"
    body_part = str(header.get("BodyPartExamined") or "").strip().upper()
    if body_part:
        if not CHEST & set(re.split(r"[^A-Z]+", body_part)):
            return f"not a chest radiograph: body part examined is {_printable_code(body_part)}; {_WAY_OUT}"
    elif regions := items_of(header, "AnatomicRegionSequence"):
        if not any(_is_chest(region) for region in regions):
            return f"not a chest radiograph: its anatomic region is coded as another one; {_WAY_OUT}"
    elif modality in CAPTURES and not any(CHEST_WORDS & words_of(header, key) for key in DESCRIPTIONS):
        return f"not known to be a chest radiograph: a secondary capture without a body part; {_WAY_OUT}"
    return ""


_WAY_OUT = "pass any_body_part=True (--any-body-part) to score it anyway"


def _is_chest(region: "Dataset") -> bool:
    value = str(region.get("CodeValue") or "").strip().upper()
    return value in CHEST_CODES or bool(CHEST_WORDS & words_of(region, "CodeMeaning"))


def _printable_code(code: str) -> str:
    # Only codes that DICOM defines (PS3.3 C.7.3.1.1.1, PS3.16 annex L): others may be anything, a name too.
    return code if code in KNOWN_CODES else "not a code that is known here"
