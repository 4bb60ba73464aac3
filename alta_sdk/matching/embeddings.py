"""A study in the shared space: fused over its slots, projected, with where the vector comes from."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..dicom.files import PathLike
from ..dicom.intensity import AS_STORED, name_picture_profile
from ..engine.engine import Engine
from ..engine.fusion import choose_slots, embed_slots, list_used_modes, tell_used_mode
from ..engine.manifest_content import PRIOR
from ..engine.vectors import Vector, require_finite, to_unit_length
from ..errors import CalibrationError, EngineError
from ..study.radiograph import Radiograph
from ..study.slots import Slot
from ..study.study import Study

UNIT_TOLERANCE = 1e-3  # of the length of a vector that is given: it may have been kept in half precision


@dataclass(frozen=True, eq=False)
class StudyEmbedding:
    """A study in the shared space.

    vector: (embedding,) float32 of unit length. mode: the fusion mode that was used, a space of its own: where a mode
    reads the prior, that of a study without one is "frontal".
    engine: the SHA-256 that names the engine.
    """

    vector: Vector
    mode: str
    engine: str

    def similarity(self, other: "StudyEmbedding") -> float:
        """Return the cosine with another study; raise EngineError if the spaces differ, or for no finite vector."""
        if (self.mode, self.engine) != (other.mode, other.engine):
            raise EngineError("embeddings are of different fusion modes or engines: embed both with one Matcher")
        width = np.size(self.vector)
        return float(check_vector(self, width) @ check_vector(other, width))


def require_one_mode(embeddings: Iterable[StudyEmbedding]) -> str:
    """Return the mode of all of these; raise CalibrationError if some were made with a prior and some without."""
    modes = {one.mode for one in embeddings}
    if len(modes) != 1:
        raise CalibrationError(
            "studies with a prior and studies without have scores of two kinds: give studies of one kind, or choose "
            "the fusion mode frontal"
        )
    return modes.pop()


OneStudy = Study | StudyEmbedding | PathLike
ONE_STUDY = (Study, StudyEmbedding, str, os.PathLike)  # for isinstance: what is not a list of studies


def check_vector(embedding: StudyEmbedding, width: int) -> Vector:
    """Return the vector (width,) of an embedding that a caller gives, who may have read it from anywhere.

    Raises EngineError unless it is of that shape, finite and of unit length: what is not gives scores that are none.
    """
    vector = embedding.vector
    is_vector = isinstance(vector, np.ndarray) and vector.dtype.kind == "f" and vector.shape == (width,)
    if not is_vector or not abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) <= UNIT_TOLERANCE:
        raise EngineError("embedding is no finite vector of unit length: take one of Matcher.embed")
    return vector


def embed_study(
    engine: Engine, study: Study | StudyEmbedding, mode: str
) -> tuple[StudyEmbedding, Mapping[str, object]]:
    """Embed a study in a fusion mode; an embedding is checked and returned as it is.

    Also returns what the provenance of a result says of the study: the mode that was used, slots, intensity profiles,
    notes of how it was read, decoders and hashes of the pixels; of an embedding the mode alone. Raises EngineError for
    a study that was read with another intensity profile than the engine's, an embedding of another engine or fusion
    mode, or one that is no finite vector of unit length.
    """
    if isinstance(study, StudyEmbedding):
        if study.mode not in list_used_modes(mode) or study.engine != engine.sha256:
            raise EngineError("embedding is of another fusion mode or engine: embed the study with this Matcher")
        check_vector(study, engine.manifest.sizes["embedding"])
        return study, {"fusion_mode": study.mode}
    profile = engine.manifest.intensity_profile
    slots = choose_slots(study.slots, mode, engine.manifest.readable_slots)
    profiles = {study.radiographs[slot].intensity_profile for slot in slots}
    if not profiles <= {profile, name_picture_profile(profile)}:
        way_out = ": give Study.from_images the engine's intensity_profile" if AS_STORED in profiles else ""
        raise EngineError(f'study was read with another intensity profile than the engine\'s "{profile}"{way_out}')
    used = tell_used_mode(mode, slots)
    vector = _embed_chosen(engine, {slot: study.radiographs[slot] for slot in slots}, used)
    require_finite(vector, "values of the study's embedding are")
    origin = {
        "fusion_mode": used,
        "slots": [slot.name.lower() for slot in slots],
        "intensity_profile": sorted(profiles),
        "reading": study.read_notes(slots),
        **tell_pixels(study, slots),
    }
    return StudyEmbedding(vector, used, engine.sha256), origin


def tell_pixels(study: Study, slots: Iterable[Slot]) -> dict[str, dict[str, str]]:
    """Return by slot what decoded each radiograph and the SHA-256 of its pixels (`Radiograph.pixels_sha256`)."""
    read = {slot.name.lower(): study.radiographs[slot] for slot in slots}
    return {
        "decoders": {name: radiograph.decoder for name, radiograph in read.items()},
        "pixels_sha256": {name: radiograph.pixels_sha256 for name, radiograph in read.items()},
    }


def _embed_chosen(engine: Engine, radiographs: Mapping[Slot, Radiograph], mode: str) -> Vector:
    """Return the unit vector (embedding,) of the radiographs that a mode looks at."""
    if mode == PRIOR:
        return to_unit_length(engine.encode_with_prior(radiographs[Slot.FRONTAL], radiographs[Slot.PRIOR_FRONTAL]))
    return embed_slots(engine.encode_radiographs(radiographs), mode, engine.head)
