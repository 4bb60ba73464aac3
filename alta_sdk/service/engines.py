"""The engines of a service: one Matcher each, opened at start and again on order only.

An engine that is replaced on disk changes nothing before `alta service reload`: what was verified is held in memory.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..errors import AltaError, ServiceError
from ..matching.matcher import Matcher
from ..matching.prompts import Labels
from ..study.study import Study
from .settings import EngineChoice

TRIAL_PX = 256
_log = logging.getLogger("alta_sdk")


@dataclass(frozen=True, eq=False)
class OpenEngine:
    """An engine that is open, and how it is asked."""

    choice: EngineChoice
    matcher: Matcher

    @property
    def labels(self) -> Labels:
        """What it is asked for."""
        labels = self.choice.labels
        return labels if isinstance(labels, str) else list(labels)

    @property
    def sha256(self) -> str:
        """The hash that names the engine."""
        return self.matcher.engine.manifest.sha256


class Engines:
    """The open engines by name; safe to share between threads."""

    def __init__(self, choices: Sequence[EngineChoice]) -> None:
        """Take what the configuration says; nothing is open yet."""
        self._choices = tuple(choices)
        self._open: dict[str, OpenEngine] = {}
        self._lock = threading.Lock()

    def open_all(self) -> dict[str, str]:
        """Open every engine anew and put them in the place of those before; return the hash of each by name.

        All or none: raises ServiceError with the reason, and those before stay.
        """
        opened: dict[str, OpenEngine] = {}
        try:
            for choice in self._choices:
                opened[choice.name] = open_engine(choice)
        except BaseException:
            _close(opened)
            raise
        with self._lock:  # waits for the study that is being scored
            before, self._open = self._open, opened
        _close(before)
        return {name: one.sha256 for name, one in opened.items()}

    def list_hashes(self) -> dict[str, str]:
        """Return the hash of each open engine by name."""
        return {name: one.sha256 for name, one in self._open.items()}

    @contextmanager
    def use(self, name: str) -> Iterator[OpenEngine]:
        """Give an engine that stays open until the block ends; raise ServiceError if it is not open."""
        with self._lock:
            found = self._open.get(name)
            if found is None:
                raise ServiceError("engine is not open: the service is starting or stopping")
            yield found

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            before, self._open = self._open, {}
        _close(before)


def open_engine(choice: EngineChoice) -> OpenEngine:
    """Open one engine, prove that it computes here, and score a made-up picture, so that all of it is loaded.

    Raises ServiceError that names the engine as the configuration does.
    """
    try:
        matcher = Matcher(
            choice.path,
            device=choice.device,
            runtime=choice.runtime,
            threads=choice.threads,
            fusion_mode=choice.fusion_mode,
            trust=choice.trust,
            audit=False,  # the queue holds the service's own
        )
        opened = OpenEngine(choice, matcher)
        try:
            study = make_trial_study(matcher.engine.manifest.intensity_profile)
            result = matcher.zero_shot(study, opened.labels)
            if choice.heat_map:  # what it needs is loaded now: later the files may be another's
                matcher.locate(study, result.top)
        except BaseException:
            matcher.close()
            raise
    except AltaError as error:
        raise ServiceError(f'engine "{choice.name}" cannot be opened: {error}') from error
    return opened


def make_trial_study(intensity_profile: str) -> Study:
    """Return a study of a made-up picture, which shows nothing."""
    ramp = np.add.outer(np.arange(TRIAL_PX), np.arange(TRIAL_PX)) // 2
    return Study.from_images(ramp.astype(np.uint8), any_picture=True, intensity_profile=intensity_profile)


def _close(engines: Mapping[str, OpenEngine]) -> None:
    for one in engines.values():
        one.matcher.close()
