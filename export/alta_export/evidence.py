"""What a drift was measured on, and whether that is enough to believe it.

A worst case of 16 synthetic images says little of a hospital's radiographs. So the gate asks for a number of held-out
ones, of patients that the calibration did not see; an engine that was measured on less is written, and each of its
results says so. FP32 needs none: its graphs are compared with PyTorch itself, and nothing in them is rounded.
"""

from collections.abc import Sequence

import numpy as np

from alta_sdk.errors import CalibrationError

from .radiographs import Radiographs

MIN_HELD_OUT = 32
ENOUGH, FEW, SYNTHETIC, EXACT = "enough", "few", "synthetic", "none needed"


def judge_evidence(held: Radiographs, precision: str) -> str:
    """Say whether a drift was measured on enough: `ENOUGH`, `FEW`, `SYNTHETIC`, or `EXACT` of an engine in FP32."""
    if precision == "fp32":
        return EXACT
    if held.is_synthetic:
        return SYNTHETIC
    return ENOUGH if len(held) >= MIN_HELD_OUT else FEW


def tell_lack(evidence: str, precision: str, radiographs: int) -> str:
    """Return the notice of an engine that was measured on too little; "" if it was not."""
    if evidence == SYNTHETIC:
        return (
            f"DRIFT NOT MEASURED ON RADIOGRAPHS: this {precision} engine was compared with FP32 on {radiographs} "
            "synthetic images."
        )
    if evidence == FEW:
        return (
            f"DRIFT MEASURED ON {radiographs} RADIOGRAPHS: this {precision} engine was compared with FP32 on fewer "
            f"than {MIN_HELD_OUT}."
        )
    return ""


def spell_count(held: Radiographs) -> str:
    """Write how many radiographs of how many patients there are."""
    if held.is_synthetic:
        return f"{len(held)} synthetic images"
    patients = count_patients(held)
    return (
        f"{len(held)} radiographs of {patients} patients" if patients else f"{len(held)} radiographs, patients not told"
    )


def count_patients(held: Radiographs) -> int | None:
    """Return the number of patients; None if a radiograph does not tell its own."""
    return None if held.patients is None else len(np.unique(held.patients))


def refuse_overlap(shown: Radiographs, held: Radiographs) -> None:
    """Raise CalibrationError if held-out radiographs, or their patients, are among those of the calibration."""
    for what, calibrated, asked in (
        ("patients", _list_patients(shown), _list_patients(held)),
        ("radiographs", _list_pixels(shown), _list_pixels(held)),
    ):
        both = len(set(calibrated) & set(asked))
        if both:
            raise CalibrationError(
                f"{both} of {len(set(asked))} {what} of --held-out are in --calibration, too: no drift can be "
                "measured on what was calibrated on; hold whole patients out"
            )


def _list_patients(radiographs: Radiographs) -> Sequence[str]:
    return [] if radiographs.patients is None else [str(one) for one in radiographs.patients]


def _list_pixels(radiographs: Radiographs) -> Sequence[bytes]:
    return [one.tobytes() for one in radiographs.pixels]
