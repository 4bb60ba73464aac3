"""How much memory a process may take from here on, for the processes that read what strangers made.

Imports nothing of this package: the program that decodes pixels runs this file by its path.
"""

import sys

MIB = 1 << 20
SIZE_COLUMN, DATA_COLUMN = 0, 5  # of /proc/self/statm


def limit_memory(limit: int, *, reserves: bool = False) -> None:
    """Let this process allocate no more than `limit` bytes beyond what it has now.

    reserves: this process will reserve far more addresses than it uses, as CUDA does: what may hold data counts, and
    not the addresses. The memory of a GPU does not count.
    """
    if sys.platform == "win32":
        _limit_memory_by_job(limit)
        return
    import resource

    kind, column = (resource.RLIMIT_DATA, DATA_COLUMN) if reserves else (resource.RLIMIT_AS, SIZE_COLUMN)
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[column]) * resource.getpagesize()
    except OSError:  # no /proc: macOS, which holds the limit loosely
        used = 512 * MIB
    try:
        resource.setrlimit(kind, (used + limit, used + limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would be a copy of patient data
    except (OSError, ValueError):  # a lower limit is set from outside: that one holds
        pass


def _limit_memory_by_job(limit: int) -> None:
    """Put this process into a Windows job object that limits its committed memory."""
    import ctypes

    class Basic(ctypes.Structure):
        _fields_ = [
            ("PerProcessUserTimeLimit", ctypes.c_int64),
            ("PerJobUserTimeLimit", ctypes.c_int64),
            ("LimitFlags", ctypes.c_uint32),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", ctypes.c_uint32),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", ctypes.c_uint32),
            ("SchedulingClass", ctypes.c_uint32),
        ]

    class Extended(ctypes.Structure):
        _fields_ = [
            ("Basic", Basic),
            ("IoInfo", ctypes.c_uint64 * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        ]

    process_memory, extended_limits = 0x100, 9
    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    kernel.CreateJobObjectW.restype = kernel.GetCurrentProcess.restype = ctypes.c_void_p
    job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
    limits = Extended()
    limits.Basic.LimitFlags = process_memory
    limits.ProcessMemoryLimit = 256 * MIB + limit  # what the interpreter and numpy have committed by now
    kernel.SetInformationJobObject(job, extended_limits, ctypes.byref(limits), ctypes.sizeof(limits))
    kernel.AssignProcessToJobObject(job, ctypes.c_void_p(kernel.GetCurrentProcess()))
