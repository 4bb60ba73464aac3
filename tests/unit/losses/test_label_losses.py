"""The contrast by labels and the distillation, against numpy and by hand."""

import math

import numpy as np
import pytest
import torch
from tolerances import FLOAT32
from torch.nn import functional as F

from alta_training.losses import contrast_by_labels, contrast_globally, measure_distillation


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(7)
    return F.normalize(torch.randn(2, 6, 5, generator=generator, dtype=torch.float64), dim=-1)


@pytest.fixture
def fits():
    return torch.eye(6, dtype=torch.bool) | (torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) < 0.3)


def contrast_in_numpy(studies, reports, scale, fits):
    """One row and one column at a time: minus the mean log probability of what fits."""
    logits = scale * studies @ reports.T
    sides = []
    for rows, own in ((logits, fits), (logits.T, fits.T)):
        total = 0.0
        for row, fit in zip(rows, own, strict=True):
            logs = row - np.log(np.exp(row).sum())
            total -= logs[fit].mean()
        sides.append(total / len(rows))
    return sum(sides) / 2


def test_with_no_other_report_that_fits_it_is_the_global_contrast(vectors):
    own = torch.eye(6, dtype=torch.bool)
    scale = torch.tensor(12.0, dtype=torch.float64)
    torch.testing.assert_close(contrast_by_labels(*vectors, scale, own), contrast_globally(*vectors, scale))


def test_it_is_what_numpy_says(vectors, fits):
    assert fits.sum() > 10 and not torch.equal(fits, fits.T)
    expected = contrast_in_numpy(*vectors.numpy(), 8.0, fits.numpy())
    assert float(contrast_by_labels(*vectors, torch.tensor(8.0), fits)) == pytest.approx(expected, rel=1e-12)


def test_two_studies_by_hand():
    """Cosines 1 and 0, scale ln 3: probabilities 3/4 and 1/4; both reports fit the first study."""
    own = torch.eye(2, dtype=torch.float64)
    fits = torch.tensor([[True, True], [False, True]])
    rows = (-(math.log(3 / 4) + math.log(1 / 4)) / 2 - math.log(3 / 4)) / 2
    columns = (-math.log(3 / 4) - (math.log(3 / 4) + math.log(1 / 4)) / 2) / 2
    loss = contrast_by_labels(own, own, torch.tensor(math.log(3), dtype=torch.float64), fits)
    assert float(loss) == pytest.approx((rows + columns) / 2, rel=1e-12)


def test_reports_that_all_fit_are_at_best_alike():
    """No report is pushed away: the loss is ln n, its least, where all are alike."""
    same = F.normalize(torch.ones(4, 3), dim=1)
    loss = contrast_by_labels(same, same, torch.tensor(10.0), torch.ones(4, 4, dtype=torch.bool))
    assert float(loss) == pytest.approx(math.log(4), rel=1e-5)


def test_its_gradient_is_that_of_its_numbers(vectors, fits):
    inputs = [tensor.clone().requires_grad_() for tensor in (*vectors, torch.tensor(6.0, dtype=torch.float64))]
    assert torch.autograd.gradcheck(lambda s, r, scale: contrast_by_labels(s, r, scale, fits), inputs)


def test_half_precision_around_it_does_not_touch_it(vectors, fits):
    studies, reports = vectors.float()
    expected = contrast_by_labels(studies, reports, torch.tensor(90.0), fits)
    with torch.autocast("cpu", torch.bfloat16):
        loss = contrast_by_labels(studies, reports, torch.tensor(90.0), fits)
    assert torch.equal(loss, expected)


def test_distillation_is_one_minus_the_cosine_by_hand():
    """Cosines 1 (of any length), 0 and -0.6."""
    student = torch.tensor([[2.0, 0.0], [0.0, 3.0], [3.0, 4.0]])
    teacher = torch.tensor([[9.0, 0.0], [5.0, 0.0], [-1.0, 0.0]])
    assert float(measure_distillation(student, teacher)) == pytest.approx((0 + 1 + 1.6) / 3, rel=1e-6)
    half = measure_distillation(student.bfloat16(), teacher)
    assert half.dtype == torch.float32


def test_distillation_has_its_gradient():
    generator = torch.Generator().manual_seed(2)
    student, teacher = torch.randn(2, 3, 4, generator=generator)
    student.requires_grad_()
    measure_distillation(student, teacher).backward()
    assert student.grad.abs().sum() > 0
    # A cosine does not ask for a length: the gradient is across the vector.
    torch.testing.assert_close((student.grad * student).sum(dim=1), torch.zeros(3), **FLOAT32)
