"""Let torchvision import beside a torch build that its compiled operators do not fit.

timm imports torchvision, and torchvision registers shapes for `torchvision::nms` and
`torchvision::qnms` when it is imported. Beside a CPU-only torch from another build, its compiled
library does not load, the two operators do not exist, and the import fails with "operator
torchvision::nms does not exist", although nothing of ours needs them. So the two are declared (not
implemented) when, and only when, they are missing. Import this module before timm.
"""

import importlib
import importlib.util
import sys

import torch

DECLARATIONS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_kept: list[torch.library.Library] = []  # a Library takes its declarations with it when it goes


def ensure_torchvision_imports() -> bool:
    """Import torchvision, declaring the two operators if that is what stops it.

    Returns True if they had to be declared. Without torchvision installed, does nothing.
    """
    if importlib.util.find_spec("torchvision") is None:
        return False
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    else:
        return False
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, declaration in DECLARATIONS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(declaration)
    _kept.append(library)
    importlib.import_module("torchvision")
    return True


ensure_torchvision_imports()
