"""The vectors of an engine's own prompts, encoded at the export: who scores them needs no text graph."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session
from alta_sdk.engine.label_sets import LabelSet
from alta_sdk.engine.manifest import BundleGraph
from alta_sdk.engine.prompt_vectors import VECTORS, list_prompts
from alta_sdk.engine.text_encoder import project_encoded
from alta_sdk.engine.tokenizer import PromptTokenizer
from alta_sdk.engine.vectors import Vector, take_output

from .bundle import pack_arrays


def encode_prompts(
    tokenizer: PromptTokenizer, session: Session, graph: BundleGraph, label_sets: Mapping[str, LabelSet]
) -> bytes:
    """Return the file of the vectors of an engine's own prompts, by its text graph as it ships."""

    def run(input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Vector:
        given = graph.select_inputs({"input_ids": input_ids, "attention_mask": attention_mask})
        return take_output(session.run(given), "projection", len(input_ids), 2)

    encoded = tokenizer.read(list_prompts(label_sets))
    vectors = np.stack(project_encoded(tokenizer, encoded, run)).astype(np.float32)
    return pack_arrays({VECTORS: vectors})
