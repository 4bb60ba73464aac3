"""Distillation of text vectors: what a larger text model says of a text, told by the small one."""

from torch import Tensor
from torch.nn import functional as F


def measure_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean of one minus the cosine of student and teacher vectors, both (n, width), of any length."""
    return (1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)).mean()
