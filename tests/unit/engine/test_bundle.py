"""Bundles: nothing changed is opened, nothing half-written is left."""

import errno
import itertools
import json
import os
import re
import shutil
import sys
import threading
from dataclasses import replace

import pytest
from conftest import export_quietly

from alta_export.graph import check_portable, count_operators
from alta_runtimes.private_copy import PrivateCopy
from alta_sdk import (
    CalibrationError,
    CheckpointError,
    Engine,
    EngineError,
    ExportError,
    IntegrityError,
    RuntimeUnavailable,
)
from alta_sdk.engine.bundle import REQUIRED, Bundle, Kept, open_bundle, read_manifest
from alta_sdk.engine.manifest import SCHEMA_VERSION, parse_manifest
from alta_sdk.files.atomic import new_file
from alta_sdk.files.folders import new_folder


@pytest.fixture
def copy(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "copy.alta")
    return tmp_path / "copy.alta"


def test_why_a_path_is_no_engine_is_told(bundle, tmp_path, monkeypatch):
    for path, reason in {
        tmp_path / "absent.alta": "engine not found: give the folder",
        bundle / "manifest.json" / "x.alta": "engine not found",
        bundle / "manifest.json": "engine is a file, and no folder",
        tmp_path / ("x" * 300): "engine cannot be read (File name too long)",
    }.items():
        with pytest.raises(EngineError, match=re.escape(reason)):
            Engine.open(path)


@pytest.mark.parametrize("name", [*REQUIRED, "manifest.json"])
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0])
def test_one_changed_byte_is_refused(copy, name, where):
    data = bytearray((copy / name).read_bytes())
    data[int(where * (len(data) - 1))] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(IntegrityError):
        Engine.open(copy)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_or_cut_file_is_named(copy, name):
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=name):
        Engine.open(copy)
    (copy / name).unlink()
    with pytest.raises(IntegrityError, match=name):
        Engine.open(copy)


@pytest.mark.parametrize("spoiled", [("head.npz", "text.onnx"), ("image.onnx", "prompts.json")])
def test_of_several_damaged_files_the_first_of_the_manifest_is_told(copy, spoiled):
    names = [file.name for file in read_manifest(copy).files]
    assert names.index(spoiled[0]) < names.index(spoiled[1])
    for name in spoiled:
        (copy / name).write_bytes(bytes((copy / name).stat().st_size))
    for _ in range(3):
        with pytest.raises(IntegrityError, match=spoiled[0]):
            open_bundle(copy)


@pytest.mark.parametrize("error", [IntegrityError("text.onnx was changed"), KeyboardInterrupt()])
def test_when_one_proof_ends_badly_the_others_read_no_further(bundle, monkeypatch, error):
    has_begun, has_failed, blocks = threading.Event(), threading.Event(), []

    def read(path, file):
        if file.name == "head.npz":
            has_begun.wait(60)
            has_failed.set()
            raise error
        has_begun.set()
        has_failed.wait(60)
        for number in itertools.count():
            blocks.append((file.name, number))
            yield b"x"

    opened = open_bundle(bundle)
    monkeypatch.setattr("alta_sdk.engine.bundle.read_proven", read)
    with pytest.raises(type(error)):
        opened.prove_all(Kept())  # which would never end
    assert blocks
    with pytest.raises(EngineError, match="given up"):
        opened.read("prompts.json")


@pytest.mark.parametrize("use", [Bundle.copy, Bundle.outline])
def test_too_little_memory_for_a_graph_is_told(bundle, monkeypatch, use):
    def fail(*_, **__):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    opened = open_bundle(bundle)
    monkeypatch.setattr(PrivateCopy, "write", fail)
    monkeypatch.setattr("mmap.mmap", fail)
    with pytest.raises(EngineError, match="does not fit into memory: Cannot allocate memory; close other programs"):
        use(opened, "image.onnx")


def test_a_link_is_refused(copy):
    (copy / "image.onnx").rename(copy.parent / "elsewhere.onnx")
    (copy / "image.onnx").symlink_to(copy.parent / "elsewhere.onnx")
    with pytest.raises(IntegrityError, match="not a plain file"):
        Engine.open(copy)


