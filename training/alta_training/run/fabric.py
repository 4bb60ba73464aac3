"""Where a run computes: Lightning Fabric, with the device and the precision that are really there."""

import torch
from lightning_fabric import Fabric

from alta_sdk.errors import TrainingError


def open_fabric(precision: str, device: str, devices: int, nodes: int) -> Fabric:
    """Start Fabric: one process, or those that torchrun started.

    Raises TrainingError for a device or precision that is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("no GPU works here: choose --device cpu")
    on_gpu = device == "cuda" or device == "auto" and torch.cuda.is_available()
    if precision == "bf16-mixed" and on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise TrainingError("this GPU has no bfloat16: choose --set precision=16-mixed or 32-true")
    if precision == "16-mixed" and not on_gpu:
        raise TrainingError("precision 16-mixed needs a GPU: choose bf16-mixed or 32-true on the CPU")
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=devices,
        num_nodes=nodes,
        precision=precision,
        strategy="ddp" if devices * nodes > 1 else "auto",  # every parameter that trains gets a gradient
    )
    fabric.launch()
    return fabric
