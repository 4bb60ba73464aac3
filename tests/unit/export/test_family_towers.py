"""Merged towers of other families give what the published ones give, at odd sizes; nothing left over is in them."""

import pytest
import torch
from fakes.biovil import make_image_weights, make_text_config, make_text_weights
from fakes.clip import make_clip_weights
from fakes.open_clip import make_open_clip_weights
from tolerances import FLOAT32
from torch import nn

from alta_export.bert_tower import MergedBertTower
from alta_export.biovil_towers import MergedBiovil, MergedBiovilT, MergedFusion
from alta_export.clip_towers import MergedClipText, MergedVision
from alta_export.families import chexzero, open_clip
from alta_export.graph import feature_inputs
from alta_training.families.biovil import read_biovil_image, read_biovil_t_image
from alta_training.families.checkpoint import Checkpoint
from alta_training.families.chexzero import choose_preprocessing, infer_clip_sizes
from alta_training.families.clip_model import ClipModel
from alta_training.families.clip_model import published_name as clip_name
from alta_training.families.cxr_bert import WholeCxrBert
from alta_training.families.cxr_bert import published_name as bert_name
from alta_training.families.open_clip import OpenClipModel, infer_bert_config, infer_trunk_sizes
from alta_training.families.open_clip import published_name as open_clip_name
from alta_training.families.pixel_scaling import PixelScaling
from alta_training.families.strict import load_strictly
from alta_training.model.heads import ProjectionHead


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(7)


def settle_norms(weights):
    """Give batch norms statistics of their own: fresh ones change nothing."""
    settled = dict(weights)
    for name, tensor in weights.items():
        if name.endswith("running_mean"):
            settled[name] = 0.1 * torch.randn_like(tensor)
        if name.endswith("running_var"):
            settled[name] = 0.5 + torch.rand_like(tensor)
    return settled


def used(weights):
    return {name: tensor for name, tensor in settle_norms(weights).items() if ".fc." not in name}


@pytest.fixture
def biovil_t():
    return read_biovil_t_image(used(make_image_weights()))


def draw_pixels(px, count=2):
    return torch.randint(0, 256, (count, 1, px, px), dtype=torch.uint8)


def assert_close(given, expected):
    scale = expected.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(given / scale, expected / scale, **FLOAT32)


def test_biovil_t_alone(biovil_t):
    pixels = draw_pixels(448)
    with torch.no_grad():
        features, projection, patches = MergedBiovilT(biovil_t).eval()(pixels)
        static = biovil_t.static(pixels)
        assert_close(features, static)
        for given, expected in zip((projection, patches), biovil_t.project(static), strict=True):
            assert_close(given, expected)


def test_biovil_t_beside_its_prior(biovil_t):
    nn.init.normal_(biovil_t.temporal.norm_post.weight)
    nn.init.normal_(biovil_t.temporal.norm_post.bias)
    fuse = MergedFusion(biovil_t).eval()
    width = biovil_t.to_static.out_channels
    current, prior = torch.randn(2, 3, width, fuse.side, fuse.side)
    with torch.no_grad():
        for given, expected in zip(fuse(current, prior), biovil_t.project(current, prior), strict=True):
            assert_close(given, expected)
        assert not torch.allclose(fuse(current, prior)[0], fuse(prior, current)[0], atol=1e-3)


def test_the_last_block_projects_queries_of_the_current_radiograph_alone(biovil_t):
    fuse = MergedFusion(biovil_t).eval()
    seen = {}
    for number, layer in enumerate(fuse.layers):
        for name in ("query", "key", "fc1"):
            layer.get_submodule(name).register_forward_hook(
                lambda module, given, _, key=(number, name): seen.update({key: given[0].shape[1]})
            )
    current = torch.randn(1, biovil_t.to_static.out_channels, fuse.side, fuse.side)
    with torch.no_grad():
        fuse(current, current)
    places = fuse.side**2
    last = len(fuse.layers) - 1
    assert (seen[last, "query"], seen[last, "key"], seen[last, "fc1"]) == (places, 2 * places, places)
    assert {seen[0, name] for name in ("query", "key", "fc1")} == {2 * places}


