"""Words of other languages and spellings: views, two views in one description, the chest, placeholders."""

import time

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
    *("AP decúbito", "AP en decúbito", "AP decub supino", "AP decub. supine", "AP supine decubitus", "Face, décubitus"),
    *("CHEST PA 1 VIEW", "1 VIEW AP", "Chest one view AP", "CHEST1V AP", "AP single view", "Thorax 1 Ebene pa"),
    *("Thorax p.a. 1. Ebene", "Tórax 1 incidência PA", "PA inspiration profonde", "PA inspiración profunda", "胸部PA"),
    *("PA SID 180", "AP latitude", "CHEST AP 2 HR POST", "Raum 2 Thorax p.a.", "AP perfusion", "PA performed 10:32"),
    *("AP 2 hours after", "Thorax AP liggend", "klatka piersiowa PA", "plíce PA", "AP bedside", "Thorax AP im Bett"),
    *("RX TORACE AP A LETTO", "Tórax AP en cama", "PA view 1 of 1", "PA+", "Thorax PA stehend", "双肺正位"),
    *("胸部正面(両側)", "PA 125 kV", "AP 90 kVp", "Thorax AP Querformat", "Torax frontal", "RTG klp AP"),
    *("Thorax frontal, debout", "posterior-anterior", "Chest anterior posterior", "AP Bock", "AP chest top"),
    *("PA Dr. Seitz", "PA 立位", "Thorax a.p. liegend", "CHEST PA W/ MARKERS", "S+P zadopřední", "Ngực thẳng"),
    *("CHEST PA 14X17", "CHEST PA 14 X 17", "PA CHEST X 1", "radiografie toracica de fata"),
]
LATERAL = [
    *("L.L.", "L-L", "L L", "Lat.", "L.A.T.", "Tórax perfil", "Thorax seitl.", "Thorax dwars", "klatka boczne"),
    *("Poumons, profil gauche", "latero-laterale", "hrudník boční", "胸部側面", "ОГК боковая", "keuhkot sivukuva"),
    *("CHEST LAT 1 VIEW", "Lateral left", "Thorax seitlich li.", "profil", "perfil", "Tórax LL", "seitlich"),
    *("胸部侧位", "Thorax seitl. 1 Ebene", "Tórax perfil izquierdo", "흉부 측면", "側面像", "LAT erect", "R LAT"),
    *("Lateral in piedi", "Ngực nghiêng"),
]
TWO_VIEWS = [
    *("Torax PA y perfil", "Thorax pa/seitl.", "AP/LAT", "Thorax face et profil", "pa en dwars", "PA i boczne"),
    *("Tórax PA e perfil", "Thorax p.a. u. seitl.", "P.A.+L.L.", "PA&LL", "PA, lat.", "PA-LAT", "PA L", "AP + L"),
    *("PA LAT", "CHEST (PA AND LAT)", "Rtg PA a boční", "PA ve yan", "Chest PA/Lateral 2 views", "胸部正侧位"),
    *("Thorax PA y xyz", "PA e P", "PA u. Qu.", "PA / zzz", "PA + zzz", "zzz & AP", "Грудь прямая и боковая"),
    *("PA og side", "PA og sidebilde", "PA y oblicua", "PA och sned", "PA and lordotic", "PA plus laterolateral"),
    *("PA PERF.", "PA LATL", "PA LTL", "PA z boku", "PA bokiem", "PA SIDEN", "PA sivulta", "PA front sideways"),
    *("PA, Lt.", "PA and left", "PA & Lt", "PA-P", "PA prof.", "PA, profl", "PA latéral", "PA sidobild", "PA sida"),
    *("PA sivukuva", "PA yandan", "PA bočně", "PA zijdelings", "PA oldalról", "прямая, бок.", "PA в профиль"),
    *("PA лат.", "PA/sett fra siden", "PA z profilu", "PA, da lato", "PA LATERALE SX", "胸部正・側", "正位、侧位"),
    *("胸部 PA, 側面", "흉부 정측면", "PA 측면", "胸部PA+LAT像", "LAT, front", "profil, von vorn"),
    *("seitlich, anterior", "bok, przednie PA", "PA costado", "PA de lado", "PA de côté", "PA di fianco", "PA zboku"),
    *("PA z leve strany", "PA strana", "PA (lado)", "PA ja sivu", "PA и zzz", "PA und von links", "PA/links"),
    *("胸部PA和侧位", "Radiografie toracica fata si profil", "Thorax PA dan samping", "Krūškurvis PA un sānu"),
    *("צילום חזה PA ולטרלי", "PA eta alboa", "PA kaj flanko", "صدر PA وجانبي", "छाती PA और लेटरल", "PA ir šoninė"),
    *("PA və yan", "mellkas PA és oldalirányú", "PA dhe anësore", "PA และด้านข้าง"),
]
# A count of two or more on a description that names one view.
TWO_COUNTED = [
    *("PA 2 VIEWS", "CHEST 2VW PA", "Thorax p.a. 2 Ebenen", "RX TORACE 2 PROIEZIONI PA", "CHEST PA 2V", "2 V AP"),
    *("CHEST 2 VIEWS, LAT", "CHEST PA TWO VIEWS", "AP 2-view", "3 views PA", "PA 2+ views", "PA 2 or more views"),
    *("CHEST PA MINIMUM 2 VIEWS", "PA 2 additional views", "PA views: 2", "PA VIEWS X 2", "PA both views"),
    *("2 PA VIEWS", "PA multiple views", "Thorax pa zwei Ebenen", "Thorax pa in 2 Eb.", "Thorax p.a. 2E"),
    *("Thorax pa zweiebenen", "Thorax ap 2 Aufnahmen", "Thorax pa beide Ebenen", "Thorax pa 2. Ebene"),
    *("Thorax ap in 2 Projektionen", "Thorax face 2 incidences", "Thorax face, deux incidences"),
    *("Thorax face 2 clichés", "Tórax PA 2 proyecciones", "Tórax PA dos proyecciones", "Tórax AP 2 placas"),
    *("Tórax PA duas incidências", "Tórax PA 2 incid.", "Tórax PA 2P", "Torace PA due proiezioni", "Torace PA 2 pr."),
    *("Torace AP 2 radiogrammi", "RTG PA 2 projekcje", "PA w dwóch projekcjach", "Lungor frontal 2 projektioner"),
    *("PA två projektioner", "Thorax PA 2 planer", "PA to projektioner", "PA 2 retninger", "Thorax PA 2 plan"),
    *("PA to plan", "Keuhkot PA 2 suuntaa", "PA kahdesta suunnasta", "Thorax PA 2 richtingen"),
    *("Thorax PA twee opnamen", "PA 2 projekce", "PA ve dvou projekcích", "PA 2 snímky", "Akciğer PA 2 yön"),
    *("PA iki yönlü", "ОГК прямая в двух проекциях", "прямая, 2 проекции", "прямая 2-х проекциях", "胸部正位 2方向"),
    *("胸部PA 二方向", "胸部正面2方向", "胸部正面２方向", "胸部正位两位", "胸部PA 2張", "흉부 PA 2방향"),
    *("흉부 정면 2매", "PA II Ebenen", "PA biplane", "Chest PA > 1 view", "PA more than one view", "胸部PA 2R"),
    *("Thorax pa 2 Ebn.", "PA 2 vedute", "thorax 2ebn pa", "CHEST PA X 2", "PA x2", "Thorax PA х 3"),
]
OTHER = [
    *("cross-table lateral", "AP decúbito lateral", "schräg", "Tórax oblicua", "AP axial", "X-table", "AP decubitus"),
    *("AP decúbito izquierdo", "AP decúbito lat. der.", "decubitus", "AP left lateral decubitus", "PA decubito destro"),
    *("Face, décubitus latéral gauche", "dorsal decubitus", "decubitus, 2 views", "胸部 側臥位", "AP LLD"),
    *("AP decub. sx",),
]


