"""What the text graph gives for the prompts of an engine's own label sets: computed at the export, kept in its bundle.

An engine that has them scores its label sets without loading the text graph, which is half of its weights: a
workstation that asks for nothing else starts sooner and in less memory. The numbers are then those of the machine that
exported it, the same everywhere; the self-test (`alta doctor NAME.alta`) tells how far this machine would be from them.
"""

from collections.abc import Mapping

import numpy as np

from ..errors import IntegrityError
from .arrays import read_arrays
from .bundle import PROMPT_VECTORS, Bundle
from .label_sets import LabelSet
from .vectors import Vector

VECTORS = "vectors"  # (prompts, embedding) float32, not normalised
SHORTEST = 1e-12  # what is shorter has no direction, and each of its scores would be 0.5


def list_prompts(label_sets: Mapping[str, LabelSet]) -> list[str]:
    """Return each prompt of the label sets once, in the order of their vectors."""
    labels = (label for label_set in label_sets.values() for label in label_set.values())
    return list(dict.fromkeys(prompt for label in labels for prompt in (*label.positive, *label.negative)))


def read_prompt_vectors(bundle: Bundle, label_sets: Mapping[str, LabelSet]) -> dict[str, Vector]:
    """Return the vectors (embedding,) float32 of a bundle's own prompts, by prompt; none for a bundle without them.

    Raises IntegrityError for a file that does not hold one for each prompt, or one of no length: it would score 0.5.
    """
    if not bundle.manifest.lists(PROMPT_VECTORS):
        return {}
    prompts = list_prompts(label_sets)
    vectors = read_arrays(bundle.read(PROMPT_VECTORS), (VECTORS,), PROMPT_VECTORS)[VECTORS]
    if vectors.shape != (len(prompts), bundle.manifest.sizes["embedding"]) or vectors.dtype != np.float32:
        raise IntegrityError(f"{PROMPT_VECTORS} does not hold one vector for each prompt: export the bundle again")
    if not np.all(np.linalg.norm(vectors.astype(np.float64), axis=1) >= SHORTEST):
        raise IntegrityError(f"{PROMPT_VECTORS} has a vector without a direction: export the bundle again")
    return dict(zip(prompts, vectors, strict=True))
