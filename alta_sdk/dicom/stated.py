"""What a header states: checked when it is read, refused only when it is needed.

A study may hold an image that no slot takes, or one whose window nobody asks for: what is wrong there must not
keep the others from being scored. The words of a refusal are kept and not the exception, whose traceback would hold
the whole data set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import DicomError

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Stated(Generic[T_co]):
    """A checked value, or why it cannot be used."""

    _values: tuple[T_co, ...]
    _refusal: str = ""

    @classmethod
    def read(cls, read: Callable[[], T_co]) -> "Stated[T_co]":
        """Keep what `read` returns, or why it raises DicomError."""
        try:
            return cls((read(),))
        except DicomError as error:
            return cls((), str(error))
        except Exception:  # values and errors of pydicom are of more kinds than it documents
            return cls((), "DICOM file is damaged: an element does not hold what it should")

    def get(self) -> T_co:
        """Return the value; raise DicomError if it cannot be used."""
        if not self._values:
            raise DicomError(self._refusal)
        return self._values[0]
