"""Shared fixtures: small random models, an exported engine, DICOM files; and a guard against silent skips.

What is dear is made once for a whole run (`make_once`): engines, a wheel, and the graphs of each tower, since
tracing is nine tenths of a small export.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from fakes.follow_up import follow_up_bundle as follow_up_bundle
from filelock import FileLock
from hypothesis import HealthCheck, settings
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from transformers import BertConfig

from alta_export import pipeline
from alta_export.graph import export_graph
from alta_export.options import ExportOptions
from alta_export.pipeline import export_engine
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import save_checkpoint
from alta_training.model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes

# Machines that are shared pause for longer than any deadline.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")

ROOT = Path(__file__).parent.parent
DEMO_WHEEL = ROOT / "examples" / "demo_wheel" / "build.py"
SHARED = ROOT.parent / "shared"
DATA_DIR = Path(os.environ.get("ALTA_DATA_DIR", SHARED / "data"))
# On CI nothing else may be skipped: a test that silently stops running is a defect.
ALLOWED_SKIPS = (
    "shared data absent",
    "Chromium absent",
    "no C compiler",
    "no NVIDIA GPU",
    "no BF16",
    "no glibc",
    "minutes long",
)


def make_sizes(width=32, depth=2, heads=2, adapter=8, text_depth=2, vocabulary=400):
    text = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=text_depth,
        num_attention_heads=heads,
        intermediate_size=3 * width,
        max_position_embeddings=64,
    )
    return ModelSizes(
        image=ImageSizes(width, depth, heads, 4 * width, adapter, adapter + 1),
        decoder=DecoderSizes(width, 1, heads, 2 * width),
        text=TextSizes(text, adapter, adapter + 1),
    )


def load_program(path):
    """Return a program of the tree, which is in no package, as a module; its neighbours can be imported, as run."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location("_".join(path.relative_to(ROOT).with_suffix("").parts), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_training_command(name, *arguments):
    """Run training/NAME.py in this process, so that what it uses can be replaced and no start-up is paid."""
    module = load_program(ROOT / "training" / f"{name}.py")
    return CliRunner().invoke(module.main, [str(argument) for argument in arguments])


def export_quietly(options):
    return export_engine(options, lambda name: contextlib.nullcontext())


