"""The model card: what a model was trained on, what it reaches, and what it must not be used for.

Every figure in it is measured by the code that writes it, and every sentence follows from what the run
states; sections that others measured are appended as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.labelled import spell_finding
from .card_figures import OtherHospital, SplitFigures
from .card_sections import (
    show_calibration,
    show_curve,
    show_findings,
    show_other_hospital,
    show_zero_shot,
)
from .prompt_sentences import tell_prompt_sentences


@dataclass(frozen=True)
class CardFacts:
    """What a card says besides figures.

    stated: the checkpoint's own metadata. trained: what the published rule trains, for a run that does not
    state what it trained. is_validated: whether the weights are those of the best validation. weights_sha256: of the
    stored file that was measured.
    """

    name: str
    stated: Mapping[str, str]
    finding: str
    table: str
    trained: str
    size_bytes: int
    number_format: str
    sizes: Mapping[str, int]
    is_validated: bool
    weights_sha256: str = ""

    def tell_trained(self) -> str:
        """Say what the run trained, or what the published rule trains."""
        own = self.stated.get("trained_parameters")
        return own or f"{self.trained} by the published rule; the run does not state its own"


def render_card(
    facts: CardFacts,
    splits: Sequence[SplitFigures],
    curve: Sequence[Mapping[str, Any]],
    other: OtherHospital | None = None,
    statements: Sequence[str] = (),
) -> str:
    """Write the card in Markdown.

    curve: the validation figures of each epoch, none if there was no validation. statements: sections in
    Markdown, each with its heading, put at the end.
    """
    named = spell_finding(facts.finding)
    sections = [
        _show_facts(facts),
        show_zero_shot(named, facts.table, tell_prompt_sentences(facts.stated, facts.finding), splits),
        show_findings(facts.finding, splits),
        show_calibration(named, splits),
        show_other_hospital(named, facts.table, other),
        show_curve(curve),
        *(statement.strip() for statement in statements),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _show_facts(facts: CardFacts) -> str:
    stated = facts.stated
    sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.sizes.items())
    return "\n".join(
        [
            f"# {facts.name}",
            "",
            f"**{stated['notice']} Not for clinical use: not a medical device.**",
            "",
            f"- Trained on: {stated['training_data']}",
            f"- Licence of the weights: {stated['licence']}",
            f"- Trained parameters of the alignment: {facts.tell_trained()}",
            f"- Sizes: {sizes}; file {facts.size_bytes / 1e6:.1f} MB, stored in {facts.number_format}",
            f"- Chosen: {_tell_choice(facts)}",
        ]
    )


def _tell_choice(facts: CardFacts) -> str:
    epoch = facts.stated.get("epoch", "?")
    if facts.is_validated:
        return f"the epoch of the best AUC on the validation split, epoch {epoch}"
    return f"the weights after epoch {epoch}, the run's last: no validation chose them"
