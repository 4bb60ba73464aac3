"""Norms, equal channels, a missing prior and the last norm fold away exactly: float64 algebra, rounded once."""

import pytest
import torch
from tolerances import MERGED_RELATIVE
from torch import nn
from torch.nn import functional as F

from alta_export.affine import Affine
from alta_export.convolution import Kernel, to_place_conv
from alta_export.merge import fold_channel_scaling, fold_missing_prior, fold_post_norm, scale_query

EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64 on both sides


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(16)


def random_norm(channels):
    norm = nn.BatchNorm2d(channels, eps=1e-3)
    with torch.no_grad():
        for part in (norm.weight, norm.bias, norm.running_mean):
            part.normal_()
        norm.running_var.uniform_(0.1, 3)
    return norm.eval()


def assert_rounded_once(layer, reference, x):
    """Compare a layer, its weights rounded to float32, with float64."""
    with torch.no_grad():
        error = (layer.double()(x) - reference).norm() / reference.norm()
    assert error < MERGED_RELATIVE


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (2, 3)])
def test_a_norm_folds_into_the_convolution_before_it(stride, padding, bias):
    conv, norm = nn.Conv2d(5, 7, 3, stride, padding, bias=bias), random_norm(7)
    x = torch.randn(2, 5, 11, 12, dtype=torch.float64)
    folded = Kernel.of(conv).normed(norm)
    layer = folded.to_conv(conv)
    with torch.no_grad():
        reference = norm.double()(conv.double()(x))
    torch.testing.assert_close(F.conv2d(x, folded.weight, folded.bias, stride, padding), reference, **EXACT)
    assert_rounded_once(layer, reference, x)


def test_a_norm_that_is_no_fixed_scale_is_not_folded():
    with pytest.raises(ValueError, match="no fixed scale"):
        Kernel.of(nn.Conv2d(2, 3, 1)).normed(nn.BatchNorm2d(3, track_running_stats=False))


@pytest.mark.parametrize("padding", [0, 3])
def test_equal_channels_and_a_division_fold_into_a_padded_kernel(padding):
    conv = nn.Conv2d(3, 6, 7, 2, padding)
    grey = torch.randint(0, 256, (2, 1, 20, 21)).double()
    folded = Kernel.of(conv).on_grey(255.0)
    layer = folded.to_conv(conv)
    with torch.no_grad():
        reference = conv.double()((grey / 255).expand(-1, 3, -1, -1))
    torch.testing.assert_close(F.conv2d(grey, folded.weight, folded.bias, 2, padding), reference, **EXACT)
    assert_rounded_once(layer, reference, grey)


def test_mean_and_deviation_of_each_channel_fold_into_patches():
    conv = nn.Conv2d(3, 6, 4, 4, bias=False)
    mean, std = torch.tensor([120.0, 110.0, 100.0]).double(), torch.tensor([60.0, 70.0, 80.0]).double()
    grey = torch.randint(0, 256, (2, 1, 16, 12)).double()
    for bias in (None, torch.randn(6)):
        folded = fold_channel_scaling(conv.weight.detach(), bias, mean, std)
        scaled = (grey - mean[:, None, None]) / std[:, None, None]
        reference = F.conv2d(scaled, conv.weight.detach().double(), None if bias is None else bias.double(), 4)
        torch.testing.assert_close(F.conv2d(grey, folded.kernel, folded.bias, 4), reference, **EXACT)


def test_a_missing_prior_folds_into_the_first_bias():
    first, missing = Affine(torch.randn(5, 8).double(), torch.randn(5).double()), torch.randn(4).double()
    features = torch.randn(2, 3, 4, dtype=torch.float64)
    reference = first(torch.cat([features, missing.expand_as(features)], dim=-1))
    torch.testing.assert_close(fold_missing_prior(first, missing)(features), reference, **EXACT)


def test_the_last_norm_folds_into_the_half_that_reads_it():
    first, norm = Affine(torch.randn(5, 8).double(), torch.randn(5).double()), nn.LayerNorm(4).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    gain, shift = norm.weight.detach(), norm.bias.detach()
    with torch.no_grad():
        reference = first(torch.cat([x, norm(x)], dim=-1))
    plain = torch.cat([x, F.layer_norm(x, (4,))], dim=-1)
    torch.testing.assert_close(fold_post_norm(first, gain, shift)(plain), reference, **EXACT)


def test_the_scale_of_attention_folds_into_the_query():
    query, x = torch.randn(12, 12).double(), torch.randn(5, 12).double()
    torch.testing.assert_close(x @ scale_query(query, 3).T, x @ query.T / 4**0.5, **EXACT)


def test_a_map_is_a_convolution_of_one_place():
    one = Affine(torch.randn(5, 3).double(), torch.randn(5).double())
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    assert_rounded_once(to_place_conv(one), one(x.movedim(1, -1)).movedim(-1, 1), x)
    conv = nn.Conv2d(3, 5, 1)
    with torch.no_grad():
        torch.testing.assert_close(
            Kernel.of(conv).to_affine()(x.movedim(1, -1)).movedim(-1, 1), conv.double()(x), **EXACT
        )
