"""Many studies, one after another: read in several threads, encoded together, each given or refused in its turn.

Every command and method that runs over a list comes through `stream_studies`. A vector is what a run of that
radiograph alone gives, to the last bit (`engine/image_encoder.py`): what is encoded together changes the time alone.
"""

from collections.abc import Callable, Generator, Iterable, Sequence, Sized
from contextlib import closing, suppress
from itertools import count
from typing import Protocol, TypeVar

from ..engine.engine import Engine
from ..errors import AltaError, StudyError
from ..study.read_ahead import ReadAhead
from ..study.study import Study
from .embeddings import Embedded, OneStudy, StudyEmbedding, choose_radiographs, embed_study

LONG = 48  # studies of a list for which it pays to load the image graph once more, for its readers

Item = TypeVar("Item")
Read = TypeVar("Read")


class Embeds(Protocol):
    """What a study is embedded by: a Matcher."""

    @property
    def engine(self) -> Engine:
        """Its engine."""

    @property
    def fusion_mode(self) -> str:
        """The mode that it embeds in."""

    @property
    def intensity_profile(self) -> str:
        """What studies are read with for it."""


def take_study(read: object, _: Embeds) -> Study | None:
    """Return what was read if it is a study."""
    return read if isinstance(read, Study) else None


def stream_studies(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    matchers: Sequence[Embeds],
    find_study: Callable[[Read, Embeds], Study | None] = take_study,
) -> Generator[Read | StudyError, None, None]:
    """Yield what `read` makes of each item, in order, or the StudyError for which it cannot be read.

    read: called by several threads; memory does not grow with the list. matchers: what the studies are for: when one
    is given, its radiographs are in the cache of its engine, as a rule. find_study: returns the study in what was
    read, as a matcher is to see it, or none. Close it to end the threads.
    """
    together = max(matcher.engine.together for matcher in matchers)

    is_long, began = isinstance(items, Sized) and len(items) >= LONG, count()

    def read_ready(item: Item) -> Read:
        one, encodes = read(item), next(began) >= LONG or is_long
        for matcher in matchers:
            prepare(matcher, find_study(one, matcher), encodes=encodes)
        return one

    with ReadAhead(items, read_ready, together=together) as stream:
        while True:
            try:
                one = next(stream)
            except StopIteration:
                return
            except StudyError as error:
                yield error
                continue
            coming = [one, *stream.peek_ready(together - 1)]
            for matcher in matchers:
                encode_ahead(matcher, [find_study(other, matcher) for other in coming])
            yield one


def embed_all(
    matcher: Embeds, studies: Iterable[OneStudy], read: Callable[[OneStudy], Study | StudyEmbedding]
) -> Generator[Embedded, None, None]:
    """Embed studies one by one, each with what the provenance says of it; one that cannot be read raises at its turn.

    Raises StudyError for what is no list of studies, and what `read` and `embed_study` raise.
    """
    with closing(stream_studies(studies, read, (matcher,))) as stream:
        for study in stream:
            if isinstance(study, StudyError):
                raise study
            yield embed_study(matcher.engine, study, matcher.fusion_mode)


def prepare(matcher: Embeds, study: Study | None, *, encodes: bool) -> None:
    """Make what an engine sees of a study's radiographs, in the thread that has read it; encodes: its vectors, too."""
    if study is not None:
        with suppress(AltaError):  # told at the study's own turn
            radiographs = choose_radiographs(matcher.engine, study, matcher.fusion_mode)
            for radiograph in radiographs.values():
                radiograph.pixels_for(matcher.engine.geometry)
            if encodes:
                matcher.engine.encode_beside(radiographs)


def encode_ahead(matcher: Embeds, studies: Sequence[Study | None]) -> None:
    """Encode radiographs of the first study and of those that come next as one batch, where that pays.

    What is wrong with a study, or with the batch, is told at the study's own turn.
    """
    chosen = []
    for study in studies:
        if study is not None:
            with suppress(AltaError):
                chosen.append(choose_radiographs(matcher.engine, study, matcher.fusion_mode))
    with suppress(AltaError):
        matcher.engine.encode_ahead(chosen)
