"""Starting from a backbone: adapters add nothing, and every other tensor starts as in the published code."""

import pytest
import torch
from conftest import make_sizes
from safetensors.torch import save_file

from alta_training.adapters import Adapter
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.backbone import BackboneOptions, load_backbone
from alta_training.families.checkpoint import read_text_model, save_checkpoint
from alta_training.model.alta import to_model_input
from alta_training.model.names import published_name
from alta_training.objectives.record_modelling import TowerSizes, make_model

SIZES = {
    "32x2": make_sizes(),
    "48x1": make_sizes(width=48, depth=1, heads=3, adapter=5, text_depth=1),
    "64x3": make_sizes(width=64, depth=3, heads=4, adapter=24, text_depth=2),
}


def is_adapter(name):
    return "_adapter" in name


def write_backbone(folder, sizes, kind):
    """A pretrained model without adapters in one of the forms that people have; returns file and text folder."""
    pretrained = make_random_model(sizes, seed=8)
    named = {published_name(n): t.clone() for n, t in pretrained.state_dict().items() if not is_adapter(n)}
    write_text_model(folder / "text-model", sizes.text.config)
    if kind == "BERT folder":
        text = {n.removeprefix("bert_encoder."): t for n, t in named.items() if n.startswith("bert_encoder.")}
        save_file(text, folder / "text-model" / "model.safetensors")
        named = {n: t for n, t in named.items() if not n.startswith("bert_encoder.")}
    if kind == "ours":
        for module in pretrained.modules():
            if isinstance(module, Adapter):
                module.start()
        save_checkpoint(pretrained, folder / "backbone.safetensors", {})
    else:
        torch.save({"model": named}, folder / "backbone.pth")
    return folder / f"backbone.{'safetensors' if kind == 'ours' else 'pth'}", folder / "text-model"


class Nothing(torch.nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)


def take_adapters_out(model):
    """Put a plain zero in the place of every adapter."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Adapter):
                setattr(module, name, Nothing())
    return model


def assert_adapters_add_nothing(model):
    """Both towers give the same tokens, to the last bit, with the adapters and without."""
    grey = torch.randint(0, 256, (4, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(5, 90, (3, 9), generator=torch.Generator().manual_seed(2))
    inputs = (to_model_input(grey), torch.arange(4)), (ids, torch.ones_like(ids))
    model.eval()
    with torch.no_grad():
        image, text = model.image(*inputs[0]), model.text(*inputs[1])
        assert len([m for m in model.modules() if isinstance(m, Adapter)]) > 0
        take_adapters_out(model)
        assert torch.equal(image, model.image(*inputs[0]))
        assert torch.equal(text, model.text(*inputs[1]))


@pytest.mark.parametrize("kind", ["MRM", "BERT folder", "ours"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_adapters_put_into_a_backbone_add_nothing(kind, sizes, tmp_path):
    file, text = write_backbone(tmp_path, sizes, kind)
    assert_adapters_add_nothing(load_backbone(file, text, read_text_model(text).config).model)


@pytest.mark.parametrize("width, heads", [(32, 2), (48, 3), (64, 4)])
def test_adapters_of_a_fresh_model_add_nothing(width, heads):
    sizes = TowerSizes(
        width, 2, heads, 32, decoder_width=32, decoder_depth=1, decoder_heads=2, text_width=width, text_depth=2,
        text_heads=heads, vocabulary=100, max_tokens=32,
    )  # fmt: skip
    assert_adapters_add_nothing(make_model(sizes, 3, "bottleneck"))


@pytest.fixture
def started(tmp_path):
    """A model started from a backbone that has towers and a text head, and nothing else."""
    sizes = make_sizes()
    pretrained = make_random_model(sizes, seed=8)
    kept = ("patch_embed", "cls_token", "pos_embed", "blocks", "norm.", "bert_encoder.bert", "bert_encoder.cls_proj")
    named = {published_name(n): t for n, t in pretrained.state_dict().items() if not is_adapter(n)}
    torch.save({"model": {n: t for n, t in named.items() if n.startswith(kept)}}, tmp_path / "MRM.pth")
    write_text_model(tmp_path / "text-model", sizes.text.config)
    text = tmp_path / "text-model"
    return load_backbone(tmp_path / "MRM.pth", text, read_text_model(text).config).model


def test_image_layers_that_a_backbone_lacks_start_by_xavier_with_zero_biases(started):
    layers = {
        name: module
        for name, module in started.named_modules()
        if isinstance(module, torch.nn.Linear)
        and (name.startswith(("image.projection", "image.local", "decoder")) or name.endswith("D_fc1"))
        and not name.startswith("text")
    }
    assert any("projection_head" in name for name in layers) and any("D_fc1" in name for name in layers)
    for name, module in layers.items():
        bound = (6 / sum(module.weight.shape)) ** 0.5
        assert bool((module.bias == 0).all()), name
        assert 0.9 * bound < float(module.weight.detach().abs().max()) <= bound, name


def test_the_second_layer_of_every_adapter_starts_as_zero(started):
    adapters = [module for module in started.modules() if isinstance(module, Adapter)]
    assert len(adapters) == 2 * (2 + 2)
    assert all(bool((part == 0).all()) for one in adapters for part in (one.D_fc2.weight, one.D_fc2.bias))


def test_tokens_start_as_published():
    towers = TowerSizes(width=256, depth=1, decoder_width=256, decoder_depth=1, decoder_heads=4, heads=4,
                        text_width=64, text_depth=1, text_heads=4, vocabulary=100)  # fmt: skip
    fresh = make_model(towers, 1, "bottleneck")
    for token in (fresh.image.cls_token, fresh.decoder.mask_token):
        assert 0.016 < float(token.detach().std()) < 0.024
    for token in (fresh.image.view_embedding, fresh.image.temporal_embedding, fresh.image.missing_token):
        assert bool((token == 0).all())


def test_the_local_text_head_starts_as_the_global_one(started):
    local, own = started.text.local_projection_head.state_dict(), started.text.cls_projection_head.state_dict()
    assert all(torch.equal(local[name], own[name]) for name in own)


def test_what_a_backbone_lacks_is_drawn_from_the_seed(tmp_path):
    file, text = write_backbone(tmp_path, SIZES["32x2"], "MRM")
    state = torch.load(file, weights_only=True)
    state["model"] = {n: t for n, t in state["model"].items() if not n.startswith("projection_head")}
    torch.save(state, file)
    config = read_text_model(text).config
    torch.manual_seed(1)
    one = load_backbone(file, text, config, BackboneOptions(seed=4)).model
    torch.manual_seed(2)
    same, other = (load_backbone(file, text, config, BackboneOptions(seed=seed)).model for seed in (4, 5))
    head = "image.projection_head.dense_to_hidden.weight"
    assert torch.equal(one.state_dict()[head], same.state_dict()[head])
    assert not torch.equal(one.state_dict()[head], other.state_dict()[head])