def test_biovil():
    tower = read_biovil_image(used(make_image_weights("biovil")))
    pixels = draw_pixels(480)
    with torch.no_grad():
        for given, expected in zip(
            MergedBiovil(tower).eval()(pixels), tower.project(tower.static(pixels)), strict=True
        ):
            assert_close(given, expected)


def test_no_batch_norm_is_left(biovil_t):
    for tower in (MergedBiovilT(biovil_t), MergedFusion(biovil_t)):
        assert not [module for module in tower.modules() if isinstance(module, nn.BatchNorm2d | nn.Dropout)]


def test_the_examples_of_fuse_are_two_tensors():
    current, prior = feature_inputs(8, 3)
    assert current.example is not prior.example and current.example.data_ptr() != prior.example.data_ptr()
    assert (current.name, prior.name) == ("features", "prior_features")


@pytest.mark.parametrize("word", ["chexzero", "openai"])
def test_clip(word):
    weights = make_clip_weights()
    checkpoint = Checkpoint(weights, {"preprocessing": word})
    sizes = infer_clip_sizes(checkpoint)
    scaling = choose_preprocessing(checkpoint, sizes).scaling
    model = load_strictly(lambda: ClipModel(sizes, scaling), weights, clip_name, "weights")
    vision = MergedVision(chexzero.take_vision(model.visual)).eval()
    assert (vision.resize is not None) == (word == "chexzero")
    pixels = draw_pixels(320 if word == "chexzero" else sizes.grid * sizes.patch_px)
    end = sizes.vocabulary - 1
    ids = torch.tensor([[end - 1, 5, 6, 7, end, 0], [end - 1, 4, end, 0, 0, 0]])
    with torch.no_grad():
        assert_close(vision(pixels), model.visual.static(pixels))
        assert_close(MergedClipText(model.text).eval()(ids), model.text(ids, None))


def test_the_resize_is_no_product_that_a_precision_lowers():
    weights = make_clip_weights()
    checkpoint = Checkpoint(weights)
    sizes = infer_clip_sizes(checkpoint)
    scaling = choose_preprocessing(checkpoint, sizes).scaling
    model = load_strictly(lambda: ClipModel(sizes, scaling), weights, clip_name, "weights")
    assert MergedVision(chexzero.take_vision(model.visual)).resize.ndim == 3


def test_open_clip():
    weights = make_open_clip_weights()
    sizes, config = infer_trunk_sizes(weights, None), infer_bert_config(weights, {}, None)
    scaling = PixelScaling([120.0, 100.0, 80.0], [50.0, 60.0, 70.0])
    model = load_strictly(lambda: OpenClipModel(sizes, scaling, config, 10), weights, open_clip_name, "weights")
    pixels = draw_pixels(sizes.image_px)
    ids = torch.randint(0, config.vocab_size, (3, 9))
    mask = (torch.arange(9) < torch.tensor([[9], [5], [3]])).long()
    with torch.no_grad():
        assert_close(MergedVision(open_clip.take_vision(model.visual)).eval()(pixels), model.visual.static(pixels))
        assert_close(MergedBertTower(model.text).eval()(ids, mask), model.text(ids, mask))


def test_cxr_bert():
    config = make_text_config()
    weights = {name: tensor for name, tensor in make_text_weights(config).items() if "position_ids" not in name}
    tower = load_strictly(
        lambda: WholeCxrBert(config, ProjectionHead(config.hidden_size, 12)), weights, bert_name, "weights"
    )
    ids = torch.randint(5, config.vocab_size, (3, 9))
    mask = (torch.arange(9) < torch.tensor([[9], [5], [3]])).long()
    with torch.no_grad():
        assert_close(MergedBertTower(tower).eval()(ids, mask), tower(ids, mask))
