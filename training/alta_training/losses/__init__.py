"""The losses, one file each, tensors in and a scalar out; `objectives/` reads the tensors."""

from .distillation import measure_distillation
from .global_contrastive import contrast_globally
from .label_contrastive import contrast_by_labels
from .local_contrastive import contrast_locally
from .reconstruction import measure_reconstruction
from .report_modelling import measure_report_modelling

__all__ = [
    "contrast_by_labels",
    "contrast_globally",
    "contrast_locally",
    "measure_distillation",
    "measure_reconstruction",
    "measure_report_modelling",
]
