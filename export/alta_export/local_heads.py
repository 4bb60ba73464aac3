"""What the heat maps of an engine rest on: the temperature of the words' attention, and how exact the patches are."""

import math
from dataclasses import dataclass
from typing import Any

import onnx

from alta_runtimes import Session, load
from alta_training.model import AltaModel

from .graph import count_operators
from .verify import LIMITS, Arrays, compare_patches, widen_limits

PRECISION = "fp32"  # of the patch graph: it is one block in twelve, and runs on demand


@dataclass(frozen=True, eq=False)
class LocalHeads:
    """A model, its patch graph, and the engine's image graph, loaded, that gives the patch graph its tokens."""

    model: AltaModel
    patches: onnx.ModelProto
    image: Session


def describe_local_heads(heads: LocalHeads, image_precision: str, self_test: Arrays) -> dict[str, Any]:
    """Say for the manifest how words match patches, and the limits of the patches' self-test.

    At lower precisions the tokens that the FP32 patch graph reads come from a lowered image graph, so its
    drift is measured and the limits follow it.
    """
    session = load(heads.patches.SerializeToString(), runtime="onnxruntime")
    drift = compare_patches(heads.image, session, self_test, LIMITS)
    return {
        "precision": PRECISION,
        "patch_scale": math.exp(heads.model.logit_scale_local1.item()),
        "operators": count_operators(heads.patches),
        "drift": {"worst_cosine": drift.worst_cosine, "max_abs": drift.max_abs},
        "limits": LIMITS if image_precision == "fp32" else widen_limits([drift]),
    }
