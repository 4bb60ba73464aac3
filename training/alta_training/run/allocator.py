"""Freed memory kept for the next step: without it every step asks the system anew, and pays a fault for each page.

glibc gives large arrays back as soon as they are freed, and maps new ones. Training allocates the same sizes step by
step. `mallopt` is asked for it in the running process, which must do so before its large arrays are made.
"""

import ctypes
import os
from collections.abc import Mapping

# Parameters of mallopt. Source: malloc.h of glibc, and its manual, "Malloc Tunable Parameters".
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
SETTINGS = {MMAP_MAX: 0, TRIM_THRESHOLD: -1, TOP_PAD: 64 * 2**20}  # no own mapping, never trimmed, grown by 64 MiB
TOLD = "freed memory is kept for the next step (glibc's mallopt); a MALLOC_ variable of your own is left as it is"


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Let this process keep what it frees; return whether it does.

    Left alone: another C library than glibc, another allocator (LD_PRELOAD), and whoever has set glibc's own variables.
    """
    if not is_glibc() or has_own_settings(environment):
        return False
    try:
        library = ctypes.CDLL(None)
        return all(library.mallopt(name, value) == 1 for name, value in SETTINGS.items())
    except (OSError, AttributeError):
        return False


def is_glibc() -> bool:
    """Tell whether the C library of this process is glibc."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # Windows, macOS, musl
        return False


def has_own_settings(environment: Mapping[str, str]) -> bool:
    """Tell whether a person has chosen an allocator, or settings of glibc's."""
    own = any(name.startswith("MALLOC_") for name in environment)
    return own or "malloc" in environment.get("GLIBC_TUNABLES", "") or "malloc" in environment.get("LD_PRELOAD", "")
