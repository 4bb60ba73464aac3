"""Does a header's text name the chest, and nothing that is another part of the body?

Takes text that `words.py` has brought to one form. A chest word beside a limb's or the spine's ("CHEST/KNEE",
"COLUMNA TORAX") does not say that a chest is shown. What DICOM joins to the chest (neck, abdomen) may stand beside it
as a word of its own; glued to it it is another body part ("CHESTABDOMEN").
"""

import re
from functools import cache

from .words import CHEST_WORDS, fold, split_words

# How words begin that tell the chest in some form: "toracica", "thoraxaufnahme", "pulmonar", "klatka", "грудной".
_STEMS = (
    "thora[cxk] tora[cxk] teletora teletho pulmon polmon poumon pneumolog klatk piersiow plucn plicn lungen lungront "
    "brustk brustr bröstk(?!ot) brystk keuhko rintake hrudn grudn mellkas gogu?s akciger грудн легк легоч флюорогр "
    "θωρακ 胸(?!椎|骨|腰|鎖|锁|腹|廓出口) 肺 흉(?!추|골|요|복|쇄) 폐"
)
# Glued to one of these it is another part of the body, or more than the chest: "thoracolumbar", "toracoabdominal".
_GLUED = "abd|pelv|beck|bauch|lumb|lomb|wirb|werv|spin|vert|neck|cerv|hals|sacr|sakr"


# How words of the limbs and the spine begin, by what they are.
_OTHER_PARTS = (
    # knee
    "knee knie genou rodilla ginocch joelho kolan kolen knä$ knän knäled kne$ kneet knæ polvi diz$ térd колен 膝 "
    "무릎 슬관절 "
    # leg, thigh
    "legs?$ lowerleg leg(?:left|right) bein(?:e|en)?$ jambe pierna gamb[ae] perna noga$ nogi$ podudz bacak ben$ "
    "saari unterschenkel oberschenkel onderbeen femur femor fémur cuisse muslo coscia coxa dij(?:been)? stehno udo$ "
    "udow tibia fibula бедр голен ног[аи]$ 腿 腳$ 脚$ 大腿 小腿 下肢 다리 대퇴 하지$ "
    # foot, ankle
    "foot feet fuss$ fuß füss voet(?:en)? fot$ fötter pie$ pies$ pied(?:s|e|i)?$ stopa stopy jalka ayak chodidl noha "
    "toes?$ zehe orteil ankle knöchel sprunggelenk cheville tobillo caviglia tornozelo enkel kotník kostka nilkka "
    "bokacs calcane heel$ ferse talon$ стоп голеност 足 발$ 발목 족부 "
    # hip
    "hips?$ hüft hanche cadera anca$ quadril biodr hofte höft heup kyčel kycl kalça lonkka csipo тазобедр 髋 髖 股 "
    "고관절 "
    # shoulder
    "shoulder schulter épaule hombro spalla ombro bark(?:u|i)?$ skulder axel$ schouder rameno omuz olka$ olkapaa "
    "vall$ scapul schlüsselbein плеч 肩 어깨 견관절 "
    # arm, elbow
    "arms?$ forearm upperarm oberarm unterarm humerus humer radius$ ulna$ bras$ avantbras brazo antebra braccio "
    "braço ramie przedrami paže predlokt käsivar elbow ellenbogen ellbogen coude codo$ gomito cotovelo łokie lokc "
    "elleboog armbåge armbag albue kyynar loket dirsek kol$ предплеч локт 肘 臂 上肢 팔$ 팔꿈치 상지$ "
    # hand, wrist, finger
    "hands?$ hände$ handgelenk handled håndled håndled main$ mains$ manos?$ mani$ mão$ mãos$ dłoń dłoni ręka ręki "
    "ruka$ ruky hånd$ hender käsi käden kéz$ wrist poignet muñeca polso punho$ pols$ nadgarst ranne$ zápěst bilek$ "
    "csuklo fingers?$ doigt dedos?$ dito$ dita$ palec palce prst sormi vinger thumb daumen pouce pulgar pollice "
    "кист[ьи] запяст рук[аи]$ пал[ье]ц 手(?!術|术) 腕 指(?!定|示) 손$ 손목 수부 "
    # a limb
    "extrem estrem konczyn končetin limbs?$ gliedma raajat? конечност 四肢 사지 membre$ miembro "
    # spine
    "spine spinal [tclsh]+spine [tcl]sp$ vertebr vértebr column colonn coluna colun$ rachi?s?$ rachid ryg+(?:$|rad) "
    "ryggr wirbel [bhl]?ws$ kregosl kregow páteř páteřn obrat(?:le|el) wervel ruggengraat selkä selka omurga "
    "kralježn hrbtenic gerinc lumb lomb sacr sakr coccy steiss krzyz ledzw cervic dorsolumb бвп позвон шейн 椎 脊 "
    "척추 요추 경추 흉추 "
    # the breast, and what lies in the chest or beside it
    "mammo brysto$ outlet valv[eu] apertur dental dentis zahn "
    # head
    "skull schädel crane$ crâne$ cráneo cranio czaszk lebka череп 頭蓋 头颅 두개 "
)
# "In piedi", "de pie", "em pé": standing, and no foot.
_STANDING = re.compile(r"\b(?:de|en|in|em|a|ao|sur)\s+(?:pie|pieds?|piedi|pe)\b")


def names_chest(text: str) -> bool:
    """True if unified text says that the chest is shown, and says no limb and no spine."""
    words = split_words(_STANDING.sub(" ", text))
    chest, other = _compile_patterns()
    says = any(word in CHEST_WORDS or chest.match(word) for word in words)
    return says and not any(other.match(word) for word in words)


@cache
def _compile_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Compile what tells the chest and what tells other parts, when a first text is read."""
    return re.compile(rf"(?:{_join(_STEMS)})(?!\w*(?:{_GLUED}))"), re.compile(_join(_OTHER_PARTS))


def _join(stems: str) -> str:
    """Join folded stems; those of scripts without blanks between words may stand anywhere in one."""
    return "|".join(rf"\w*{stem}" if stem >= "\u3000" else stem for stem in fold(stems).split())
