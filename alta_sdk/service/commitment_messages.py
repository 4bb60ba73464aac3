"""What storage commitment says: which objects are meant, kept and not kept (PS3.3 C.14)."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_ITEMS = 10_000
_UID = re.compile(r"[0-9.]{1,64}")


def make_report(
    transaction: str, kept: Sequence[tuple[str, str]], failed: Sequence[tuple[str, str, int]] = ()
) -> "Dataset":
    """Return the event information of an answer, or with no failed one the action information of a question."""
    from pydicom import Dataset

    report = Dataset()
    report.TransactionUID = transaction
    if kept:
        report.ReferencedSOPSequence = [_make_item(*item) for item in kept]
    if failed:
        report.FailedSOPSequence = [_make_item(*item) for item in failed]
    return report


def _make_item(sop_class: str, sop_uid: str, reason: int | None = None) -> "Dataset":
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = sop_uid
    if reason is not None:
        item.FailureReason = reason
    return item


def read_transaction(information: "Dataset") -> str:
    """Return a message's transaction UID; nothing if it has none."""
    value = str(information.get("TransactionUID") or "")
    return value if _UID.fullmatch(value) else ""


def read_items(sequence: Any) -> tuple[tuple[str, str], ...]:
    """Return (SOP class, SOP instance) pairs; none at all if one of them is wrong, or there are too many."""
    if not sequence or len(sequence) > MAX_ITEMS:
        return ()
    items = [
        (str(item.get("ReferencedSOPClassUID") or ""), str(item.get("ReferencedSOPInstanceUID") or ""))
        for item in sequence
    ]
    return tuple(items) if all(_UID.fullmatch(uid) for item in items for uid in item) else ()