def test_a_newer_schema_is_refused_with_the_way_out(copy):
    content = json.loads((copy / "manifest.json").read_bytes())
    content["schema_version"] = SCHEMA_VERSION + 1
    (copy / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(EngineError, match="upgrade alta-sdk"):
        Engine.open(copy)


@pytest.mark.parametrize("name", ["../image.onnx", "a/b.onnx", "C:x", "", "manifest.json", "IMAGE.ONNX"])
def test_a_file_name_that_leads_elsewhere_is_refused(copy, name):
    manifest = parse_manifest((copy / "manifest.json").read_bytes())
    files = (replace(manifest.files[0], name=name), *manifest.files[1:])
    with pytest.raises(IntegrityError):
        parse_manifest(replace(manifest, files=files).render())


def test_what_is_no_bundle_is_an_engine_error(tmp_path):
    for path in (tmp_path / "absent.alta", tmp_path):
        with pytest.raises(EngineError):
            open_bundle(path)


def test_a_manifest_that_is_too_large_is_not_parsed():
    with pytest.raises(IntegrityError, match="larger than"):
        parse_manifest(b"[" * (2 << 20))


def test_manifest_states_what_a_reader_must_know(bundle):
    manifest = open_bundle(bundle).manifest
    assert "Not for clinical use" in manifest.intended_use
    assert manifest.engine["opset"] == 21
    assert manifest.engine["precision"] == "fp32"
    assert set(manifest.verification["drift"]) == {"image", "text", "cls", "words", "patches"}
    assert manifest.notices == ("RANDOM TEST MODEL", "Not for clinical use.")


def test_self_test_passes_here_and_fails_where_numbers_differ(bundle):
    engine = Engine.open(bundle)
    assert all(drift.is_within_limits for drift in engine.run_self_test())
    engine.head.output_weight[:] *= -1  # what a broken processor would do
    engine.head.output_weight[0] *= 3
    image = engine.run_self_test()[0]
    assert image.output == "image"
    assert not image.is_within_limits


def test_graphs_are_portable_and_hold_nothing_of_the_building_machine(bundle):
    import onnx

    for name in ("image.onnx", "text.onnx", "patches.onnx"):
        graph = onnx.load(bundle / name)
        check_portable(graph)
        assert "LayerNormalization" in count_operators(graph)
        data = (bundle / name).read_bytes()
        assert b"site-packages" not in data
        assert b"/work/" not in data


def test_a_graph_with_a_fixed_batch_is_refused(bundle):
    import onnx

    graph = onnx.load(bundle / "image.onnx")
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    with pytest.raises(ExportError, match="fixed batch"):
        check_portable(graph)


@pytest.mark.parametrize(
    ("engine", "precision", "error", "message"),
    [
        ("trt", "fp16", RuntimeUnavailable, "TensorRT engines are built on the GPU"),
        ("onnx", "fp8", ExportError, "supported: --engine onnx --precision fp32|fp16"),
        ("onnx", "int8", CalibrationError, "INT8 needs --calibration"),
    ],
)
def test_what_cannot_be_exported_is_refused_first(export_options, engine, precision, error, message):
    options = export_options(engine=engine, precision=precision)
    with pytest.raises(error, match=re.escape(message)):
        export_quietly(options)
    assert not options.output.exists()


def test_an_existing_bundle_is_kept_unless_overwritten(bundle, export_options, tmp_path):
    with pytest.raises(ExportError, match="exists"):
        export_quietly(export_options(output=bundle))
    (tmp_path / "other.alta").mkdir()
    with pytest.raises(ExportError, match="replaces only what alta-export wrote"):
        export_quietly(export_options(output=tmp_path / "other.alta", overwrite=True))


def test_a_wrong_checkpoint_leaves_nothing(export_options, tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        export_quietly(export_options(output=tmp_path / "x.alta", checkpoint=tmp_path / "bad.pth"))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pth"]


def test_a_merge_that_is_not_exact_is_not_written(export_options, tmp_path, monkeypatch):
    monkeypatch.setattr("alta_export.towers.ADAPTER_SCALE", 0.51)
    with pytest.raises(ExportError, match="differs from PyTorch"):
        export_quietly(export_options(output=tmp_path / "x.alta"))
    assert not list(tmp_path.iterdir())


def list_own(folder):
    return {"a", "old", "new", "file"}


def test_new_file_and_folder_leave_the_old_state_on_failure(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_text("old")
    with pytest.raises(ValueError), new_file(tmp_path / "file") as path:
        path.write_text("half")
        raise ValueError
    with pytest.raises(ValueError), new_folder(tmp_path / "folder", overwrite=True, list_own=list_own) as path:
        (path / "a").write_text("half")
        raise ValueError
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "a").read_text() == "old"


def test_new_folder_replaces_whole(tmp_path):
    for text in ("old", "new"):
        with new_folder(tmp_path / "folder", overwrite=True, list_own=list_own) as path:
            (path / text).write_text(text)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "new"]


def test_a_folder_that_is_replaced_is_there_all_the_time(tmp_path):
    path, absent, stop = tmp_path / "folder", [], threading.Event()
    path.mkdir()

    def watch():
        while not stop.is_set():
            absent.append(not path.exists())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(100):
        with new_folder(path, overwrite=True, list_own=list_own) as temporary:
            (temporary / "file").write_text("new")
    stop.set()
    watcher.join()
    assert absent and (sys.platform == "win32" or not any(absent))
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
