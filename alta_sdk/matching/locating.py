"""A heat map is asked for: the phrase is checked, the study embedded as for a score, and the phrase located."""

from collections.abc import Callable, Mapping

from ..engine.engine import Engine
from ..engine.label_sets import Label
from ..engine.manifest_content import PRIOR
from ..engine.prompt_words import check_text
from ..engine.vectors import to_unit_length
from ..errors import StudyError
from ..locate.heatmap import Heatmap
from ..locate.phrase import choose_drawn_slots, locate_phrase
from ..study.slots import Slot
from ..study.study import Study
from .embeddings import OneStudy, StudyEmbedding, embed_study, tell_pixels
from .thresholds import hash_prompts
from .unknown_words import check_prompts


def locate_in_study(
    engine: Engine,
    study: OneStudy,
    phrase: str,
    slot: Slot,
    mode: str,
    provenance: Mapping[str, object],
    read: Callable[[OneStudy], Study | StudyEmbedding],
) -> Heatmap:
    """Make the heat map of a phrase; see `Matcher.locate`. mode: the Matcher's. read: makes a study of a path."""
    if isinstance(study, StudyEmbedding):
        raise StudyError("a heat map is drawn on the radiograph: give the study, not its embedding")
    check_text(phrase, "phrase")
    notes = check_prompts(engine, [phrase], "phrase")
    shown = read(study)
    assert isinstance(shown, Study)
    slots = choose_drawn_slots(engine.manifest, shown, slot, mode)
    text = to_unit_length(engine.project_prompts([phrase]))
    embedding, _ = embed_study(engine, shown, mode)
    told = {
        "fusion_mode": embedding.mode,
        "slots": [one.name.lower() for one in slots],
        "prompt_reading": notes,
        "prompts_sha256": hash_prompts({"phrase": Label((phrase,))}),
        **tell_pixels(shown, slots),
    }
    prior = shown.radiographs[Slot.PRIOR_FRONTAL] if embedding.mode == PRIOR else None
    score = float((text @ embedding.vector)[0])
    return locate_phrase(engine, shown, phrase, slot, score, {**provenance, **told}, prior)
