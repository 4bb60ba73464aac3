"""Take the parts of a STOW-RS request one by one, and report what became of each.

Source: PS3.18 section 10.5.3; failure reasons of PS3.4 annex B.2.3.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from ...errors import DicomError
from ..multipart import DICOM, BodyError, Part
from ..reception import Outcome
from .part10 import FileParts, split_file
from .view import ServiceView

_WORDS: dict[int, str] = {
    Outcome.STORED: "stored",
    Outcome.OUT_OF_RESOURCES: "refused: out of resources, try again later",
    Outcome.MISMATCH: "refused: SOP class or UID differ from the data set",
    Outcome.NOT_UNDERSTOOD: "refused: no DICOM file that can be read",
    Outcome.NOT_SUPPORTED: "refused: SOP class or transfer syntax is not taken here",
}


@dataclass(frozen=True)
class PartOutcome:
    """What became of one part. file: None of one that is no DICOM file; key: of its study, once it is stored."""

    status: int
    file: FileParts | None
    key: str = ""


@dataclass
class StoreReport:
    """What became of all parts."""

    outcomes: list[PartOutcome] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The HTTP status: 200 all stored, 202 some, 503 none for lack of room, 409 none."""
        statuses = {one.status for one in self.outcomes}
        if statuses == {Outcome.STORED}:
            return 200
        if Outcome.STORED in statuses:
            return 202
        return 503 if Outcome.OUT_OF_RESOURCES in statuses else 409

    @property
    def keys(self) -> list[str]:
        """The keys of the studies that something was stored of."""
        return sorted({one.key for one in self.outcomes} - {""})

    def describe(self) -> dict[str, Any]:
        """Return plain types: by part, its study's key and what became of it."""
        parts = [
            {"status": f"{one.status:04X}", "told": say_status(one.status), "key": one.key} for one in self.outcomes
        ]
        return {"keys": self.keys, "parts": parts}

    def write_dicom_json(self) -> str:
        """Return the Store Instances Response in the DICOM JSON model."""
        stored = [_make_item(one) for one in self.outcomes if one.status == Outcome.STORED]
        failed = [_make_item(one) for one in self.outcomes if one.status != Outcome.STORED and one.file]
        unread = [{"00081197": _us(one.status)} for one in self.outcomes if one.file is None]
        content = {
            "00081190": {"vr": "UR", "Value": [f"/studies/{self.keys[0]}"]} if len(self.keys) == 1 else None,
            "00081198": _sq(failed),
            "00081199": _sq(stored),
            "0008119A": _sq(unread),
        }
        return json.dumps({tag: value for tag, value in content.items() if value})


class Taking:
    """One request's parts on their way into the service."""

    def __init__(self, view: ServiceView, actor: str) -> None:
        """Take them for somebody."""
        self.report = StoreReport()
        self._view = view
        self._actor = actor

    def take(self, part: Part) -> None:
        """Keep one part if it can be; raise BodyError (415) if it is not said to be DICOM."""
        if part.media_type != DICOM:
            raise BodyError(415, "part is not application/dicom: send DICOM files")
        try:
            file = split_file(part.data)
        except DicomError:
            self.report.outcomes.append(PartOutcome(Outcome.NOT_UNDERSTOOD, None))
            return
        take = self._view.reception.take
        status = int(take(file.dataset, file.sop_class, file.sop_uid, file.syntax, self._actor))
        found = self._view.store.find_instance(file.sop_uid) if status == Outcome.STORED else None
        told = FileParts(file.sop_class, file.sop_uid, file.syntax, b"")  # the bytes are kept no longer
        self.report.outcomes.append(PartOutcome(status, told, found.study_key if found else ""))


def say_status(status: int) -> str:
    """Return a DICOM status in words."""
    return _WORDS.get(status, "refused")


def _make_item(one: PartOutcome) -> dict[str, Any]:
    assert one.file is not None
    item = {
        "00081150": {"vr": "UI", "Value": [one.file.sop_class]},
        "00081155": {"vr": "UI", "Value": [one.file.sop_uid]},
    }
    if one.status != Outcome.STORED:
        return item | {"00081197": _us(one.status)}
    return item | {"00081190": {"vr": "UR", "Value": [f"/studies/{one.key}"]}}


def _us(value: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [value]}


def _sq(items: list[dict[str, Any]]) -> dict[str, Any] | None:
    return {"vr": "SQ", "Value": items} if items else None
