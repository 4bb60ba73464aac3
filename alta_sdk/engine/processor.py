"""The processor that computes, as provenance names it: its model, and the instruction sets that decide about numbers.

Kernels are chosen by these sets, and two of them differ in the last bits, of INT8 in more: it is what must be known to
tell a changed number from another machine.
"""

import platform
from functools import cache
from typing import Any

DECIDING = (  # names of Linux for x86-64, then for ARM
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "asimdhp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
)


def processor_name() -> str:
    """Return the processor's model name, or its architecture where the system does not tell."""
    return _read("model name") or platform.processor() or platform.machine()


@cache
def list_instruction_sets() -> tuple[str, ...]:
    """Return which of those sets this processor has; elsewhere than on Linux what numpy calls them, and tells."""
    told = (_read("flags") or _read("Features")).split()
    return tuple(name for name in DECIDING if name in told) if told else tuple(_ask_numpy())


@cache
def _read(key: str) -> str:
    """Return the value of a key that /proc/cpuinfo tells of the first processor, or nothing."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = (line.partition(":") for line in file)
            return next((value.strip() for name, _, value in lines if name.strip() == key), "")
    except OSError:  # not Linux
        return ""


def _ask_numpy() -> list[str]:
    import numpy as np

    told: Any = np.show_config(mode="dicts")
    extensions = told.get("SIMD Extensions", {})
    return [*extensions.get("baseline", ()), *extensions.get("found", ())]
