"""Shared fixtures: small random models, an exported engine, DICOM files; and a guard against silent skips."""

import contextlib
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import settings
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from transformers import BertConfig

from alta_export.options import ExportOptions
from alta_export.pipeline import export_engine
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import save_checkpoint
from alta_training.model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes

settings.register_profile("shared", deadline=None)  # machines that are shared pause for longer than any deadline
settings.load_profile("shared")

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
DATA_DIR = Path(os.environ.get("ALTA_DATA_DIR", SHARED / "data"))
# On CI nothing else may be skipped: a test that silently stops running is a defect.
ALLOWED_SKIPS = ("shared data absent", "Chromium absent", "no C compiler")


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


def run_training_command(name, *arguments):
    """Run training/NAME.py in this process, so that what it uses can be replaced and no start-up is paid."""
    spec = importlib.util.spec_from_file_location(f"training_{name}", ROOT / "training" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return CliRunner().invoke(module.main, [str(argument) for argument in arguments])


def export_quietly(options):
    return export_engine(options, lambda name: contextlib.nullcontext())


@pytest.fixture(scope="session")
def data_dir():
    if not DATA_DIR.is_dir():
        pytest.skip("shared data absent: ALTA_DATA_DIR")
    return DATA_DIR


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
def bundle(export_options):
    """An exported engine; tests that change it copy it first."""
    return export_quietly(export_options()).path


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


def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", [])] if reporter else []
    unlisted = [reason for reason in reasons if not any(allowed in reason for allowed in ALLOWED_SKIPS)]
    if os.environ.get("CI") and unlisted:
        print("skipped without being listed:", *unlisted, sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
