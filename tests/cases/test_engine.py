"""Cases of ../shared/cases on engines: what is proven is what is used, and what is under no hash is never read."""

import os
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from faults.swap_engine import CHANGES, count_openings
from onnx import TensorProto, helper, numpy_helper

from alta_sdk import Engine, IntegrityError
from alta_sdk.engine import bundle as bundles
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.manifest import BundleFile, parse_manifest

OPENINGS = 40
RUNTIMES = ("onnxruntime", "openvino")


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy.alta")


def reseal(folder, *names):
    """List changed files with their own size and hash, and seal the manifest: what a forger does."""
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    listed = {name: BundleFile.of(name, (folder / name).read_bytes()) for name in names}
    files = tuple(listed.get(file.name, file) for file in manifest.files)
    (folder / "manifest.json").write_bytes(replace(manifest, files=files).render())


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_engine_that_is_swapped_while_it_opens_is_the_exported_one_or_refused(copy, change):
    """engine-swapped-while-opening."""
    counts = count_openings(copy, change, OPENINGS)
    assert counts["wrong"] == 0 and counts.total() == OPENINGS


@pytest.mark.parametrize("name", [*bundles.REQUIRED, bundles.PATCH_GRAPH])
def test_a_file_that_changes_right_after_its_proof_is_not_used(copy, name, monkeypatch):
    """The same, at the one moment that matters: after a file's hash was compared, and for good."""
    proven, original = [], bundles.read_proven

    def prove_then_spoil(path, file):
        yield from original(path, file)
        if file.name == name and not proven:
            proven.append(name)
            (copy / name).write_bytes(b"forged")

    monkeypatch.setattr(bundles, "read_proven", prove_then_spoil)
    engine = Engine.open(copy, runtime="onnxruntime", threads=1)
    assert proven == [name]
    with pytest.raises(IntegrityError, match=name):
        open_bundle(copy)
    if name == bundles.PATCH_GRAPH:  # not loaded yet: it is read, and proven, when the first heat map is asked for
        with pytest.raises(IntegrityError, match=name):
            engine.patches.encode(np.zeros((1, 1, 224, 224), np.uint8), np.zeros(1, np.int64))


def test_each_file_is_read_once_while_an_engine_opens(bundle, monkeypatch):
    opened = []
    for name in ("open_file", "read_bytes"):
        own = getattr(bundles, name)
        note = lambda path, *given, own=own, **how: opened.append(path.name) or own(path, *given, **how)  # noqa: E731
        monkeypatch.setattr(bundles, name, note)
    Engine.open(bundle, runtime="onnxruntime", threads=1)
    first = list(opened)
    listed = {file.name for file in open_bundle(bundle).manifest.files}
    assert sorted(first) == sorted({*listed, "manifest.json", "manifest.sig"}), "the signature: whether there is one"


def move_out(graph, location):
    """Put the largest weight of a graph into a file of its own; return its bytes."""
    largest = max(graph.graph.initializer, key=lambda item: len(item.raw_data))
    data = largest.raw_data
    largest.ClearField("raw_data")
    largest.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(len(data))}.items():
        largest.external_data.add(key=key, value=value)
    return data


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "patches.onnx"])
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("is_listed", [False, True])
def test_a_graph_with_data_elsewhere_is_refused(copy, name, runtime, is_listed, monkeypatch):
    """graph-with-data-elsewhere."""
    graph = onnx.load(copy / name)
    weights = np.frombuffer(move_out(graph, "weights.bin"), np.float32) * np.float32(1.0005)
    (copy / "weights.bin").write_bytes(weights.tobytes())
    (copy / name).write_bytes(graph.SerializeToString())
    reseal(copy, name)
    if is_listed:  # no export writes that, and back ends would read it again after its proof
        manifest = parse_manifest((copy / "manifest.json").read_bytes())
        files = (*manifest.files, BundleFile.of("weights.bin", (copy / "weights.bin").read_bytes()))
        (copy / "manifest.json").write_bytes(replace(manifest, files=files).render())
    monkeypatch.chdir(copy)
    with pytest.raises(IntegrityError, match="external data"):
        engine = Engine.open(copy, runtime=runtime, threads=1)
        engine.patches.encode(np.zeros((1, 1, 224, 224), np.uint8), np.zeros(1, np.int64))


def add_constant(graph, location):
    """Hide data elsewhere in an operator's attribute instead of a weight."""
    tensor = helper.make_tensor("hidden", TensorProto.FLOAT, [4], np.zeros(4, np.float32).tobytes(), raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    graph.graph.node.append(helper.make_node("Constant", [], ["hidden_value"], value=tensor))


@pytest.mark.parametrize("hide", [add_constant, move_out])
@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/tmp/weights.bin"])
def test_other_ways_to_data_elsewhere_are_refused(copy, hide, location):
    graph = onnx.load(copy / "text.onnx")
    hide(graph, location)
    (copy / "text.onnx").write_bytes(graph.SerializeToString())
    reseal(copy, "text.onnx")
    with pytest.raises(IntegrityError, match="text.onnx holds"):
        Engine.open(copy, runtime="onnxruntime", threads=1)


def test_a_graph_whose_data_stay_inside_is_opened_though_written_in_another_way(copy):
    graph = onnx.load(copy / "text.onnx")
    for item in graph.graph.initializer:
        if item.data_type == TensorProto.FLOAT:
            item.CopyFrom(
                helper.make_tensor(item.name, item.data_type, item.dims, numpy_helper.to_array(item).ravel().tolist())
            )
    (copy / "text.onnx").write_bytes(graph.SerializeToString())
    reseal(copy, "text.onnx")
    assert Engine.open(copy, runtime="onnxruntime", threads=1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["manifest.json", "prompts.json", "image.onnx"])
def test_a_pipe_in_a_bundle_is_refused_at_once(copy, name):
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(IntegrityError, match=name):
        Engine.open(copy)
