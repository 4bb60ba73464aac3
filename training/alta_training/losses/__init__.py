"""The four losses of ALTA, one file each, tensors in and a scalar out; `objectives/` reads the tensors."""

from .global_contrastive import contrast_globally
from .local_contrastive import contrast_locally
from .reconstruction import measure_reconstruction
from .report_modelling import measure_report_modelling

__all__ = ["contrast_globally", "contrast_locally", "measure_reconstruction", "measure_report_modelling"]
