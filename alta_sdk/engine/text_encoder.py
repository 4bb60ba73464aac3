"""From prompts to vectors: tokens in few fixed shapes, and nothing encoded twice.

A prompt's vector does not depend on the prompts beside it: they run eight at once, in one fixed shape.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alta_runtimes import Session

from .bundle import TOKENIZER, Bundle
from .manifest_content import TEXT
from .prompt_words import WordCount, check_text
from .tokenizer import EncodedPrompt, PromptTokenizer
from .vectors import Vector, require_finite, take_output

TEXT_ROWS = 8
MAX_CACHED_PROMPTS = 20_000
RunText = Callable[[NDArray[np.int64], NDArray[np.int64]], Vector]  # tokens and mask to projections


class TextEncoder:
    """Encodes prompts with one loaded text graph; safe to share between threads."""

    def __init__(self, bundle: Bundle, session: Session, stored: Mapping[str, Vector] | None = None) -> None:
        """Encode with a bundle's tokenizer and its text graph; raises EngineError for a damaged tokenizer.

        stored: vectors (embedding,) float32 of the prompts that the export has encoded, not normalised.
        """
        self._stored = dict(stored or {})
        self.max_tokens = bundle.manifest.sizes["max_tokens"]
        rule = bundle.manifest.prompt_rule
        self.tokenizer = PromptTokenizer(bundle.read_text(TOKENIZER), self.max_tokens, rule)
        self._session = session
        self._graph = bundle.manifest.graphs[TEXT]
        self._width = bundle.manifest.sizes["embedding"]
        self._known: dict[str, tuple[Vector, WordCount]] = {}
        self._lock = threading.Lock()

    def run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Vector:
        """Run the graph: tokens (n, length) to global projections (n, embedding), not normalised."""
        return take_output(self._run(input_ids, attention_mask), "projection", len(input_ids), 2)

    def project_words(self, phrase: str) -> Vector:
        """Return the local projections of a phrase's tokens, [SEP] included: (words, embedding), not normalised.

        Raises PromptError for an empty phrase or one that is too long, EngineError for values that are not finite.
        """
        ids = self.tokenizer.encode([phrase])[0]
        input_ids, mask = self.tokenizer.pad([ids], TEXT_ROWS)
        words = take_output(self._run(input_ids, mask), "words", len(input_ids), 3)
        own = words[0, : len(ids) - 1]  # the graph has dropped [CLS]
        require_finite(own, "values of the words of the phrase are")
        return own

    def project_prompts(self, prompts: Sequence[str]) -> Vector:
        """Return the global projections (n, embedding) float32 of prompts, not normalised; cached.

        Raises PromptError for an empty prompt or one that is too long, EngineError for values that are not finite.
        """
        known = self._read(prompts)
        vectors = [known[prompt][0] for prompt in prompts]
        return np.stack(vectors) if vectors else np.zeros((0, self._width), np.float32)

    def count_words(self, prompts: Sequence[str]) -> list[WordCount]:
        """Return how many words of each prompt the vocabulary knows; raises what `project_prompts` raises."""
        known = self._read(prompts)
        return [known[prompt][1] for prompt in prompts]

    def clear(self) -> None:
        """Forget the prompts that were encoded."""
        with self._lock:
            self._known.clear()
            self._stored = {}

    def compute_stored(self) -> tuple[Vector, Vector] | None:
        """Return the vectors (prompts, embedding) of the stored prompts as computed here, and as stored; or None."""
        stored = self._stored
        if not stored:
            return None
        computed = project_encoded(self.tokenizer, self.tokenizer.read(list(stored)), self.run)
        return np.stack(computed), np.stack(list(stored.values()))

    def _read(self, prompts: Sequence[str]) -> dict[str, tuple[Vector, WordCount]]:
        """Return the projection and the words of each prompt; those that are not kept are encoded, all at once."""
        for number, prompt in enumerate(prompts, start=1):
            check_text(prompt, f"prompt {number} of {len(prompts)}")
        with self._lock:
            known = {prompt: self._known[prompt] for prompt in prompts if prompt in self._known}
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        if new:
            encoded = dict(zip(new, self.tokenizer.read(new), strict=True))
            stored = self._stored  # `clear` may put another in its place meanwhile
            vectors = {prompt: stored[prompt] for prompt in new if prompt in stored}
            asked = [prompt for prompt in new if prompt not in vectors]
            computed = project_encoded(self.tokenizer, [encoded[prompt] for prompt in asked], self.run)
            vectors.update(zip(asked, computed, strict=True))
            known.update((prompt, (vectors[prompt], encoded[prompt].words)) for prompt in new)
        with self._lock:
            if len(self._known) + len(new) > MAX_CACHED_PROMPTS:
                self._known.clear()
            self._known.update((prompt, known[prompt]) for prompt in new)
        return known

    def _run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        given = self._graph.select_inputs({"input_ids": input_ids, "attention_mask": attention_mask})
        return self._session.run(given)


def project_encoded(tokenizer: PromptTokenizer, encoded: Sequence[EncodedPrompt], run: RunText) -> list[Vector]:
    """Return the projection (embedding,) float32 of each prompt, in the fixed shapes that a text graph is run in.

    run: tokens (8, length) and their mask to projections (8, embedding). Raises EngineError for values that are not
    finite.
    """
    projected: dict[int, Vector] = {}
    for chunk in _chunks_of_one_length([tokenizer.padded_length(one.ids) for one in encoded]):
        vectors = run(*tokenizer.pad([encoded[i].ids for i in chunk], TEXT_ROWS))
        require_finite(vectors[: len(chunk)], "values of a prompt are")
        projected.update((i, vectors[row].copy()) for row, i in enumerate(chunk))
    return [projected[i] for i in range(len(encoded))]


def _chunks_of_one_length(lengths: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield indices in chunks of at most 8 whose padded lengths are equal."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in groupby(order, key=lengths.__getitem__):
        same = tuple(group)
        yield from (same[start : start + TEXT_ROWS] for start in range(0, len(same), TEXT_ROWS))
