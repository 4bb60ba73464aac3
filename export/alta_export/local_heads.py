"""What the heat maps of an engine rest on: the temperature of the words' attention, and how exact the patches are."""

from dataclasses import dataclass
from typing import Any

import onnx

from alta_runtimes import Session, load

from .families.merged import Arrays
from .graph import count_operators
from .verify import LIMITS, compare_patches, widen_limits

PRECISION = "fp32"  # of the patch graph: it is one block in twelve, and runs on demand


@dataclass(frozen=True, eq=False)
class LocalHeads:
    """A patch graph, the engine's image graph, loaded, that gives it its tokens, and the words' temperature."""

    patches: onnx.ModelProto
    image: Session
    patch_scale: float


def describe_local_heads(heads: LocalHeads, image_precision: str, self_test: Arrays) -> dict[str, Any]:
    """Say for the manifest how words match patches, and the limits of the patches' self-test.

    At lower precisions the tokens that the FP32 patch graph reads come from a lowered image graph, so its
    drift is measured and the limits follow it.
    """
    session = load(heads.patches.SerializeToString(), runtime="onnxruntime")
    drift = compare_patches(heads.image, session, self_test, LIMITS)
    return {
        "precision": PRECISION,
        "patch_scale": heads.patch_scale,
        "operators": count_operators(heads.patches),
        "drift": {"worst_cosine": drift.worst_cosine, "max_abs": drift.max_abs},
        "limits": LIMITS if image_precision == "fp32" else widen_limits([drift]),
    }
