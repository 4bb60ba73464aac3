"""Ask an archive for earlier studies: C-FIND and C-GET on one association, or QIDO-RS and WADO-RS.

Images are got series by series, and of radiography alone: asked for a whole study in which a report lies, ours for
example, an archive fails as a whole where no context for reports was proposed. Each transfer syntax has a presentation
context of its own, so that every image comes in the one that it is kept in.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

from pydicom import Dataset
from pynetdicom import build_role, evt
from pynetdicom.association import Association

from ..errors import ServiceError
from .calling import Contexts, call_peer, hang_up
from .dicomweb import WebClient, join_path
from .prior_files import PriorFiles
from .prior_lists import RADIOGRAPHY, Current, StudyListing
from .settings import DicomPeer, WebPeer
from .syntaxes import COMMAND_SYNTAXES, list_storage_classes, list_syntaxes

FIND, GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"  # Study Root
PENDING, SUCCESS, PARTIAL = (0xFF00, 0xFF01), 0x0000, 0xB000
STORED, OUT_OF_RESOURCES = 0x0000, 0xA700
MAX_STUDIES, MAX_SERIES, MAX_INSTANCES = 1000, 20, 100
_TOO_MANY = "the archive lists more than {} {}"


class Archive(Protocol):
    """An archive that is open."""

    def list_studies(self, current: Current) -> list[StudyListing]:
        """Return the studies up to the current one's day. Raises ServiceError."""

    def retrieve(self, study_uid: str, files: PriorFiles) -> None:
        """Get the radiographs of a study, as far as there is room. Raises ServiceError."""


class Line:
    """What hangs up on an archive, from another thread."""

    def __init__(self) -> None:
        """Begin with nothing to hang up."""
        self.association: Association | None = None

    def end(self) -> None:
        """End what is open; a web request ends at its time."""
        if self.association is not None:
            hang_up(self.association)


@contextmanager
def open_archive(
    peer: DicomPeer | WebPeer, ae_title: str, seconds: float, line: Line, files: PriorFiles
) -> Iterator[Archive]:
    """Hold an archive for at most so long; raise ServiceError if it cannot be reached."""
    if not isinstance(peer, DicomPeer):
        yield WebArchive(WebClient(peer), time.monotonic() + seconds)
        return
    classes = list_storage_classes()
    contexts: Contexts = [
        *((uid, COMMAND_SYNTAXES) for uid in (FIND, GET)),
        *((uid, (syntax,)) for uid in classes for syntax in list_syntaxes()),
    ]
    bounded = replace(peer, timeout_seconds=min(peer.timeout_seconds, seconds))
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, _take, [files])]
    roles = [build_role(uid, scp_role=True) for uid in classes]
    with call_peer(ae_title, bounded, contexts, roles=roles, handlers=handlers) as association:
        line.association = association
        yield DicomArchive(association)


def _take(event: evt.Event, files: PriorFiles) -> int:
    """Take an image that an archive sends for our C-GET; return the status of its C-STORE."""
    try:
        return STORED if files.write(event.encoded_dataset()) else OUT_OF_RESOURCES
    except (OSError, ServiceError):
        return OUT_OF_RESOURCES


class DicomArchive:
    """C-FIND and C-GET."""

    def __init__(self, association: Association) -> None:
        """Ask on an association."""
        self._association = association

    def list_studies(self, current: Current) -> list[StudyListing]:
        """Return the studies up to the current one's day."""
        query = _make_query("STUDY", PatientID=current.patient_id, StudyDate=f"-{current.date}")
        for keyword in ("StudyInstanceUID", "StudyTime", "ModalitiesInStudy"):
            setattr(query, keyword, "")
        return [
            StudyListing(
                _text(one, "StudyInstanceUID"),
                _text(one, "PatientID"),
                _text(one, "StudyDate"),
                _text(one, "StudyTime"),
                frozenset(_text(one, "ModalitiesInStudy").split("\\")) - {""},
            )
            for one in self._find(query, MAX_STUDIES, "studies")
        ]

    def retrieve(self, study_uid: str, files: PriorFiles) -> None:
        """Get the series of radiography, one after the other."""
        query = _make_query("SERIES", StudyInstanceUID=study_uid)
        query.SeriesInstanceUID = query.Modality = ""
        found = self._find(query, MAX_SERIES, "series of a study")
        for one in found:
            if _text(one, "Modality") in RADIOGRAPHY and not files.is_full:
                self._get(study_uid, _text(one, "SeriesInstanceUID"), files)

    def _find(self, query: Dataset, most: int, what: str) -> list[Dataset]:
        found: list[Dataset] = []
        for status, answer in _ask(lambda: self._association.send_c_find(query, FIND)):
            number = _check(status, "C-FIND")
            if number in PENDING and answer is not None:
                found.append(answer)
            if len(found) > most:
                raise ServiceError(_TOO_MANY.format(most, what))
        return found

    def _get(self, study_uid: str, series_uid: str, files: PriorFiles) -> None:
        query = _make_query("SERIES", StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)
        for status, _ in _ask(lambda: self._association.send_c_get(query, GET)):
            if files.is_full and status.get("Status") is not None:
                continue  # it counts what we did not take as failed
            files.is_partial |= _check(status, "C-GET", (PARTIAL,)) == PARTIAL


