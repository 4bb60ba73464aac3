"""Adapters that add exactly nothing cost nothing: the merged towers go without them."""

import pytest

from alta_export.affine import Affine
from alta_export.families.alta import measure_merging
from alta_export.merge import merge_attention_adapter, widen_mlp
from alta_export.show_report import show_left_out
from alta_export.towers import MergedImageTower, MergedTextTower
from alta_training.adapters import ADAPTER_SCALE


def measure(model):
    return measure_merging(model, MergedImageTower(model.image).eval(), MergedTextTower(model.text).eval())


def assert_same_bits(ours, theirs):
    assert ours.weight.equal(theirs.weight) and ours.bias.equal(theirs.bias)


def test_without_any_adapter_the_products_are_the_backbone_s(random_model, silence):
    silence(random_model, "")
    for merged, block in zip(MergedImageTower(random_model.image).blocks, random_model.image.blocks, strict=True):
        assert merged.side is None
        assert merged.projection.weight.equal(block.attn.proj.weight)
        assert_same_bits(merged.fc1, block.mlp.fc1)
        assert_same_bits(merged.fc2, block.mlp.fc2)
    text = MergedTextTower(random_model.text)
    for merged, layer in zip(text.layers, random_model.text.bert.encoder.layer, strict=True):
        assert (merged.down, merged.up, merged.side) == (None, None, None)
        assert_same_bits(merged.shared, layer.intermediate.dense)
        assert_same_bits(merged.fc2, layer.output.dense)


def test_what_is_left_out_of_a_widened_product_meets_zeros(random_model, silence):
    """So both give the same but for the order of the sums: the weights that are left are equal to the bit."""
    silence(random_model, "")
    for merged, block in zip(MergedImageTower(random_model.image).blocks, random_model.image.blocks, strict=True):
        terms = block.mlp_adapter.merged()
        fc1, fc2 = Affine.of(block.mlp.fc1), Affine.of(block.mlp.fc2)
        wide1, wide2 = widen_mlp(fc1, fc2, Affine.of(terms.down), Affine.of(terms.up), ADAPTER_SCALE)
        hidden = merged.fc1.out_features
        assert_same_bits(merged.fc1, Affine(wide1.weight[:hidden], wide1.bias[:hidden]).to_linear())
        assert_same_bits(merged.fc2, Affine(wide2.weight[:, :hidden], wide2.bias).to_linear())
        assert not wide2.weight[:, hidden:].any()
        terms, projection = block.attn_adapter.merged(), Affine.of(merged.projection)
        wide, side = merge_attention_adapter(projection, Affine.of(terms.down), Affine.of(terms.up))
        width = len(projection.bias)
        assert_same_bits(projection, Affine(wide.weight[:width], wide.bias[:width]))
        assert not side.any()


def test_what_is_left_out_is_counted_and_costs_nothing(random_model, part, silence, find_adapters):
    sizes, before = random_model.sizes, measure(random_model)
    total = before["adapters"]["total"]
    assert before["adapters"] == {"total": 4 * sizes.image.depth, "left_out": 0}
    silent = silence(random_model, part)
    after = measure(random_model)
    assert after["adapters"] == {"total": total, "left_out": silent}
    for tower, rows in (("image", 1 + sizes.image.patches), ("text", 32)):
        assert after[f"{tower}_before"] == before[f"{tower}_before"]
        products = parameters = 0
        for name, adapter in find_adapters(getattr(random_model, tower)).items():
            if part in name:
                is_for_cls = tower == "image" and ".last." in name  # of all tokens, the last image block gives CLS
                weights = sum(weight.numel() for weight in adapter.parameters() if weight.ndim == 2)
                products += weights * (1 if is_for_cls else rows)
                parameters += sum(weight.numel() for weight in adapter.parameters())
                if tower == "image":
                    parameters -= sizes.image.width  # the second layer's bias is in another bias anyway
        saved = {what: full - after[f"{tower}_after"][what] for what, full in before[f"{tower}_after"].items()}
        assert saved == {"multiply_adds": products, "parameters": parameters}


def test_an_adapter_with_a_bias_alone_is_not_left_out(random_model, part, silence):
    assert silence(random_model, part, bias=1e-30)
    assert measure(random_model)["adapters"]["left_out"] == 0


@pytest.mark.parametrize(("left_out", "said"), [(0, ""), (40, "left out 40 of 48 adapters: they add nothing\n")])
def test_it_is_told_in_one_line_if_there_is_anything_to_tell(left_out, said, capsys):
    show_left_out({"total": 48, "left_out": left_out})
    assert capsys.readouterr().err == said
