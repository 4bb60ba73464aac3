"""The named label sets of an engine, and prompts.json, which keeps their prompts in its bundle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import EngineError

PROMPT_SET_VERSION = "prompts-v1"


@dataclass(frozen=True)
class Label:
    """The prompts for a finding and, if given, those for its absence."""

    positive: Sequence[str]
    negative: Sequence[str] = ()


LabelSet = dict[str, Label]


def render_label_sets(sets: Mapping[str, LabelSet]) -> str:
    """Return the text of prompts.json."""
    content = {
        "version": PROMPT_SET_VERSION,
        "sets": {
            name: {
                key: {"positive": list(label.positive), "negative": list(label.negative)} for key, label in s.items()
            }
            for name, s in sets.items()
        },
    }
    return json.dumps(content, indent=1) + "\n"


def parse_label_sets(text: str) -> dict[str, LabelSet]:
    """Read prompts.json; raise EngineError if it is of another version."""
    try:
        content = json.loads(text)
        if content["version"] != PROMPT_SET_VERSION:
            raise EngineError("prompts.json is of another version than this SDK reads: upgrade alta-sdk")
        return {
            name: {key: Label(tuple(p["positive"]), tuple(p["negative"])) for key, p in labels.items()}
            for name, labels in content["sets"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError("prompts.json cannot be read: export the bundle again") from error
