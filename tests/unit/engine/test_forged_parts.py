"""Parts of a bundle that somebody forged, sealed with right hashes: an error of ours, never another one."""

import io
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alta_runtimes.driver import DriverState, Gpu
from alta_sdk import AltaError, Engine, EngineError, IntegrityError
from alta_sdk.cli import main
from alta_sdk.engine import trial
from alta_sdk.engine.arrays import read_arrays
from alta_sdk.engine.manifest import BundleFile, parse_manifest
from alta_sdk.engine.schema import MAX_DEPTH, plain
from alta_sdk.engine.tokenizer import PromptTokenizer

NUMBERS = [True, -1, 0, 1 << 70, 1.5, "3", None, [], {}]


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy.alta")


def forge(folder, **contents):
    """Put other bytes into files of a bundle and list them as its own."""
    for name, data in contents.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    manifest = parse_manifest((folder / "manifest.json").read_bytes())
    files = tuple(BundleFile.of(file.name, (folder / file.name).read_bytes()) for file in manifest.files)
    (folder / "manifest.json").write_bytes(replace(manifest, files=files).render())
    return folder


def open_forged(folder):
    engine = Engine.open(folder, runtime="onnxruntime", threads=1)
    engine.run_self_test()


def change(manifest, place, value):
    """Return a manifest's bytes with one value replaced, sealed again."""
    content = json.loads(manifest.render())
    content.pop("sha256")
    *path, last = place
    inner = content
    for key in path:
        inner = inner[key]
    inner[last] = value
    return type(manifest)(**content).render() if last != "files" else replace(manifest, files=value).render()


@pytest.mark.parametrize(
    "place",
    [
        ("sizes", "max_tokens"),
        ("sizes", "embedding"),
        ("sizes", "image_heads"),
        ("logit_scale",),
        ("verification", "limits"),
        ("verification", "limits", "min_cosine"),
        ("engine", "precision"),
        ("engine", "runtime"),
        ("engine", "local_heads"),
        ("engine", "local_heads", "patch_scale"),
        ("engine", "local_heads", "limits"),
        ("preprocessing", "intensity_profile"),
        ("preprocessing", "geometry"),
        ("preprocessing", "geometry", "rule"),
        ("preprocessing", "geometry", "resize_px"),
        ("preprocessing", "geometry", "crop_px"),
        ("preprocessing", "geometry", "filter"),
        ("preprocessing", "geometry", "grey_first"),
        ("preprocessing",),
        ("notices",),
        ("name",),
        ("schema_version",),
        ("source",),
    ],
)
@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_a_manifest_with_one_forged_value_opens_or_is_refused(copy, place, value):
    manifest = parse_manifest((copy / "manifest.json").read_bytes())
    (copy / "manifest.json").write_bytes(change(manifest, place, value))
    fits = (place[-1], value) in ([("logit_scale", 1.5), ("patch_scale", 1.5), ("source", {}), ("notices", [])])
    fits |= place[-1] == "name" and value == "3"
    fits |= place[-1] in ("image_heads",) and value == 0 and value is not False
    fits |= place[-1] == "min_cosine" and type(value) is int and value in (-1, 0)
    fits |= place[-1] == "grey_first" and value is True
    if fits:
        open_forged(copy)
        return
    with pytest.raises(EngineError):
        open_forged(copy)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\u202ecba", "\u2028", "\x9b", "\ud800"])
def test_control_characters_of_names_and_notices_are_refused(copy, text):
    manifest = parse_manifest((copy / "manifest.json").read_bytes())
    for changed in (replace(manifest, name=text), replace(manifest, notices=(text,))):
        (copy / "manifest.json").write_bytes(changed.render())
        result = CliRunner().invoke(main, ["inspect", str(copy)])
        assert result.exit_code == 1 and "control characters" in result.stderr and text not in result.output


def test_json_without_end_is_refused(copy):
    deep = {"a": 1}
    for _ in range(MAX_DEPTH + 1):
        deep = {"a": deep}
    manifest = parse_manifest((copy / "manifest.json").read_bytes())
    for data in (
        b"[" * 500_000,
        b'{"a":' * 100_000,
        replace(manifest, merging=deep).render(),
        b'{"schema_version": 1}',
    ):
        with pytest.raises(IntegrityError):
            parse_manifest(data)
    for data in (b"[" * 100_000, b"null", b"[]", b'{"version": "prompts-v1", "sets": {"a": {"b": {"positive": []}}}}'):
        with pytest.raises(IntegrityError, match=r"prompts\.json"):
            open_forged(forge(copy, prompts_json=data))
    for data in (b"[" * 100_000, b"{}", b'"x"', b"\xff"):
        with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
            PromptTokenizer(data.decode("latin-1"), 16)


def test_nothing_nested_is_too_deep_for_the_check():
    with pytest.raises(ValueError, match="nested too deeply"):
        value = []
        for _ in range(5000):
            value = [value]
        plain(value, "")


TOKENIZER_CHANGES = {
    "model": {"type": "Unigram", "vocab": []},
    "normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
    "post_processor": {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}},
    "added_tokens": [[]],
}


