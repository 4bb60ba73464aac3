"""From prompts to vectors: tokens in few fixed shapes, and nothing encoded twice.

A prompt's vector does not depend on the prompts beside it: they run eight at once, in one fixed shape.
"""

import threading
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session

from .bundle import TOKENIZER, Bundle
from .tokenizer import PromptTokenizer, pad_tokens, padded_length
from .vectors import Vector

TEXT_ROWS = 8
MAX_CACHED_PROMPTS = 20_000


class TextEncoder:
    """Encodes prompts with one loaded text graph; safe to share between threads."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        """Encode with a bundle's tokenizer and its text graph, loaded; raises EngineError for a damaged tokenizer."""
        self.max_tokens = bundle.manifest.sizes["max_tokens"]
        self.tokenizer = PromptTokenizer(bundle.read_text(TOKENIZER), self.max_tokens)
        self._session = session
        self._width = bundle.manifest.sizes["embedding"]
        self._projections: dict[str, Vector] = {}
        self._lock = threading.Lock()

    def run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Vector:
        """Run the graph: tokens (n, length) to global projections (n, embedding), not normalised."""
        outputs = self._session.run({"input_ids": input_ids, "attention_mask": attention_mask})
        return np.asarray(outputs["projection"], dtype=np.float32)

    def project_words(self, phrase: str) -> Vector:
        """Return the local projections of a phrase's tokens, [SEP] included: (words, embedding), not normalised.

        Raises PromptError for an empty phrase or one that is too long.
        """
        ids = self.tokenizer.encode([phrase])[0]
        input_ids, mask = pad_tokens([ids], TEXT_ROWS, self.max_tokens)
        words = self._session.run({"input_ids": input_ids, "attention_mask": mask})["words"]
        return np.asarray(words[0, : len(ids) - 1], dtype=np.float32)  # the graph has dropped [CLS]

    def project_prompts(self, prompts: Sequence[str]) -> Vector:
        """Return the global projections (n, embedding) float32 of prompts, not normalised; cached.

        Raises PromptError for an empty prompt or one that is too long.
        """
        known: dict[str, Vector] = {}
        with self._lock:
            known.update((p, self._projections[p]) for p in prompts if p in self._projections)
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        known.update(zip(new, self._project_new(new), strict=True))
        with self._lock:
            if len(self._projections) + len(new) > MAX_CACHED_PROMPTS:
                self._projections.clear()
            self._projections.update((prompt, known[prompt]) for prompt in new)
        return np.stack([known[prompt] for prompt in prompts]) if prompts else np.zeros((0, self._width), np.float32)

    def _project_new(self, prompts: Sequence[str]) -> list[Vector]:
        encoded = self.tokenizer.encode(prompts) if prompts else []
        projected: dict[int, Vector] = {}
        for chunk in _chunks_of_one_length(encoded):
            vectors = self.run(*pad_tokens([encoded[i] for i in chunk], TEXT_ROWS, self.max_tokens))
            projected.update((i, vectors[row].copy()) for row, i in enumerate(chunk))
        return [projected[i] for i in range(len(prompts))]


def _chunks_of_one_length(encoded: list[list[int]]) -> Iterator[tuple[int, ...]]:
    """Yield indices in chunks of at most 8 whose padded lengths are equal."""
    order = sorted(range(len(encoded)), key=lambda i: padded_length(encoded[i]))
    for _, group in groupby(order, key=lambda i: padded_length(encoded[i])):
        same = tuple(group)
        yield from (same[start : start + TEXT_ROWS] for start in range(0, len(same), TEXT_ROWS))
