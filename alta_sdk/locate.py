"""Where on a radiograph does a phrase match? The local heads' similarity of its words with each patch.

The similarity is the one that the local contrastive loss trains: a word collects patches by attention and is
compared with what it collected. Here each patch is compared with each word, and the words count by their part in
that match.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import PromptError, StudyError, ViewError
from .fusion import choose_slots, to_unit_length
from .geometry import locate_patch, map_to_radiograph
from .heatmap import Heatmap
from .manifest import LOCAL_HEADS
from .results import StudyEmbedding
from .study import Slot, Study, load_study

if TYPE_CHECKING:
    from .matcher import Matcher, OneStudy

Local = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WordMatch:
    """How the words of a phrase match the patches of one radiograph.

    similarity: (patches,) between -1 and 1, the phrase's with each patch. cosines: (words,), each word's with what
    it collected. weights: (words,), their parts in the match, which sum to 1.
    """

    similarity: NDArray[np.float64]
    cosines: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def score(self) -> float:
        """The words' cosines in their weighted mean: between -1 and 1."""
        return float(self.cosines @ self.weights)


def match_words(patches: Local, words: Local, patch_scale: float, word_scale: float) -> WordMatch:
    """Match words (n, embedding) with patches (m, embedding); neither is normalised.

    patch_scale, word_scale: the learned inverse temperatures of a word's attention and of its cosine.
    A report's match in training is log Σ exp(word_scale · cosines); the weights are its gradient.
    Source: ALTA's local loss, after Huang et al. 2021 (GLoRIA).
    """
    wide, asked = patches.astype(np.float64), words.astype(np.float64)
    share = _softmax(wide @ asked.T, axis=1)  # (m, n): of each patch, over the words
    attention = _softmax(patch_scale * share, axis=0)  # (m, n): of each word, over the patches
    collected = attention.T @ wide  # (n, embedding)
    directions = to_unit_length(asked).astype(np.float64)
    cosines = (directions * to_unit_length(collected)).sum(axis=1)
    weights = _softmax(word_scale * cosines, axis=0)
    similarity = to_unit_length(wide).astype(np.float64) @ directions.T @ weights
    return WordMatch(similarity, cosines, weights)


def locate_phrase(matcher: "Matcher", study: "OneStudy", phrase: str, slot: Slot) -> Heatmap:
    """Make the heat map of a phrase on the radiograph in one slot; see `Matcher.locate`."""
    engine = matcher.engine
    if isinstance(study, StudyEmbedding):
        raise StudyError("a heat map is drawn on the radiograph: give the study, not its embedding")
    if not isinstance(phrase, str):
        raise PromptError("phrase must be one string")
    if not isinstance(study, Study):
        study = load_study(study, intensity_profile=engine.manifest.preprocessing["intensity_profile"])
    looked_at = choose_slots(study.slots, matcher.fusion_mode)
    if slot not in looked_at:
        names = ", ".join(one.name.lower() for one in looked_at)
        raise ViewError(
            f"no {slot.name.lower()} radiograph to draw on: fusion mode {matcher.fusion_mode} reads {names}"
        )
    score = float(matcher.score(study, [phrase])[0])
    radiograph = study.radiographs[slot]
    patches = engine.patches.encode_tested(radiograph.pixels_u8[None, None], np.array([slot], dtype=np.int64))[0]
    heads = engine.manifest.engine[LOCAL_HEADS]
    match = match_words(patches, engine.project_words(phrase), heads["patch_scale"], heads["word_scale"])
    side = round(len(patches) ** 0.5)
    grid = match.similarity.reshape(side, side)  # row by row from the top left, as the patches go
    shape = (radiograph.grey_u8.shape[0], radiograph.grey_u8.shape[1])
    row, column = divmod(int(grid.argmax()), side)
    return Heatmap(
        values=map_to_radiograph(grid.astype(np.float32), *shape),
        patches=grid.astype(np.float32),
        score=score,
        local_score=match.score,
        peak=locate_patch(row, column, side, *shape),
        grey_u8=radiograph.grey_u8,
        provenance={
            **engine.provenance,
            "fusion_mode": matcher.fusion_mode,
            "slots": [one.name.lower() for one in looked_at],
            "drawn_on": slot.name.lower(),
            "intensity_profile": radiograph.intensity_profile,
            "patch_graph_precision": heads["precision"],
            "notices": list(engine.manifest.notices),
        },
    )


def _softmax(logits: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    exponentials = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=axis, keepdims=True))