@pytest.mark.parametrize("part", TOKENIZER_CHANGES)
def test_a_tokenizer_of_another_kind_is_refused(copy, part):
    content = json.loads((copy / "tokenizer.json").read_bytes())
    content[part] = TOKENIZER_CHANGES[part]
    with pytest.raises(IntegrityError, match=r"tokenizer\.json"):
        open_forged(forge(copy, tokenizer_json=json.dumps(content).encode()))


@pytest.mark.parametrize(
    "vocabulary", [{}, {"a": -1}, {"a": 1 << 40}, {"a": 1, "b": 1}, {"a": None}, {"\ud800": 0}, [1]]
)
def test_a_vocabulary_that_is_none_is_refused(copy, vocabulary):
    content = json.loads((copy / "tokenizer.json").read_bytes())
    content["model"]["vocab"] = vocabulary
    with pytest.raises(AltaError):
        open_forged(forge(copy, tokenizer_json=json.dumps(content).encode()))


def read_members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["head.npz", "selftest.npz"])
def test_packed_arrays_are_refused_before_they_are_unpacked(copy, name):
    members = {**read_members(copy / name), "zeros.npy": b"\0" * (1 << 24)}
    with pytest.raises(IntegrityError, match=name):
        open_forged(forge(copy, **{name.replace(".", "_"): pack(members, zipfile.ZIP_DEFLATED)}))


@pytest.mark.parametrize("shape", ["(-1,)", "(0,)", "(1, 1)", "((((1,))))", "(" * 300, "(True,)", "('a',)", "(1e3,)"])
@pytest.mark.parametrize("kind", ["<f8", "O", "<U4", "<M8[s]"])
def test_forged_headers_of_arrays_are_errors_of_ours(copy, shape, kind):
    members = read_members(copy / "head.npz")
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(500).encode() + b"\n"
    members["norm_eps.npy"] = np.lib.format.magic(1, 0) + len(header).to_bytes(2, "little") + header
    with pytest.raises(IntegrityError, match=r"head\.npz"):
        open_forged(forge(copy, head_npz=pack(members)))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_bytes_of_an_npz_give_arrays_or_an_error_of_ours(bundle, data):
    whole = bytearray((bundle / "selftest.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_arrays(bytes(whole), ("pixels", "slot"), "selftest.npz")
    except IntegrityError:
        pass


def test_arrays_come_as_numpy_reads_them(bundle):
    for name in ("head.npz", "selftest.npz"):
        with np.load(bundle / name) as expected:
            found = read_arrays((bundle / name).read_bytes(), expected.files, name)
            for key in expected.files:
                np.testing.assert_array_equal(found[key], expected[key])
                assert found[key].dtype == expected[key].dtype
                assert found[key].flags.c_contiguous == expected[key].flags.c_contiguous


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(copy, value):
    with np.load(copy / "head.npz") as stored:
        arrays = dict(stored)
    arrays["output_bias"] = np.full_like(arrays["output_bias"], value)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(IntegrityError, match=r"head\.npz"):
        open_forged(forge(copy, head_npz=buffer.getvalue()))


def rename_output(graph):
    old = graph.graph.output[0].name
    graph.graph.output[0].name = "other"
    for node in graph.graph.node:
        node.output[:] = ["other" if name == old else name for name in node.output]
        node.input[:] = ["other" if name == old else name for name in node.input]


def rename_input(graph):
    old = graph.graph.input[0].name
    graph.graph.input[0].name = "other"
    for node in graph.graph.node:
        node.input[:] = ["other" if name == old else name for name in node.input]


@pytest.mark.parametrize("name", ["image.onnx", "text.onnx", "patches.onnx"])
@pytest.mark.parametrize("spoil", [rename_output, rename_input])
def test_a_graph_of_other_names_is_an_error_of_ours(copy, name, spoil):
    graph = onnx.load(copy / name)
    spoil(graph)
    (copy / name).write_bytes(graph.SerializeToString())
    with pytest.raises(EngineError):
        open_forged(forge(copy))


def grow_with_tokens(graph, times, output):
    """Add to an output nothing, made of a tensor whose size is the number of tokens to a power."""
    inner = graph.graph
    constants = {
        "g_one": np.ones(1, np.float32),
        "g_zero": np.zeros(1, np.float32),
        "g_start": np.zeros(times, np.int64),
        "g_end": np.ones(times, np.int64),
        "g_flat": np.array([1]),
    }
    inner.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in constants.items())
    for one in inner.node:
        one.output[:] = ["g_old" if name == output else name for name in one.output]
    inner.node.extend(
        [
            onnx.helper.make_node("Shape", [inner.input[0].name], ["g_t"], start=1, end=2),
            onnx.helper.make_node("Concat", ["g_t"] * times, ["g_s"], axis=0),
            onnx.helper.make_node("Expand", ["g_one", "g_s"], ["g_big"]),
            onnx.helper.make_node("Slice", ["g_big", "g_start", "g_end"], ["g_cut"]),
            onnx.helper.make_node("Reshape", ["g_cut", "g_flat"], ["g_number"]),
            onnx.helper.make_node("Mul", ["g_number", "g_zero"], ["g_nothing"]),
            onnx.helper.make_node("Add", ["g_old", "g_nothing"], [output]),
        ]
    )


@pytest.mark.parametrize("times", [5, 6, 8])
def test_a_text_graph_that_takes_gigabytes_for_a_longer_prompt_does_not_open(copy, times):
    graph = onnx.load(copy / "text.onnx")
    grow_with_tokens(graph, times, "projection")
    (copy / "text.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(IntegrityError, match="text.onnx would take more memory or time"):
        open_forged(forge(copy))


def test_a_self_test_of_longer_prompts_than_the_engine_reads_is_refused(copy):
    stored = dict(np.load(copy / "selftest.npz"))
    longer = np.ones((len(stored["input_ids"]), 4096), np.int64)
    buffer = io.BytesIO()
    np.savez(buffer, **{**stored, "input_ids": longer, "attention_mask": longer})
    with pytest.raises(IntegrityError, match=r"selftest\.npz holds longer prompts"):
        open_forged(forge(copy, selftest_npz=buffer.getvalue()))


@pytest.mark.parametrize(("one", "other"), [("image.onnx", "text.onnx"), ("image.onnx", "patches.onnx")])
def test_graphs_that_change_places_are_an_error_of_ours(copy, one, other):
    a, b = (copy / one).read_bytes(), (copy / other).read_bytes()
    (copy / one).write_bytes(b)
    (copy / other).write_bytes(a)
    with pytest.raises(EngineError):
        open_forged(forge(copy))


def test_a_first_run_under_limits_tells_the_drift(copy, capsys):
    assert {drift.output for drift in trial.try_engine(copy)} == {"image", "text", "patches"}
    result = CliRunner().invoke(main, ["inspect", str(copy), "--verify"])
    assert result.exit_code == 0 and "Self-test against the PyTorch reference" in result.stdout


@pytest.mark.parametrize("limits", [(1 << 20, 60), (8 << 30, 0)])
def test_a_first_run_beyond_its_limits_is_stopped_and_told(copy, limits, monkeypatch):
    monkeypatch.setattr(trial, "choose_limits", lambda path: limits)
    monkeypatch.setattr(trial, "WALL_TIMES", 1000 if limits[1] else 1)
    with pytest.raises(EngineError, match="was stopped in its first run|could not|cannot"):
        trial.try_engine(copy)


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (3, 3), (64, 4), (512, 4)])
def test_a_first_run_takes_few_threads_however_many_processors_there_are(
    copy, monkeypatch, capsys, processors, threads
):
    """Each thread reserves address space, which is what is limited: many would take all of it and use none."""
    opened, limited = [], []
    monkeypatch.setattr(trial, "default_threads", lambda: processors)
    monkeypatch.setattr(trial, "limit_memory", lambda limit, reserves: limited.append((limit, reserves)))
    monkeypatch.setattr(trial, "limit_time", limited.append)
    monkeypatch.setenv(trial.LIMITS, "5 6")
    original = Engine.open
    monkeypatch.setattr(
        Engine, "open", lambda path, **given: opened.append(given) or original(path, **{**given, "threads": 1})
    )
    trial.main(str(copy))
    assert len(json.loads(capsys.readouterr().out)["drifts"]) == 3
    assert opened == [{"trust": None, "threads": threads}] and limited == [(5, False), 6]


