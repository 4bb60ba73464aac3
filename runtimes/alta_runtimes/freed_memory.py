"""Freed memory back to the system, while a graph loads and when it is loaded.

A back end frees about as much as a graph weighs while it loads one, in pieces that glibc keeps for later. They would
stand beside what it packs of the same weights next: 90 MB more at the peak, of a graph of 98 MB.
"""

import ctypes
from collections.abc import Callable
from functools import cache


def give_back_freed() -> None:
    """Give back to the system what was freed; nothing where the C library is not glibc."""
    trim = _find_trim()
    if trim is not None:
        trim(0)


@cache
def _find_trim() -> Callable[[int], int] | None:
    """Return glibc's malloc_trim. Source: the manual page malloc_trim(3)."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # musl, macOS; Windows has no library without a name
        return None
    return found
