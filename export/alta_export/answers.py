"""What the gate asks of an engine's loaded graphs, and what they answer: embeddings, of pairs and patches, too.

Radiographs run one by one, as the SDK runs them. A family that reads a prior inside its image tower is asked for each
radiograph beside the next one as well, the last beside the first; one whose image graph gives patches, for these.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alta_runtimes import Session
from alta_sdk.engine.heads import Head
from alta_sdk.engine.manifest_content import FEATURES, FUSE, IMAGE, PATCHES, PRIOR_FEATURES, TEXT
from alta_sdk.engine.patches import list_places
from alta_sdk.engine.self_test import PAIRED
from alta_sdk.engine.vectors import Vector, to_unit_length

from .families.merged import to_priors
from .radiographs import Radiographs
from .ranges import Arrays
from .verify import take_vectors


@dataclass(frozen=True, eq=False)
class GateInputs:
    """What both engines are asked. prompts: token batches. labels: rows of a positive and a negative prompt."""

    radiographs: Radiographs
    prompts: list[Arrays]
    labels: Mapping[str, tuple[int, int]]
    finding: str
    logit_scale: float


@dataclass(frozen=True, eq=False)
class Answers:
    """Unit-length embeddings of radiographs (n, embedding), and projections of prompts (m, embedding).

    beside: by name, what only some families have, unit-length vectors (rows, embedding): "paired", of radiographs
    beside a prior; "patches" and "paired_patches", the places of all radiographs.
    """

    radiographs: Vector
    prompts: Vector
    beside: Mapping[str, Vector] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a graph gives of radiographs: vectors (n, width), patches of unit length (places, embedding), features."""

    vectors: Vector
    patches: Vector | None
    features: list[Vector]


def answer(sessions: Mapping[str, Session], head: Head, inputs: GateInputs) -> Answers:
    """Ask an engine's loaded graphs."""
    found = embed_radiographs(sessions[IMAGE], head, inputs.radiographs, sessions.get(FUSE))
    return Answers(found.pop(IMAGE), project_prompts(sessions[TEXT], inputs.prompts), found)


def see(session: Session, inputs: Iterable[Arrays]) -> Seen:
    """Run an image graph on radiographs, or a fuse graph on pairs, one by one."""
    vectors, features, patches = [], [], []
    for one in inputs:
        given = session.run(one)
        vectors.append(take_vectors(given)[0])
        features += list(given.get(FEATURES, ()))
        if PATCHES in given:
            patches.append(to_unit_length(list_places(given[PATCHES])[0]))
    return Seen(np.stack(vectors), np.concatenate(patches) if patches else None, features)


def pair_with_next(features: Sequence[Vector]) -> list[Arrays]:
    """Return the fuse graph's inputs: features of each radiograph, with those of the next one as its prior's."""
    priors = to_priors(np.stack(features))
    return [{FEATURES: one[None], PRIOR_FEATURES: prior[None]} for one, prior in zip(features, priors, strict=True)]


def embed_radiographs(
    session: Session, head: Head, radiographs: Radiographs, fuse: Session | None = None
) -> dict[str, Vector]:
    """Embed radiographs, by an image graph and, where there is one, a fuse graph: unit-length vectors by their kind."""
    seen = see(session, radiographs.inputs())
    patches = {} if seen.patches is None else {PATCHES: seen.patches}
    alone = {IMAGE: to_unit_length(head.project(seen.vectors)), **patches}
    return alone if fuse is None else {**alone, **embed_pairs(fuse, pair_with_next(seen.features))}


def embed_pairs(session: Session, pairs: list[Arrays]) -> dict[str, Vector]:
    """Embed pairs of features by a fuse graph: unit-length vectors by their kind."""
    seen = see(session, pairs)
    patches = {} if seen.patches is None else {f"{PAIRED}_{PATCHES}": seen.patches}
    return {PAIRED: to_unit_length(seen.vectors), **patches}


def project_prompts(session: Session, prompts: list[Arrays]) -> Vector:
    """Project token batches: (m, embedding), not normalised."""
    return np.concatenate([session.run(batch)["projection"] for batch in prompts])
