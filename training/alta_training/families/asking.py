"""How a family is asked: the pair of prompts of a plain label, named label sets, what cosines are worth.

Its engines and its evaluation ask the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alta_sdk.engine.label_sets import LabelSet
from alta_sdk.engine.manifest_content import ALTA_PAIR
from alta_sdk.matching.prompts import build_label_sets


@dataclass(frozen=True)
class Asking:
    """What is known of a family's prompts; its bundles say so.

    prompt_pair: of a label that is a name, {} in the place of the name. logit_scale_note: why the logit scale is not
    a learned one; empty where it is. more_sets: label sets beside those that every engine has.
    """

    prompt_pair: tuple[str, str] = ALTA_PAIR
    logit_scale_note: str = ""
    more_sets: Mapping[str, LabelSet] = field(default_factory=dict)

    def list_label_sets(self) -> dict[str, LabelSet]:
        """Return all named label sets of an engine of this family."""
        return {**build_label_sets(self.prompt_pair), **self.more_sets}
