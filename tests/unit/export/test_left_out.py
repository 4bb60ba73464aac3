"""The graphs of a model whose adapters add nothing have no widened product, and run without what they lack."""

import numpy as np
import pytest
import torch
from conftest import make_sizes
from tolerances import FLOAT32

from alta_export.graph import find_products, image_inputs, patch_inputs, text_inputs
from alta_export.towers import MergedTextTower, PatchTower, TracedImageTower
from alta_runtimes import load
from alta_training.adapters import Adapter
from alta_training.data.synthetic import make_random_model
from alta_training.model.alta import to_model_input


@pytest.fixture(scope="module")
def silent_model():
    model = make_random_model(make_sizes(), seed=4)
    for module in model.modules():
        if isinstance(module, Adapter):
            module.start()
    return model


@pytest.fixture(scope="module")
def silent_graphs(silent_model, trace_once):
    image, text = silent_model.image, silent_model.text
    return {
        "image": trace_once(TracedImageTower(image).eval(), image_inputs(224), ["cls", "tokens"]),
        "patches": trace_once(PatchTower(image).eval(), patch_inputs(silent_model.sizes.image), ["patches"]),
        "text": trace_once(MergedTextTower(text).eval(), text_inputs(), ["projection", "words"]),
    }


def test_no_product_is_widened(silent_graphs, silent_model):
    image, text = silent_model.sizes.image, silent_model.sizes.text.config
    plain = {image.width, image.mlp_width, text.hidden_size, text.intermediate_size, image.embedding}
    for graph in silent_graphs.values():
        sides = {item.name: set(item.dims) for item in graph.graph.initializer if len(item.dims) == 2}
        products = find_products(graph)
        assert products
        for node in products.values():
            assert sides[node.input[1]] <= plain, node.name
        assert not [node.name for node in products.values() if node.name.endswith(("side", "down", "up"))]
        assert "Split" not in {node.op_type for node in graph.graph.node}


def test_the_graphs_give_what_the_towers_give(silent_graphs, silent_model):
    sessions = {name: load(graph.SerializeToString(), runtime="onnxruntime") for name, graph in silent_graphs.items()}
    grey, slot = torch.randint(0, 256, (4, 224, 224), dtype=torch.uint8), torch.arange(4)
    ids, mask = torch.randint(5, 90, (3, 12)), torch.ones(3, 12, dtype=torch.int64)
    with torch.no_grad():
        tokens = silent_model.image(to_model_input(grey), slot)
        patches = silent_model.image.local_projection_head(tokens[:, 1:]).numpy()
        projection, words = (part.numpy() for part in silent_model.text.project(silent_model.text(ids, mask)))
    seen = sessions["image"].run({"pixels": grey[:, None].numpy(), "slot": slot.numpy()})
    read = sessions["text"].run({"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    np.testing.assert_allclose(seen["cls"], tokens[:, 0].numpy(), **FLOAT32)
    np.testing.assert_allclose(sessions["patches"].run({"tokens": seen["tokens"]})["patches"], patches, **FLOAT32)
    np.testing.assert_allclose(read["projection"], projection, **FLOAT32)
    np.testing.assert_allclose(read["words"], words, **FLOAT32)
