"""An engine: a verified bundle with its two graphs loaded, turning pixels and prompts into vectors.

Safe to use from several threads. A vector does not depend on what else is being computed, as `ImageEncoder` and
`TextEncoder` say.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session

from .._version import __version__
from ..dicom.intensity import check_profile
from ..errors import EngineError
from ..study.radiograph import Radiograph
from ..study.slots import Slot
from . import bundle as files
from .beside import GraphBeside
from .bundle import Bundle, open_bundle
from .closing import ClosableSession, refuse_copy
from .fuse import FuseGraph
from .heads import read_head
from .image_encoder import ImageEncoder
from .label_sets import LabelSet, parse_label_sets
from .manifest import Manifest
from .manifest_content import ALTA, IMAGE, TEXT, compute_type
from .patches import PatchGraph
from .plans import build_bundle, is_ready
from .processor import list_instruction_sets, processor_name
from .prompt_vectors import read_prompt_vectors
from .prompt_words import WordCount
from .self_test import Drift, measure_drift, require, run_self_test, run_text_test
from .sessions import LoadedGraphs, list_kept, open_sessions
from .signature import choose_trust
from .streams import Streams
from .text_encoder import TextEncoder
from .vectors import Vector, to_unit_length


class Engine:
    """Open one with `Engine.open("chest.alta")`."""

    def __init__(self, bundle: Bundle, loaded: LoadedGraphs) -> None:
        """Put an engine together from a verified bundle and its loaded graphs."""
        self.runtime_reason = loaded.reason
        self.manifest: Manifest = bundle.manifest
        self.sha256 = bundle.manifest.sha256  # worked out once: it is told of every study
        self.geometry = bundle.manifest.geometry
        self.bundle = bundle
        self.head = read_head(bundle)
        self.label_sets: dict[str, LabelSet] = parse_label_sets(bundle.read(files.PROMPTS))
        image = ClosableSession(loaded.image)
        self._has_text = loaded.text is not None
        self._sessions = image, ClosableSession(loaded.text) if loaded.text else self._open_later(image, loaded)
        self._images = ImageEncoder(self._sessions[0], graph=bundle.manifest.graphs[IMAGE])
        self._texts = TextEncoder(bundle, self._sessions[1], read_prompt_vectors(bundle, self.label_sets))
        self._image_info = image.info
        self.patches = PatchGraph(bundle, self._sessions[0])
        self._fuse = FuseGraph(bundle, self._sessions[0], self._images, loaded.fuse)
        self._streams = Streams(self._images, loaded.open_streams, 1 if self.together > 1 else image.info.threads)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        runtime: str | None = None,
        threads: int | None = None,
        allow_build: bool = False,
        trust: str | os.PathLike[str] | None = None,
    ) -> "Engine":
        """Verify a bundle, load its graphs and run one row of its self-test.

        device: "auto", "cpu" or "cuda"; "auto" takes the GPU where a runtime here can use it.
        runtime: a back end by its name; None takes what was measured to be the fastest on such a processor, of an
        engine that was tuned, else the one that usually is.
        threads: inside one run; None takes what was measured with it, else every processor.
        allow_build: build a TensorRT engine whose build was deferred, once; takes minutes.
        trust: a file of public keys of which one must have signed the engine; None takes the one that ALTA_TRUST
        names, and asks for no signature where it names none.
        Raises EngineError (no bundle, newer schema, wrong numbers on this machine), IntegrityError (a file was
        changed, or the signature is not a trusted one's) or RuntimeUnavailable (device or back end does not work
        here).
        """
        if not isinstance(path, str | os.PathLike):
            raise EngineError("an engine is given by the path of its folder, NAME.alta")
        trusted = choose_trust(trust)
        if allow_build and not is_ready(open_bundle(path, trusted=trusted).manifest):
            build_bundle(path, trusted=trusted)
        bundle = open_bundle(path, trusted=trusted, keep=list_kept)
        return cls.start(bundle, device=device, runtime=runtime, threads=threads)

    @classmethod
    def start(
        cls, bundle: Bundle, *, device: str = "auto", runtime: str | None = None, threads: int | None = None
    ) -> "Engine":
        """Do the same with a bundle that was verified: load its graphs and run one row of its self-test."""
        check_profile(bundle.manifest.intensity_profile)
        engine = cls(bundle, open_sessions(bundle, device, runtime, threads))
        engine.check_quickly()
        return engine

    def close(self) -> None:
        """Let go of the graphs and what was kept of earlier calls; what is asked of the engine then is an EngineError.

        A run of another thread that has begun ends as usual. Closing twice does nothing.
        """
        for session in self._sessions:
            session.close()
        self.patches.close()
        self._fuse.close()
        self._streams.close()
        self._images.cache.clear()
        self._texts.clear()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the engine."""
        self.close()

    def __repr__(self) -> str:
        """Say what computes, without a path."""
        name, info = self.manifest.name, self._image_info
        precision = self.manifest.engine["precision"]
        return f"<Engine {name!a} {self.sha256[:12]}, {precision} in {info.runtime} on {info.device}>"

    __reduce__ = refuse_copy

    @property
    def max_tokens(self) -> int:
        """The longest prompt in tokens, [CLS] and [SEP] included."""
        return self._texts.max_tokens

    @property
    def provenance(self) -> dict[str, Any]:
        """What computes: engine, its signature, SDK, back end, device and processor, without a path.

        signature: "trusted", by the key `signed_by`; "signed", which proves nothing as long as no key is trusted, by
        what says that it is the key `claimed_signer`; or "unsigned".
        """
        return {**self._provenance, "instruction_sets": list(list_instruction_sets())}

    @cached_property
    def _provenance(self) -> dict[str, Any]:
        info, bundle = self._image_info, self.bundle
        signature = "trusted" if bundle.signed_by else "signed" if bundle.claimed_signer else "unsigned"
        return {
            "engine": self.manifest.name,
            "engine_sha256": self.sha256,
            **({"family": self.manifest.family} if self.manifest.family != ALTA else {}),
            "exported_by": self.manifest.sdk_version,
            "sdk_version": __version__,
            "precision": self.manifest.engine["precision"],
            "runtime": f"{info.runtime} {info.version}",
            "runtime_reason": self.runtime_reason,
            "device": info.device,
            "threads": info.threads,
            "processor": processor_name(),
            "signature": signature,
            **({"signed_by": bundle.signed_by} if bundle.signed_by else {}),
            **({"claimed_signer": bundle.claimed_signer} if bundle.claimed_signer else {}),
        }

    @property
    def together(self) -> int:
        """How many radiographs of several studies one run takes where that is faster: else 1."""
        return self._images.together

    def encode_ahead(self, studies: Sequence[Mapping[Slot, Radiograph]]) -> None:
        """Encode the first study's radiographs, and of those that come next as many as fill a batch, into the cache.

        Nothing where batches are no faster here, or their rows are not those of single runs.
        """
        self._images.encode_ahead([self._take_pixels(radiographs) for radiographs in studies])

    def encode_beside(self, radiographs: Mapping[Slot, Radiograph]) -> None:
        """Encode a study's radiographs into the cache in this thread, on one processor, while others do the same.

        For the threads that read a long list. Nothing where batches are faster, or the bits would not be the same.
        """
        self._streams.encode(self._take_pixels(radiographs))

    def encode_radiographs(self, radiographs: Mapping[Slot, Radiograph]) -> dict[Slot, Vector]:
        """Return the CLS vector (width,) float32, read-only, of each slot's radiograph: new ones run as one batch."""
        vectors = self._images.encode(self._take_pixels(radiographs))
        return dict(zip(radiographs, vectors, strict=True))

    def _take_pixels(self, radiographs: Mapping[Slot, Radiograph]) -> list[tuple[NDArray[np.uint8], Slot]]:
        return [(radiograph.pixels_for(self.geometry), slot) for slot, radiograph in radiographs.items()]

    def encode_radiograph(self, radiograph: Radiograph, slot: Slot) -> Vector:
        """Return the CLS vector (width,) float32, read-only, of one radiograph in one slot."""
        return self.encode_radiographs({slot: radiograph})[slot]

    def encode_with_prior(self, current: Radiograph, prior: Radiograph) -> Vector:
        """Return the projection (embedding,) float32, not normalised, of a frontal radiograph beside its prior.

        A radiograph that was encoded before, of whatever date, is not run again. Raises EngineError for an engine
        whose image tower reads no prior.
        """
        return self._fuse.project(*self._encode_pair(current, prior))

    def encode_patches(self, radiograph: Radiograph, slot: Slot, prior: Radiograph | None = None) -> Vector:
        """Return the patches (patches, embedding) float32 of a radiograph, row by row, not normalised.

        prior: read inside the image tower. Raises EngineError for an engine without patches, or whose self-test of
        them fails here.
        """
        if prior is not None:
            return self._fuse.project_patches(*self._encode_pair(radiograph, prior))
        pixels = radiograph.pixels_for(self.geometry)[None, None]
        patches: Vector = self.patches.encode_tested(pixels, np.array([slot], dtype=np.int64))[0]
        return patches

    def _encode_pair(self, current: Radiograph, prior: Radiograph) -> tuple[Vector, Vector]:
        """Return the features of a radiograph and of its prior."""
        both = ((current, Slot.FRONTAL), (prior, Slot.PRIOR_FRONTAL))
        now, before = self._images.encode_features([(one.pixels_for(self.geometry), slot) for one, slot in both])
        return now, before

    def encode_pixels(self, pixels: NDArray[np.uint8], slot: NDArray[np.int64]) -> Vector:
        """Run the image graph: pixels (n, 1, px, px) uint8 and slots (n,) to CLS (n, width) float32."""
        return self._images.run(pixels, slot)

    def encode_tokens(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Vector:
        """Run the text graph: tokens (n, length) to global projections (n, embedding), not normalised."""
        return self._texts.run(input_ids, attention_mask)

    def project_words(self, phrase: str) -> Vector:
        """Return the local projections of a phrase's tokens, [SEP] included: (words, embedding), not normalised.

        Raises PromptError for an empty phrase or one that is too long.
        """
        return self._texts.project_words(phrase)

    def project_prompts(self, prompts: Sequence[str]) -> Vector:
        """Return the global projections (n, embedding) float32 of prompts, not normalised; cached.

        Raises PromptError for an empty prompt or one that is too long.
        """
        return self._texts.project_prompts(prompts)

    def count_words(self, prompts: Sequence[str]) -> list[WordCount]:
        """Return how many words of each prompt the vocabulary knows; raises what `project_prompts` raises."""
        return self._texts.count_words(prompts)

    def cut_prompt(self, text: str) -> str:
        """Return a report cut to what the text tower reads; scoring never does this by itself."""
        return self._texts.tokenizer.cut(text)

    def run_self_test(self) -> list[Drift]:
        """Run all of the bundle's synthetic inputs and tell how far this machine is from the reference."""
        tested = run_self_test(self.bundle, self._images, self.head, self._texts.run)
        kept = self._texts.compute_stored()
        if kept is not None:
            ours, theirs = (to_unit_length(vectors) for vectors in kept)
            tested.append(measure_drift("prompts", ours, theirs, self.manifest.verification["limits"]))
        return [*tested, *self._fuse.run_self_test(), *self.patches.run_self_test()]

    def check_quickly(self) -> None:
        """Run one row of each kind; raise EngineError if this machine's numbers are not the export's."""
        run_text = self._texts.run if self._has_text else None
        tested = run_self_test(self.bundle, self._images, self.head, run_text, rows=1)
        for drift in (*tested, *self._fuse.run_self_test(rows=1)):  # pairs now, and not in the middle of a study
            require(drift)

    def _check_text(self, text: Session) -> None:
        """Raise EngineError if a text graph that was just loaded gives other numbers than the export's."""
        require(run_text_test(self.bundle, TextEncoder(self.bundle, text).run))

    def _open_later(self, image: Session, loaded: LoadedGraphs) -> GraphBeside:
        """Return the text graph as one that is loaded when it is first asked, and tested then."""
        return GraphBeside(
            self.bundle,
            self.manifest.graphs[TEXT],
            image,
            cpu=False,
            compute=compute_type(self.manifest.engine["precision"]),
            check=self._check_text,
            read_compiled=loaded.read_compiled,
        )