@pytest.fixture(scope="session")
def make_once(tmp_path_factory):
    """Fill a folder once for all workers of a run: `make_once(name, make)`, with make(folder) to write into it."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-once"
    shared.mkdir(exist_ok=True)

    def once(name, make):
        folder, half = shared / name, shared / f"{name}.half"
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(half, ignore_errors=True)
                half.mkdir()
                make(half)
                half.rename(folder)
        return folder

    return once


@pytest.fixture(scope="session")
def trace_once(make_once):
    """`export_graph`, but a tower with the same weights and settings as an earlier one of the run is not traced."""

    def trace(tower, inputs, outputs):
        digest = hashlib.sha256(repr((type(tower).__name__, outputs)).encode())
        digest.update(repr([(item.name, item.example.shape, item.dynamic_axes) for item in inputs]).encode())
        for name, module in tower.named_modules():
            plain = {key: value for key, value in vars(module).items() if isinstance(value, (int, float, str, tuple))}
            digest.update(repr((name, type(module).__name__, plain)).encode())
        for name, tensor in (*tower.named_parameters(), *tower.named_buffers()):
            digest.update(name.encode() + tensor.detach().numpy().tobytes())

        def make(folder):
            onnx.save(export_graph(tower, inputs, outputs), folder / "graph.onnx")

        return onnx.load(make_once(digest.hexdigest(), make) / "graph.onnx")

    return trace


@pytest.fixture(scope="session", autouse=True)
def exports_trace_once(trace_once):
    """Exports in the tests' own processes take the graphs of `trace_once`; commands run as processes do not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "export_graph", trace_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def settings_of_nobody(tmp_path_factory):
    """Commands keep a site key among the user's settings: in a run of tests, not among those of its user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("settings")))
        patch.delenv("ALTA_SITE_KEY", raising=False)
        patch.delenv("ALTA_AUDIT", raising=False)
        patch.setenv("MALLOC_ARENA_TEST", "8")  # glibc's own default: training in this process leaves its memory alone
        yield


@pytest.fixture(scope="session")
def data_dir():
    if not DATA_DIR.is_dir():
        pytest.skip("shared data absent: ALTA_DATA_DIR")
    return DATA_DIR


@pytest.fixture
def shared_case():
    """The folder of a failing input that was reported, with what is right: `shared_case(name)`."""

    def find(name):
        folder = DATA_DIR.parent / "cases" / name
        if not folder.is_dir():
            pytest.skip("shared data absent: cases")
        return folder

    return find


@pytest.fixture(scope="session")
def model():
    return make_random_model(make_sizes(), seed=3)


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_text_model(folder / "text-model", model.sizes.text.config)
    save_checkpoint(model, folder / "model.safetensors", {"notice": "RANDOM TEST MODEL"})
    return folder


@pytest.fixture(scope="session")
def export_options(checkpoint_folder, tmp_path_factory):
    def make(output=None, **changes):
        given = {
            "checkpoint": checkpoint_folder / "model.safetensors",
            "text_model": checkpoint_folder / "text-model",
            "output": output or tmp_path_factory.mktemp("bundle") / "test.alta",
        }
        return ExportOptions(**{**given, **changes})

    return make


@pytest.fixture(scope="session")
def bundle(export_options, make_once):
    """An exported engine; tests that change it copy it first."""
    return make_once("bundle", lambda folder: export_quietly(export_options(folder / "test.alta"))) / "test.alta"


@pytest.fixture(scope="session")
def demo_export(make_once):
    """A folder with what `alta-export` alone leaves in it, demo.alta, and what it printed: stdout, stderr."""

    def make(folder):
        command = Path(sys.executable).with_name("alta-export")
        done = subprocess.run([str(command)], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (folder / "stdout").write_text(done.stdout, encoding="utf-8")
        (folder / "stderr").write_text(done.stderr, encoding="utf-8")

    return make_once("demo", make)


def build_demo_wheel(engine, folder, **changes):
    """Build the wheel of the demo engine into a folder, as `make demo-wheel` does."""
    command = [sys.executable, DEMO_WHEEL, "--engine", engine, "--output", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **changes)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def demo_wheel(make_once, demo_export):
    return next(make_once("demo-wheel", lambda to: build_demo_wheel(demo_export / "demo.alta", to)).glob("*.whl"))


@pytest.fixture
def demo_package(bundle, tmp_path_factory, monkeypatch):
    """The package alta_sdk_demo of a small engine, on sys.path as if it were installed."""
    tree = tmp_path_factory.mktemp("demo") / "tree"
    load_program(DEMO_WHEEL).stage_tree(bundle, tree)
    monkeypatch.syspath_prepend(tree)
    return tree / "alta_sdk_demo"


@pytest.fixture(scope="session")
def wheel(make_once):
    """The wheel of the tree, built from a copy: a folder build/ in the tree would put its old files into it."""

    def make(folder):
        with contextlib.ExitStack() as stack:
            tree = folder / "tree"
            stack.callback(shutil.rmtree, tree)
            left_out = (".*", "build", "dist", "*.egg-info", "__pycache__")
            shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*left_out))
            build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, tree]
            subprocess.run(build, check=True, capture_output=True)

    return next(make_once("wheel", make).glob("*.whl"))


def write_radiographs(folder, images):
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"DOE_JANE_{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def matcher(bundle):
    from alta_sdk import Matcher

    return Matcher(bundle)


@pytest.fixture(scope="session")
def radiograph_path():
    return sorted((ROOT / "examples" / "data").glob("*.jpg"))[0]


@pytest.fixture
def gpu(monkeypatch):
    """A machine with a GPU and TensorRT, both fake; `.install` puts other packages or versions in their place."""
    from fakes.cuda import FakeCuda
    from fakes.tensorrt import make_tensorrt

    from alta_runtimes import driver, tensorrt_library

    class Machine:
        def __init__(self):
            self.cuda = FakeCuda()
            self.install("tensorrt_lean", "tensorrt")

        def install(self, *names, **versions):
            self.libraries = {name: make_tensorrt(self.cuda, name) for name in names}
            self.versions = {name: versions.get(name, self.libraries[name].__version__) for name in names}

    machine = Machine()
    monkeypatch.setattr(driver, "_open_library", lambda name: machine.cuda)
    monkeypatch.setattr(tensorrt_library, "find_version", lambda name: machine.versions.get(name))
    monkeypatch.setattr(tensorrt_library, "open_library", lambda name: machine.libraries[name])
    return machine


@pytest.fixture
def make_dicom(tmp_path):
    """Write a DICOM radiograph; keyword arguments set, or with None remove, elements."""

    def make(name="image.dcm", pixels=None, **elements):
        rng = np.random.default_rng(5)
        pixels = rng.integers(0, 4096, (300, 280), dtype=np.uint16) if pixels is None else pixels
        header = Dataset()
        header.SOPClassUID = ComputedRadiographyImageStorage
        header.SOPInstanceUID = generate_uid()
        header.StudyInstanceUID = "1.2.3.4"
        header.PatientID, header.StudyDate = "P1", "20240501"
        header.Modality, header.BodyPartExamined, header.ViewPosition = "CR", "CHEST", "PA"
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.Rows, header.Columns = pixels.shape[:2]
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
        header.PixelData = pixels.tobytes()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        for keyword, value in elements.items():
            if value is None:
                delattr(header, keyword)
            else:
                setattr(header, keyword, value)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(path, enforce_file_format=True)
        return path

    return make


@pytest.fixture
def still_clock(monkeypatch):
    """All results of a test are made at one moment, so that what is printed of them can be compared."""

    class Still(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 26, 12, tzinfo=tz)

    monkeypatch.setattr("alta_sdk.engine.clock.datetime", Still)


@pytest.fixture
def run_in_time():
    """Return a function that runs another one in a thread, for a minute at most, and returns what that returns."""

    def run(call):
        done = Future()

        def work():
            try:
                done.set_result(call())
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=work, daemon=True).start()  # one that waits for ever holds nobody up at the end
        return done.result(timeout=60)

    return run


@pytest.fixture
def make_special():
    """Return a function that makes what is no file: a pipe, a link to a device, a link to a pipe."""

    def make(kind, path):
        if kind == "pipe":
            os.mkfifo(path)
            return
        path.symlink_to("/dev/zero" if kind == "device" else f"pipe of {path.name}")
        if kind == "link to a pipe":
            os.mkfifo(path.with_name(f"pipe of {path.name}"))

    return make


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", [])] if reporter else []
    unlisted = [reason for reason in reasons if not any(allowed in reason for allowed in ALLOWED_SKIPS)]
    if os.environ.get("CI") and unlisted:
        print("skipped without being listed:", *unlisted, sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
