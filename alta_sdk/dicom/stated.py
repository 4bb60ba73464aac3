"""What a header states: checked when it is read, refused only when it is needed.

A study may hold an image that no slot takes, or one whose window nobody asks for: what is wrong there must not
keep the others from being scored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..errors import DicomError

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, eq=False)
class Stated(Generic[T_co]):
    """A checked value, or why it cannot be used."""

    _found: T_co | DicomError

    @classmethod
    def read(cls, read: Callable[[], T_co]) -> "Stated[T_co]":
        """Keep what `read` returns, or the DicomError that it raises."""
        try:
            return cls(read())
        except DicomError as error:
            return cls(error)
        except Exception as error:  # values of pydicom are of more kinds than it documents
            damage = DicomError("DICOM file is damaged: an element does not hold what it should")
            damage.__cause__ = error
            return cls(damage)

    def get(self) -> T_co:
        """Return the value; raise DicomError if it cannot be used."""
        if isinstance(self._found, DicomError):
            raise DicomError(str(self._found)) from self._found
        return self._found