class WebArchive:
    """QIDO-RS and WADO-RS."""

    def __init__(self, client: WebClient, until: float) -> None:
        """Ask a server until a time of the monotonic clock."""
        self._client, self._until = client, until

    def list_studies(self, current: Current) -> list[StudyListing]:
        """Return the studies up to the current one's day."""
        query = {"PatientID": current.patient_id, "StudyDate": f"-{current.date}", "includefield": "ModalitiesInStudy"}
        return [
            StudyListing(
                _value(one, "0020000D"),
                _value(one, "00100020"),
                _value(one, "00080020"),
                _value(one, "00080030"),
                frozenset(_values(one, "00080061")),
            )
            for one in self._search("/studies", query, MAX_STUDIES, "studies")
        ]

    def retrieve(self, study_uid: str, files: PriorFiles) -> None:
        """Get the images of radiography, one after the other, each as it is kept."""
        path = join_path("studies", study_uid, "series")
        for series in self._search(path, {}, MAX_SERIES, "series of a study"):
            if _value(series, "00080060") in RADIOGRAPHY:
                self._retrieve_series(path + join_path(_value(series, "0020000E"), "instances"), files)

    def _retrieve_series(self, path: str, files: PriorFiles) -> None:
        classes = list_storage_classes()
        for one in self._search(path, {}, MAX_INSTANCES, "images of a series"):
            if _value(one, "00080016") in classes and not files.is_full:
                where = path + join_path(_value(one, "00080018"))
                for part in self._client.retrieve(where, most_bytes=files.get_room(), seconds=self._left()):
                    files.write(part)

    def _search(self, path: str, query: dict[str, str], most: int, what: str) -> list[dict[str, Any]]:
        found = self._client.search(path, {**query, "limit": str(most + 1)}, seconds=self._left())
        if len(found) > most:
            raise ServiceError(_TOO_MANY.format(most, what))
        return found

    def _left(self) -> float:
        return self._until - time.monotonic()


def _make_query(level: str, **keys: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = level
    if not all(value.isascii() for value in keys.values()):
        query.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


def _ask(send: Any) -> Iterator[tuple[Dataset, Dataset | None]]:
    """Yield the answers to a request; what pynetdicom raises quotes values."""
    try:
        yield from send()
    except (ValueError, AttributeError, RuntimeError, TypeError) as error:
        raise ServiceError("the archive accepts no C-FIND and C-GET, or has ended the association") from error


def _check(status: Dataset, what: str, allowed: Sequence[int] = ()) -> int:
    """Return a status if the archive does what it was asked; raise ServiceError if not."""
    number: Any = status.get("Status")
    if number is None:
        raise ServiceError(f"the archive does not answer to a {what}")
    if number == SUCCESS or number in PENDING or number in allowed:
        return int(number)
    raise ServiceError(f"the archive answers to a {what} with status 0x{number:04X}")


def _text(answer: Dataset, keyword: str) -> str:
    """Return what an archive says, of several values all; "" of what cannot be read."""
    with suppress(Exception):  # pydicom raises what it likes
        value: Any = answer.get(keyword)
        if value is not None:
            return value if isinstance(value, str) else "\\".join(map(str, value))
    return ""


def _values(answer: dict[str, Any], tag: str) -> list[str]:
    """Return the values of an element of DICOM JSON that are text."""
    element = answer.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [one for one in values if isinstance(one, str)] if isinstance(values, list) else []


def _value(answer: dict[str, Any], tag: str) -> str:
    return next(iter(_values(answer, tag)), "")