def test_a_first_run_on_a_machine_with_a_gpu_may_reserve_addresses(copy, monkeypatch, capsys):
    """CUDA reserves far more than the limit when it starts: under a limit of addresses the run was on the CPU."""
    limited = []
    monkeypatch.setattr(trial, "probe_driver", lambda: DriverState((Gpu(0, "NVIDIA Example 4000", "8.9"),), "13.2"))
    monkeypatch.setattr(trial, "limit_memory", lambda limit, reserves: limited.append((limit, reserves)))
    monkeypatch.setattr(trial, "limit_time", limited.append)
    monkeypatch.setenv(trial.LIMITS, "5 6")
    trial.main(str(copy))
    assert len(json.loads(capsys.readouterr().out)["drifts"]) == 3
    assert limited == [(5, True), 6]


def test_a_first_run_is_told_to_reserve_little(copy, monkeypatch):
    given, run = [], trial.subprocess.run
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setattr(trial.subprocess, "run", lambda *a, **named: given.append(named["env"]) or run(*a, **named))
    trial.try_engine(copy)
    (environment,) = given
    assert {name: environment[name] for name in trial.FEW} == trial.FEW
    assert trial.FEW["MALLOC_ARENA_MAX"] == "2" and trial.FEW["OMP_NUM_THREADS"] == "1"


def test_a_first_run_does_not_start_as_the_program_that_decodes_pixels():
    code = "import sys, alta_sdk.engine.trial; print('alta_sdk.dicom.decode_worker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_a_first_run_tells_the_error_of_the_engine(copy):
    (copy / "head.npz").write_bytes(b"x")
    with pytest.raises(IntegrityError, match=r"head\.npz"):
        trial.try_engine(copy)
