"""Labels and the prompts that stand for them: named sets, pairs, and what a caller may pass.

The sets are written out by rule here, put into each bundle at export, and read from the bundle by the
engine, so that an engine's scores do not change with the SDK's version.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from ..engine.label_sets import Label, LabelSet
from ..engine.manifest_content import ALTA_PAIR, BLANK
from ..engine.prompt_words import check_text, list_texts
from ..errors import PromptError

PROGRESSION = "progression"  # the named set of courses of findings, which `Matcher.progression` asks for

Labels = str | Sequence[str] | Mapping[str, Sequence[str] | Label]

# The factors of the GLoRIA protocol (Huang et al., ICCV 2021) as ALTA's CheXpert 5×200 evaluation uses
# them. Misspellings and the repeated effusion are the protocol's: each weighs in a label's mean.
_ZONES = tuple(f"at the {zone} lung zone" for zone in ("mid", "upper", "right", "left"))
_BASES = tuple(f"at the {base}" for base in ("lung bases", "right lung base", "left lung base", "bilateral lung bases"))
CHEXPERT5_FACTORS: dict[str, tuple[tuple[str, ...], ...]] = {
    "Atelectasis": (
        ("", "mild", "minimal"),
        tuple(
            f"{kind} atelectasis"
            for kind in (
                "subsegmental",
                "linear",
                "trace",
                "bibasilar",
                "retrocardiac",
                "bandlike",
                "residual",
            )
        ),
        (*_ZONES, *_BASES, "at the left lower lobe", "at the right lower lobe"),
    ),
    "Cardiomegaly": (
        ("",),
        (
            "cardiac silhouette size is upper limits of normal",
            "cardiomegaly which is unchanged",
            "mildly prominent cardiac silhouette",
            "portable view of the chest demonstrates stable cardiomegaly",
            "portable view of the chest demonstrates mild cardiomegaly",
            "persistent severe cardiomegaly",
            "heart size is borderline enlarged",
            "cardiomegaly unchanged",
            "heart size is at the upper limits of normal",
            "redemonstration of cardiomegaly",
            "ap erect chest radiograph demonstrates the heart size is the upper limits of normal",
            "cardiac silhouette size is mildly enlarged",
            "mildly enlarged cardiac silhouette, likely left ventricular enlargement. "
            "other chambers are less prominent",
            "heart size remains at mildly enlarged",
            "persistent cardiomegaly with prominent upper lobe vessels",
        ),
        ("",),
    ),
    "Consolidation": (
        ("", "increased", "improved", "apperance of"),
        tuple(
            f"{kind} consolidation"
            for kind in ("bilateral", "reticular", "retrocardiac", "patchy", "airspace", "partial")
        ),
        tuple(
            f"at the {place}"
            for place in (
                "lower lung zone",
                "upper lung zone",
                "left lower lobe",
                "right lower lobe",
                "left upper lobe",
                "right uppper lobe",
                "right lung base",
                "left lung base",
            )
        ),
    ),
    "Edema": (
        ("", "mild", "improvement in", "presistent", "moderate", "decreased"),
        ("pulmonary edema", "trace interstitial edema", "pulmonary interstitial edema"),
        ("",),
    ),
    "Pleural Effusion": (  # in this one the place stands before the kind
        ("", "small", "stable", "large", "decreased", "increased"),
        ("left", "right", "tiny"),
        ("bilateral pleural effusion", "subpulmonic pleural effusion", "bilateral pleural effusion"),
    ),
}


def make_pair(name: str, pair: tuple[str, str] = ALTA_PAIR) -> Label:
    """Return the pair "There is NAME" / "There is no NAME", or what another family asks; {} is the name in `pair`."""
    positive, negative = (template.replace(BLANK, name) for template in pair)
    return Label((positive,), (negative,))


def build_label_sets(pair: tuple[str, str] = ALTA_PAIR) -> dict[str, LabelSet]:
    """Write out the named sets: `chexpert5` (five findings, no negatives) and `rsna` (a pneumonia pair)."""
    grid = {
        finding: Label(tuple(clean_report_text(" ".join(words)) for words in product(*factors)))
        for finding, factors in CHEXPERT5_FACTORS.items()
    }
    return {"chexpert5": grid, "rsna": {"pneumonia": make_pair("pneumonia", pair)}}


def clean_report_text(text: str) -> str:
    """Keep the words of each sentence, lower-case, without punctuation; drop sentences of one word.

    Source: the text preparation of the published CheXpert 5×200 evaluation.
    """
    sentences = re.split(r"[0-9]+\.|\.", text.replace("\n", " "))
    words = [re.findall(r"\w+", sentence.lower()) for sentence in sentences]
    kept = [word.encode("ascii", "ignore").decode() for sentence in words if len(sentence) > 1 for word in sentence]
    return " ".join(word for word in kept if word)


def resolve_labels(labels: Labels, sets: Mapping[str, LabelSet], pair: tuple[str, str] = ALTA_PAIR) -> LabelSet:
    """Turn what a caller may pass into labels with prompts.

    A string names a set; a sequence of names makes pairs by `pair`; a mapping gives prompts or `Label`s.
    Raises PromptError for what is not text, for none, unknown sets, repeated or empty names, and labels that cannot
    be compared.
    """
    if isinstance(labels, str):
        if labels not in sets:
            raise PromptError(
                f"unknown label set: this engine has {', '.join(sorted(sets))}; "
                'a single label is a list of one (on the command line: "pneumonia,")'
            )
        if labels == PROGRESSION:
            raise PromptError("label set progression is of changes: use Matcher.progression (alta progress)")
        return sets[labels]
    names = [name.strip() for name in list_texts(labels, "labels")]
    if not names:
        raise PromptError("no labels given: name at least one finding or a label set")
    if not all(map(_is_seen, names)):
        raise PromptError("a label is empty or of characters that nobody sees: give each finding its name")
    if isinstance(labels, Mapping):
        resolved = {name: read_label(value) for name, value in labels.items()}
    else:
        if not all(names) or len(set(names)) < len(names):
            raise PromptError("a label is empty or given twice: give each finding once")
        resolved = {name: make_pair(name, pair) for name in names}
    _check_comparable(resolved)
    return resolved


def check_label(label: str, labels: Labels, sets: Mapping[str, LabelSet]) -> None:
    """Raise PromptError unless a label is one of those that a caller passes."""
    check_text(label, "the label to calibrate")
    if label not in resolve_labels(labels, sets):
        raise PromptError("the label to calibrate is not one of the labels: name one of them")


def read_label(value: Any) -> Label:
    """Return the label of a list of prompts, of one, or of a `Label`; raises PromptError for what is not text."""
    label = value if isinstance(value, Label) else Label([value] if isinstance(value, str) else value)
    lists = [list_texts(prompts, "prompts of a label") for prompts in (label.positive, label.negative)]
    if not lists[0]:
        raise PromptError("a label needs a list of at least one positive prompt")
    return Label(*lists)


def _is_seen(name: str) -> bool:
    """True if a name shows on a screen: not of blanks, control characters and the like alone."""
    return any(character.isprintable() and not character.isspace() for character in name)


def _check_comparable(labels: LabelSet) -> None:
    with_negatives = [bool(label.negative) for label in labels.values()]
    if any(with_negatives) and not all(with_negatives):
        raise PromptError("some labels have negative prompts and some have none: give them to all or to none")
    if len(labels) == 1 and not with_negatives[0]:
        raise PromptError("one label without negative prompts has nothing to be compared with: give negatives")
