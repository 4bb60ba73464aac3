"""Words of other languages and spellings: views, two views in one description, the chest, placeholders."""

import pytest
from pydicom import Dataset

from alta_sdk.dicom.body_part import refuse_body_part
from alta_sdk.dicom.view_words import View, match_view
from alta_sdk.dicom.words import unify

FRONTAL = [
    *("P.A.", "P-A", "P A", "A.P", "A P", "P/A", "p. a.", "Thorax p.a.", "RX TORAX A.P.", "Thorax-PA", "CHESTPA"),
    *("Thorax PA 1/2", "CHEST AP/PA", "Chest AP/Portable", "Thorax und Abdomen ap", "Thorax/PA", "PA w/o grid"),
    *("Thorax de face", "Tórax frente", "Póstero-anterior", "antéro-postérieur", "postero anterior", "tylno-przednie"),
    *("ön-arka akciğer", "胸部正面", "흉부 정면", "ОГК прямая", "Décubitus dorsal, face", "AP decúbito supino"),
]
LATERAL = [
    *("L.L.", "L-L", "L L", "Lat.", "L.A.T.", "Tórax perfil", "Thorax seitl.", "Thorax dwars", "klatka boczne"),
    *("Poumons, profil gauche", "latero-laterale", "hrudník boční", "胸部側面", "ОГК боковая", "keuhkot sivukuva"),
]
TWO_VIEWS = [
    *("Torax PA y perfil", "Thorax pa/seitl.", "AP/LAT", "Thorax face et profil", "pa en dwars", "PA i boczne"),
    *("Tórax PA e perfil", "Thorax p.a. u. seitl.", "P.A.+L.L.", "PA&LL", "PA, lat.", "PA-LAT", "PA L", "AP + L"),
    *("PA LAT", "CHEST (PA AND LAT)", "Rtg PA a boční", "PA ve yan", "Chest PA/Lateral 2 views", "胸部正侧位"),
    *("Thorax PA y xyz", "PA e P", "PA u. Qu.", "PA / zzz", "PA + zzz", "zzz & AP", "Грудь прямая и боковая"),
    *("PA og side", "PA og sidebilde", "PA y oblicua", "PA och sned", "PA and lordotic", "PA plus laterolateral"),
]
OTHER = ["cross-table lateral", "AP decúbito lateral", "schräg", "Tórax oblicua", "AP axial", "X-table"]


@pytest.mark.parametrize(
    ("view", "text"),
    [(View.FRONTAL, text) for text in FRONTAL]
    + [(View.LATERAL, text) for text in LATERAL]
    + [(View.UNKNOWN, text) for text in TWO_VIEWS]
    + [(View.OTHER, text) for text in OTHER]
    + [(View.UNKNOWN, text) for text in ("", "L", "Thorax", "CHEST 2 VIEWS", "Thorax in 2 Ebenen", "Exposure profile")],
)
def test_a_view_is_told_in_any_spelling_and_two_tell_none(view, text):
    assert match_view(unify(text)) is view
    assert match_view(unify(text.upper())) is view
    assert match_view(unify(text.replace(" ", "_"))) is view


def refuse(body_part, modality="DX", **elements):
    header = Dataset()
    header.Modality, header.BodyPartExamined = modality, body_part
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return refuse_body_part(header)


@pytest.mark.parametrize(
    "body_part",
    [
        *("CHEST", "chest", "TORAX", "TÓRAX", "THORAX", "TORACE", "POITRINE", "PULMON", "PULMÓN", "PULMÃO", "POLMONI"),
        *("LUNGE", "BRUSTKORB", "POUMONS", "BRÖSTKORG", "CXR", "CHESTPA", "CHEST PA", "CHEST_PA", "CHESTLAT", "CHEST2"),
        *(
            "CHEST2V",
            "CHEST 2 VIEWS",
            "CHEST2VIEWS",
            "TORAXPA",
            "THORAX-AP",
            "CHEST P.A.",
            "RXTORAX",
            "CHESTXR",
            "胸部",
        ),
        *("CHESTPALAT", "CHEST XRAY", "ГРУДНАЯ КЛЕТКА", "HRUDNÍK", "AKCİĞER"),
    ],
)
def test_a_chest_is_known_in_other_words(body_part):
    assert refuse(body_part) == ""
    assert refuse(body_part, modality="OT") == ""


@pytest.mark.parametrize(
    "body_part",
    [
        *("KNEE", "RODILLA", "KNIE", "GENOU", "HAND", "ABDOMEN", "CHESTABDOMEN", "CHSTABDPELV", "TSPINE", "BREAST"),
        *("COLUMNA TORACICA", "THORACIC SPINE", "LONG LEG", "OTHER KNEE", "UNKNOWN HAND", "JANE DOE", "LUNGFISH"),
    ],
)
def test_other_body_parts_stay_out(body_part):
    assert "not a chest radiograph" in refuse(body_part)


@pytest.mark.parametrize(
    "body_part",
    [
        *(
            "",
            "UNKNOWN",
            "unknown",
            "OTHER",
            "NA",
            "N/A",
            "N.A.",
            "n/a",
            "NONE",
            "NULL",
            "UNSPECIFIED",
            "NOT SPECIFIED",
        ),
        *("UNDEFINED", "UNK", "-", "?", "***", "0", "XXX", "DESCONOCIDO", "INCONNU", "UNBEKANNT", "SONSTIGES", "OTRO"),
    ],
)
def test_a_placeholder_is_no_body_part(body_part):
    assert refuse(body_part) == ""
    knee = Dataset()
    knee.CodeValue, knee.CodingSchemeDesignator, knee.CodeMeaning = "72696002", "SCT", "Knee"
    assert "anatomic region" in refuse(body_part, AnatomicRegionSequence=[knee])
    assert "secondary capture" in refuse(body_part, modality="OT")
    assert refuse(body_part, modality="OT", StudyDescription="Rx Tórax") == ""
