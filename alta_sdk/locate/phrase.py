"""Where on a radiograph does a phrase match? By its words, or as a whole, as the engine's family was trained.

By words (ALTA): the local contrastive loss lets each word collect patches by attention and trains the cosine of the
word with what it collected. Here each patch is compared with each word by the same cosine, and all words of the phrase
count alike: weighted as in the loss, the words that match everywhere ("there", "is") would drown the finding.
As a whole (BioViL): `whole.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.engine import Engine
from ..engine.fusion import choose_slots
from ..engine.manifest import Manifest
from ..engine.manifest_content import LOCAL_HEADS, NO_MATCH, PHRASE, PRIOR, WORDS
from ..engine.vectors import require_finite, softmax, to_unit_length
from ..errors import EngineError, ViewError
from ..study.radiograph import Radiograph
from ..study.slots import Slot
from ..study.study import Study
from .heatmap import Heatmap
from .whole import FILTER, map_as_published, match_whole, smooth

Local = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WordMatch:
    """How the words of a phrase match the patches of one radiograph; all cosines, between -1 and 1.

    similarity: (patches,), the mean of the phrase's words with each patch. cosines: (words,), each word's with
    what it collected, [SEP] included.
    """

    similarity: NDArray[np.float64]
    cosines: NDArray[np.float64]

    @property
    def score(self) -> float:
        """The mean of the phrase's words' cosines with what they collected."""
        return float(self.cosines[:-1].mean())


def match_words(patches: Local, words: Local, patch_scale: float) -> WordMatch:
    """Match the words of a phrase (n, embedding), [SEP] last, with patches (m, embedding); none normalised.

    [SEP] takes its share of the patches, as in training, but has no part in the similarity: it is no word.
    patch_scale: the learned inverse temperature of a word's attention.
    Source: ALTA's local loss, after Huang et al. 2021 (GLoRIA), up to the match of each word.
    """
    wide, asked = patches.astype(np.float64), words.astype(np.float64)
    share = softmax(wide @ asked.T, axis=1)  # (m, n): of each patch, over the words
    attention = softmax(patch_scale * share, axis=0)  # (m, n): of each word, over the patches
    collected = attention.T @ wide  # (n, embedding)
    directions = to_unit_length(asked).astype(np.float64)
    similarity = (to_unit_length(wide).astype(np.float64) @ directions[:-1].T).mean(axis=1)
    return WordMatch(similarity, (directions * to_unit_length(collected)).sum(axis=1))


def choose_drawn_slots(manifest: Manifest, study: Study, slot: Slot, mode: str) -> Sequence[Slot]:
    """Return the slots that a fusion mode looks at; raise ViewError if the one to draw on is not among them.

    Raises EngineError for an engine whose patches no phrase is matched with.
    """
    if manifest.patch_match == NO_MATCH:
        raise EngineError(
            f"engine has no heat maps: the family {manifest.family} matches whole radiographs with text, and not their "
            "patches; use an engine of another family"
        )
    looked_at = choose_slots(study.slots, mode, manifest.readable_slots)
    if slot not in looked_at:
        names = ", ".join(one.name.lower() for one in looked_at)
        raise ViewError(f"no {slot.name.lower()} radiograph to draw on: fusion mode {mode} reads {names}")
    if mode == PRIOR and slot is not Slot.FRONTAL:
        raise ViewError(
            "fusion mode prior draws on the current frontal radiograph, whose patches know the prior: give the earlier "
            "study as one of its own to draw on it"
        )
    return looked_at


def locate_phrase(
    engine: Engine,
    study: Study,
    phrase: str,
    slot: Slot,
    cosine: float,
    provenance: Mapping[str, Any],
    prior: Radiograph | None = None,
) -> Heatmap:
    """Make the heat map of a phrase on the radiograph in one slot; see `Matcher.locate`.

    cosine: of the study with the phrase. provenance: what made it. prior: what the image tower reads
    beside the radiograph. Raises EngineError for values that are not finite.
    """
    radiograph = study.radiographs[slot]
    geometry = engine.geometry
    patches = engine.encode_patches(radiograph, slot, prior)
    require_finite(patches, "values of the radiograph's patches are")
    side = round(len(patches) ** 0.5)
    shape = (radiograph.grey_u8.shape[0], radiograph.grey_u8.shape[1])
    if engine.manifest.patch_match == WORDS:
        heads = engine.manifest.engine[LOCAL_HEADS]
        match = match_words(patches, engine.project_words(phrase), heads["patch_scale"])
        grid, local_cosine = match.similarity.reshape(side, side), match.score  # row by row from the top left
        values = geometry.map_to_radiograph(grid.astype(np.float32), *shape)
        told = {"patch_graph_precision": heads["precision"]}
    else:
        whole = to_unit_length(engine.project_prompts([phrase]))[0]
        grid = smooth(match_whole(patches, whole).reshape(side, side))
        local_cosine = float(grid[geometry.find_seen_patches(side, *shape)].max())
        values = map_as_published(grid.astype(np.float32), geometry, *shape)
        told = {"patch_match": PHRASE, "map_filter": FILTER}
    return Heatmap(
        values=values,
        patches=grid.astype(np.float32),
        cosine=cosine,
        local_cosine=local_cosine,
        peak=geometry.locate_peak(grid, *shape),
        grey_u8=radiograph.grey_u8,
        provenance={
            **provenance,
            "drawn_on": slot.name.lower(),
            "intensity_profile": radiograph.intensity_profile,
            "reading": study.read_notes((slot,)),
            **told,
        },
        drawn_on=radiograph.origin,
        geometry=geometry,
    )
