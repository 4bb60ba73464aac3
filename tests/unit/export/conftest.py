"""The graphs of the small random model, which every file here looks at; each file gets its own copy."""

import pytest

from alta_export.graph import image_inputs, text_inputs
from alta_export.towers import MergedImageTower, MergedTextTower


@pytest.fixture(scope="module")
def image_graph(model, trace_once):
    return trace_once(MergedImageTower(model.image).eval(), image_inputs(224), ["cls"])


@pytest.fixture(scope="module")
def text_graph(model, trace_once):
    return trace_once(MergedTextTower(model.text).eval(), text_inputs(), ["projection", "words"])


@pytest.fixture(scope="module")
def graph(image_graph):
    return image_graph


@pytest.fixture(scope="module")
def graphs(image_graph, text_graph):
    return {"image": image_graph, "text": text_graph}
