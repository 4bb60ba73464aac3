"""Each bad input gets its named error in one line, exit code 1, no traceback, nothing half-written."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from alta_export.cli import main as alta_export
from alta_sdk.cli import main as alta

LABELS = ["--labels", "pneumonia, edema"]
MARKS = {
    "PatientName": "Marked^Name",
    "PatientID": "MARKED-ID",
    "AccessionNumber": "MARKED-ACC",
    "PatientBirthDate": "19010203",
    "StudyInstanceUID": "1.2.999.4711",
}


def assert_fails(result, error):
    assert result.exit_code == 1, result.output
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith(f"{error}: "), result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def alta_in_a_process(*arguments):
    """Return all that a fresh process prints, its warnings included."""
    command = [sys.executable, "-c", "from alta_sdk.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def score(engine, *arguments):
    return CliRunner().invoke(alta, ["score", "--engine", str(engine), *map(str, arguments)])


@pytest.fixture
def export_arguments(checkpoint_folder, tmp_path):
    def make(checkpoint=None):
        checkpoint = checkpoint or checkpoint_folder / "model.safetensors"
        text_model = checkpoint_folder / "text-model"
        options = ["--checkpoint", checkpoint, "--text-model", text_model, "--output", tmp_path / "out" / "x.alta"]
        (tmp_path / "out").mkdir(exist_ok=True)
        return [str(option) for option in options]

    return make


def test_not_a_dicom(bundle, tmp_path):
    (tmp_path / "notes.dcm").write_text("Marked^Name was here")
    assert_fails(score(bundle, tmp_path / "notes.dcm", *LABELS), "DicomError")


def test_dicom_without_pixels(bundle, make_dicom):
    assert_fails(score(bundle, make_dicom(PixelData=None, **MARKS), *LABELS), "DicomError")


def test_study_that_is_no_chest(bundle, make_dicom):
    path = make_dicom(BodyPartExamined="EXTREMITY", **MARKS)
    assert_fails(score(bundle, path, *LABELS), "ViewError")
    assert score(bundle, path, *LABELS, "--any-body-part").exit_code == 0


def test_truncated_file(bundle, make_dicom):
    path = make_dicom(**MARKS)
    path.write_bytes(path.read_bytes()[:-5000])
    assert_fails(score(bundle, path, *LABELS), "DicomError")


def test_a_missing_study_is_not_named(bundle, tmp_path):
    result = score(bundle, tmp_path / "Marked_Name_study", *LABELS)
    assert_fails(result, "StudyError")
    assert "Marked" not in result.stderr


def test_the_bad_one_of_several_studies_is_counted(bundle, radiograph_path, tmp_path):
    result = score(bundle, radiograph_path, tmp_path / "absent", *LABELS)
    assert result.exit_code == 1 and "Traceback" not in result.stderr
    assert "study 2 of 2: StudyError: " in result.stderr
    assert result.stderr.splitlines()[-1] == "StudyError: 1 of 2 studies could not be scored"
    assert "pneumonia" in result.stdout, "the other one is scored"


def test_bundle_with_one_byte_changed(bundle, radiograph_path, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy.alta")
    data = bytearray((copy / "image.onnx").read_bytes())
    data[len(data) // 2] ^= 255
    (copy / "image.onnx").write_bytes(data)
    assert_fails(score(copy, radiograph_path, *LABELS), "IntegrityError")
    for command in (["inspect", str(copy)], ["doctor", str(copy)]):
        assert_fails(CliRunner().invoke(alta, command), "IntegrityError")


def test_manifest_of_a_newer_schema(bundle, radiograph_path, tmp_path):
    copy = shutil.copytree(bundle, tmp_path / "copy.alta")
    content = json.loads((copy / "manifest.json").read_bytes())
    (copy / "manifest.json").write_text(json.dumps({**content, "schema_version": 99}))
    assert_fails(score(copy, radiograph_path, *LABELS), "EngineError")


@pytest.mark.parametrize("labels", ["", " , ", "nosuchset", "edema, edema"])
def test_labels_that_cannot_be_scored(bundle, radiograph_path, labels):
    assert_fails(score(bundle, radiograph_path, "--labels", labels), "PromptError")


def test_checkpoint_with_a_missing_tensor(checkpoint_folder, export_arguments, tmp_path):
    weights = load_file(checkpoint_folder / "model.safetensors")
    del weights["blocks.1.mlp_adapter.D_fc1.weight"]
    save_file(weights, tmp_path / "cut.safetensors")
    result = CliRunner().invoke(alta_export, export_arguments(tmp_path / "cut.safetensors"))
    assert_fails(result, "CheckpointError")
    assert "blocks.1.mlp_adapter.D_fc1.weight" in result.stderr
    assert not list((tmp_path / "out").iterdir())


def test_checkpoint_that_is_a_list(export_arguments, tmp_path):
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    assert_fails(CliRunner().invoke(alta_export, export_arguments(tmp_path / "list.pth")), "CheckpointError")


@pytest.mark.parametrize("full_at", ["head.npz", "text.onnx", "manifest.json"])
def test_full_disk_while_exporting(export_arguments, tmp_path, monkeypatch, full_at):
    write = Path.write_bytes

    def write_until_full(path, data):
        if path.name == full_at:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    result = CliRunner().invoke(alta_export, export_arguments())
    assert_fails(result, "ExportError")
    assert f"{full_at} cannot be written: No space left on device" in result.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_tensorrt_engine_is_refused_without_a_gpu(export_arguments):
    result = CliRunner().invoke(alta_export, [*export_arguments(), "--engine", "trt"])
    assert_fails(result, "RuntimeUnavailable")
    assert "TensorRT engines are built on the GPU that runs them" in result.stderr


@pytest.mark.parametrize("arguments", [["score"], ["score", "x", "--labels", "a,b"], ["nosuch"], ["inspect"]])
def test_wrong_usage_exits_with_2(arguments):
    assert CliRunner().invoke(alta, arguments).exit_code == 2


def test_no_identifier_appears_in_any_output(bundle, make_dicom):
    """Marked elements, a marked path, good and bad files: none of the marks is printed."""
    good = make_dicom("Marked_folder/good.dcm", **MARKS)
    # pydicom warns about the value of an element that does not fit its VR
    odd = make_dicom("Marked_folder/odd.dcm", **{**MARKS, "PatientID": "MARKED-ID" * 9, "PatientAge": "MARKED"})
    cut = make_dicom("Marked_folder/cut.dcm", **MARKS)
    cut.write_bytes(cut.read_bytes()[:900])
    outputs = [
        alta_in_a_process("score", path, "--engine", bundle, *LABELS, *extra)
        for path in (good, odd, cut)
        for extra in ([], ["--json"])
    ]
    outputs.append(alta_in_a_process("score", good, "--engine", bundle, *LABELS, "--prior", odd))
    text = "".join(outputs)
    assert "pneumonia" in text
    for mark in (*MARKS.values(), "MARKED", "Marked"):
        assert mark not in text
