"""What was computed of which pixels, when and by what: a line of JSON a study in a file of the site's, off by default.

No identifier is in it: a study is named by its radiographs' hashes, a prompt by its hash. The first fields are those
of the service's own audit (`alta_sdk/service/audit.py`): at, actor, action, study_key, detail.
A result without its line would be one that nobody can trace, so what cannot be written is an error.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from ..dicom.files import PathLike
from ..engine.clock import tell_time
from ..errors import AltaError
from ..files.appending import append_line, open_to_append
from ..files.opening import read_bytes
from ..files.targets import refuse_engines

SCHEMA_VERSION = 1
AUDIT_VARIABLE = "ALTA_AUDIT"
PROGRAM = "alta_sdk"
FIRST = f'{{"schema_version": {SCHEMA_VERSION}, "at": "'.encode()  # how each line begins
# Of the provenance: what tells which numbers these are, and neither texts nor what the engine's file tells as well.
FIELDS = (
    "sdk_version",
    "engine",
    "engine_sha256",
    "signature",
    "signed_by",
    "precision",
    "runtime",
    "device",
    "threads",
    "processor",
    "instruction_sets",
    "fusion_mode",
    "slots",
    "intensity_profile",
    "decoders",
    "pixels_sha256",
    "reading",
    "logit_scale",
    "label_set",
    "prompts_sha256",
    "thresholds_sha256",
)


class HasProvenance(Protocol):
    """A result."""

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Where it comes from."""


Found = TypeVar("Found", bound=HasProvenance)


class AuditLog:
    """A file of lines that several processes may write at once."""

    def __init__(self, path: PathLike, *, actor: str = PROGRAM, keeps_on: bool = False) -> None:
        """Open a file, or make it; raise AltaError if lines cannot be added to it, or it holds others.

        actor: what computes, as lines name it. keeps_on: a line that cannot be written raises at `check`, not at once.
        """
        self._path, self._actor, self._keeps_on = Path(path), actor, keeps_on
        self._fault, self._lost, self._study_key = "", 0, ""
        refuse_engines(self._path, "audit log", AltaError)
        try:
            os.close(open_to_append(self._path))
            head = read_bytes(self._path, len(FIRST))
        except OSError as error:
            reason = _say(error)
            raise AltaError(f"audit log cannot be opened: {reason}; check its name, its folder and rights") from error
        if head and not head.startswith(FIRST):
            raise AltaError("audit log is a file that alta-sdk did not write: give another name, nothing was added")

    @contextmanager
    def about(self, study_key: str) -> Iterator[None]:
        """Name a study by its opaque key in the lines that are added meanwhile; for commands, which have one thread."""
        self._study_key = study_key
        try:
            yield
        finally:
            self._study_key = ""

    def note(
        self, action: str, provenance: Mapping[str, Any], *, scores: Mapping[str, float] | None = None, detail: str = ""
    ) -> None:
        """Add what was done to a study: scored, embedded, ranked, located. Raises AltaError as the class says."""
        told = {name: provenance[name] for name in FIELDS if name in provenance}
        numbers = {} if scores is None else {"scores": dict(scores)}
        self._add({"action": action, "study_key": self._study_key, "detail": detail, **told, **numbers})

    def note_refused(self, kind: str) -> None:
        """Add that a study has no result; kind: the class of the error, without its message."""
        self._add({"action": "refused", "study_key": self._study_key, "detail": kind})

    def check(self) -> None:
        """Raise AltaError if a line could not be written."""
        if self._fault:
            raise AltaError(f"audit log lacks {self._lost} lines: {self._fault}; see to the disk")

    def _add(self, told: dict[str, Any]) -> None:
        line = {"schema_version": SCHEMA_VERSION, "at": tell_time(), "actor": self._actor, **told}
        try:
            append_line(self._path, json.dumps(line, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n")
        except OSError as error:  # TimeoutError is one
            self._fault, self._lost = self._fault or _say(error), self._lost + 1
            if not self._keeps_on:
                raise AltaError(f"audit log cannot be written, so there is no result: {_say(error)}") from error


def choose_audit(given: PathLike | AuditLog | Literal[False] | None) -> AuditLog | None:
    """Return the log to write: the one given, else that of ALTA_AUDIT, else none; False asks for none whatever is set.

    Raises AltaError for one that cannot be opened.
    """
    if given is False or isinstance(given, AuditLog):
        return given or None
    if given is not None and not isinstance(given, str | os.PathLike):
        raise AltaError("the audit log is given by the path of its file")
    path = given if given is not None else os.environ.get(AUDIT_VARIABLE, "")
    return AuditLog(path) if path else None


def note(audit: AuditLog | None, action: str, provenance: Mapping[str, Any]) -> None:
    """Add what was done to a study to a log, where there is one."""
    if audit is not None:
        audit.note(action, provenance)


def note_refused(audit: AuditLog | None, kind: str) -> None:
    """Add that a study has no result to a log, where there is one; kind: the class of the error."""
    if audit is not None:
        audit.note_refused(kind)


def about(audit: AuditLog | None, study_key: str) -> AbstractContextManager[None]:
    """Name a study in the lines that are added meanwhile to a log, where there is one."""
    return nullcontext() if audit is None else audit.about(study_key)


def note_result(audit: AuditLog | None, action: str, found: Found) -> Found:
    """Do the same with a result, and return it."""
    note(audit, action, found.provenance)
    return found


def _say(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