@pytest.mark.parametrize(
    ("view", "text"),
    [(View.FRONTAL, text) for text in FRONTAL]
    + [(View.LATERAL, text) for text in LATERAL]
    + [(View.UNKNOWN, text) for text in TWO_VIEWS + TWO_COUNTED]
    + [(View.OTHER, text) for text in OTHER]
    + [(View.UNKNOWN, text) for text in ("", "L", "Thorax", "CHEST 2 VIEWS", "Thorax in 2 Ebenen", "Exposure profile")],
)
def test_a_view_is_told_in_any_spelling_and_two_tell_none(view, text):
    assert match_view(unify(text)) is view
    assert match_view(unify(text.upper())) is view
    assert match_view(unify(text.replace(" ", "_"))) is view


@pytest.mark.parametrize(
    "piece", ["2 ", "2", "sid ", " ", "pa ", "a-", "two or more ", "supin", "decub ", "views ", "> "]
)
def test_a_long_description_takes_no_longer_than_its_length(piece):
    started = time.process_time()
    for start in ("", "sid", "pa 2", "decub", "views", ">"):
        match_view(unify(start + piece * (20_000 // len(piece))))
    assert time.process_time() - started < 3


CHESTS = [
    *("CHEST", "chest", "TORAX", "TÓRAX", "THORAX", "TORACE", "POITRINE", "PULMON", "PULMÓN", "PULMÃO", "POLMONI"),
    *("LUNGE", "BRUSTKORB", "POUMONS", "BRÖSTKORG", "CXR", "CHESTPA", "CHEST PA", "CHEST_PA", "CHESTLAT", "CHEST2"),
    *("CHEST2V", "CHEST 2 VIEWS", "CHEST2VIEWS", "TORAXPA", "THORAX-AP", "CHEST P.A.", "RXTORAX", "CHESTXR", "胸部"),
    *("CHESTPALAT", "CHEST XRAY", "ГРУДНАЯ КЛЕТКА", "HRUDNÍK", "AKCİĞER", "KLATKA PIERSIOWA", "KLATKA"),
    *("KLATKI PIERSIOWEJ", "RTG KLP", "CAGE THORACIQUE", "CAJA TORACICA", "CASSA TORACICA", "GABBIA TORACICA"),
    *("CAIXA TORÁCICA", "CAVIDAD TORACICA", "PECHO", "PETTO", "BRUST", "THX", "CHST", "PCXR", "CXRAY", "CHESTS"),
    *("PULMONAR", "PULMONAIRE", "PULMONARY", "POLMONARE", "TELERX", "TELERADIOGRAFIA DE TORAX", "胸腔", "肺部", "肺野"),
    *("双肺", "THORAXAUFNAHME", "THORAXFOTO", "LUNGEN", "LUNGENÜBERSICHT", "BRÖST", "BRYST", "RINTAKEHÄ", "THORAKS"),
    *("TORAKS", "HRUDNI KOS", "ЛЕГКИЕ", "ОРГАНЫ ГРУДНОЙ КЛЕТКИ", "ОРГАНЫ ГРУДНОЙ ПОЛОСТИ", "흉곽", "폐", "胸廓"),
    *("THORAX STEHEND", "TORACE IN PIEDI", "TORAX DE PIE", "TÓRAX EM PÉ", "CHEST ABDOMEN", "CHEST RIBS", "NECK CHEST"),
    *("CHEST-PA", "THORACIC", "TORACICO", "THORAX, PA", "CHEST/LUNG", "CHEST PORT", "CHEST, ABD", "胸部正面"),
    *("胸部 手術後", "BRUSTRAUM", "PLUCA", "PLUCNI", "PŁUCA", "AKCİĞER GRAFİSİ", "GÖĞÜS"),
]
OTHER_PARTS = [
    *("KNEE", "RODILLA", "KNIE", "GENOU", "HAND", "ABDOMEN", "CHESTABDOMEN", "CHSTABDPELV", "TSPINE", "BREAST"),
    *("COLUMNA TORACICA", "THORACIC SPINE", "LONG LEG", "OTHER KNEE", "UNKNOWN HAND", "JANE DOE", "LUNGFISH"),
    *("KNEE CHEST", "CHEST/KNEE", "HAND (LUNGE)", "COLUMNA TORAX", "COLONNA TORACICA", "COLUNA TORÁCICA"),
    *("RACHIS THORACIQUE", "THORACOLUMBAR", "THORACOLUMBAR SPINE", "TORACOLUMBAR", "THORAXWIRBEL", "BRUSTWIRBELSÄULE"),
    *("BRUST WS", "KRĘGOSŁUP PIERSIOWY", "HRUDNÍ PÁTEŘ", "ГРУДНОЙ ОТДЕЛ ПОЗВОНОЧНИКА", "胸椎", "胸腰椎", "흉추"),
    *("胸部 膝", "흉부 무릎", "胸骨", "GENOU THORAX", "TORAX RODILLA", "TORACE GINOCCHIO", "THORAX KNIE"),
    *("KLATKA KOLANO", "BRÖSTKORG KNÄ", "BRYSTKASSE KNE", "KEUHKOT POLVI", "HRUDNIK KOLENO", "AKCİĞER DİZ"),
    *("ЛЕГКИЕ КОЛЕНО", "CHEST HIP", "CHEST_FOOT", "CHEST LEFT HAND", "CHEST+SHOULDER", "THORAXABDOMEN"),
    *("TORACOABDOMINAL", "CHEST TSPINE", "CHEST LSSPINE", "CHEST T SPINE", "LUNGE FINGER", "PULMON TOBILLO"),
    *("TORAX TOBILLO", "POITRINE CHEVILLE", "TORACE SPALLA", "TORAX Y MANO", "TORAX MÃO", "SKALLE", "CHESTKNEE"),
    *("KNEECHEST", "膝", "SPINE CHEST", "THORAX BEIN", "THORAX FUSS", "THORAX FUß", "BRÖSTRYGG", "THORAKAL RYGG"),
    *("THORAX HWS", "TORAX RYGGRAD", "WERVELKOLOM THORACAAL", "SELKÄRANKA RINTA", "DORSAL SPINE CHEST", "TORAX OMURGA"),
    *("胸部脊柱", "흉부 척추", "CHEST EXTREMITY", "ELBOW/CHEST", "PATIENT NAME"),
]
PLACEHOLDERS = [
    *("", "UNKNOWN", "unknown", "OTHER", "NA", "N/A", "N.A.", "n/a", "NONE", "NULL", "UNSPECIFIED", "NOT SPECIFIED"),
    *("UNDEFINED", "UNK", "-", "?", "***", "0", "XXX", "DESCONOCIDO", "INCONNU", "UNBEKANNT", "SONSTIGES", "OTRO"),
    *("UNKOWN", "NOTSTATED", "NOT STATED", "KEINE ANGABE", "NO ESPECIFICADO", "NÃO INFORMADO", "NON SPÉCIFIÉ"),
    *("EJ ANGIVET", "IKKE ANGITT", "NEURČENO", "NIEOKREŚLONE", "BELİRTİLMEMİŞ", "НЕ УКАЗАНО", "未指定", "指定なし"),
    *("기타", "UNKNOWN.", "<none>"),
]


def refuse(body_part, modality="DX", **elements):
    header = Dataset()
    header.Modality, header.BodyPartExamined = modality, body_part
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return refuse_body_part(header)


@pytest.mark.parametrize("body_part", CHESTS)
def test_a_chest_is_known_in_other_words(body_part):
    assert refuse(body_part) == ""
    assert refuse(body_part, modality="OT") == ""


@pytest.mark.parametrize("body_part", OTHER_PARTS)
def test_other_body_parts_stay_out(body_part):
    assert "not a chest radiograph" in refuse(body_part)


@pytest.mark.parametrize("body_part", PLACEHOLDERS)
def test_a_placeholder_is_no_body_part(body_part):
    assert refuse(body_part) == ""
    knee = Dataset()
    knee.CodeValue, knee.CodingSchemeDesignator, knee.CodeMeaning = "72696002", "SCT", "Knee"
    assert "anatomic region" in refuse(body_part, AnatomicRegionSequence=[knee])
    assert "secondary capture" in refuse(body_part, modality="OT")
    assert refuse(body_part, modality="OT", StudyDescription="Rx Tórax") == ""
