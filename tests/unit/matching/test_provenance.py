"""Where each number comes from: software, decoder, processor, signature, prompts, thresholds, pixels, time."""

import hashlib
import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT
from PIL import Image
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from alta_sdk import Matcher, Study, __version__
from alta_sdk.cli import main
from alta_sdk.engine import processor
from alta_sdk.matching.thresholds import locate_sidecar

RADIOGRAPHS = sorted((ROOT / "examples" / "data").glob("*.jpg"))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_a_result_tells_what_computed_and_of_which_pixels(matcher, make_dicom):
    study = Study.from_dicom(make_dicom())
    result = matcher.zero_shot(study, ["edema"])
    told = result.as_dict()["provenance"]
    assert told["sdk_version"] == __version__ and told["runtime"].split()[1][0].isdigit()
    assert told["processor"] and isinstance(told["instruction_sets"], list)
    assert told["signature"] == "unsigned" and "signed_by" not in told
    assert told["decoders"] == {"frontal": f"Explicit VR Little Endian: pydicom {version('pydicom')}"}
    assert told["pixels_sha256"] == {"frontal": sha256(study.radiographs[0].grey_u8.tobytes())}
    assert told["prompt_templates"] == ["There is {}", "There is no {}"]
    prompts = {"edema": [["There is edema"], ["There is no edema"]]}
    assert told["prompts_sha256"] == sha256(json.dumps(prompts, sort_keys=True).encode())
    assert told["thresholds_sha256"] is None and "threshold_targets" not in told
    when = datetime.fromisoformat(told["scored_at"])
    assert when.utcoffset() == timedelta(0) and abs(datetime.now(UTC) - when) < timedelta(hours=1)
    json.dumps(told)


def test_equal_results_are_equal_whenever_they_were_made(matcher, radiograph_path, monkeypatch):
    one = matcher.zero_shot(str(radiograph_path), ["edema"])
    monkeypatch.setattr(type(one).__dataclass_fields__["scored_at"], "default_factory", lambda: "later")
    other = type(one)(one.scores, one.provenance, one.decisions, scored_at="2031-01-01T00:00:00+00:00")
    assert one == other and one.as_dict() != other.as_dict()


def test_own_prompts_are_under_no_template(matcher, radiograph_path):
    told = matcher.zero_shot(str(radiograph_path), {"edema": ["fluid"], "none": ["clear lungs"]}).provenance
    assert told["prompt_templates"] == []


def test_thresholds_are_told_by_their_files_hash_and_by_their_aim(bundle, tmp_path):
    own = Matcher(shutil.copytree(bundle, tmp_path / "own.alta"))
    text = own.embed_text(["There is edema", "There is no edema"])
    axis, rng = (text[0] - text[1]), np.random.default_rng(1)
    vectors = [lean * axis + text.mean(axis=0) for lean in [*rng.normal(1, 0.3, 25), *rng.normal(-1, 0.3, 25)]]
    embedded = [own.embed(str(RADIOGRAPHS[0]))] * 50
    studies = [type(one)((v / np.linalg.norm(v)).astype(np.float32), one.mode, one.engine) for one, v in
               zip(embedded, vectors, strict=True)]  # fmt: skip
    own.calibrate(studies, [True] * 25 + [False] * 25, "edema", target="sensitivity", at_least=0.9)
    told = own.zero_shot(str(RADIOGRAPHS[0]), ["edema", "pneumonia"]).provenance
    assert told["thresholds_sha256"] == sha256(locate_sidecar(own.engine.bundle).read_bytes())
    assert told["threshold_targets"] == {"edema": "sensitivity 0.9"}


def test_a_signature_that_nobody_checked_is_told_as_such(bundle, tmp_path):
    copied = shutil.copytree(bundle, tmp_path / "copy.alta")
    key = "ab" * 32
    content = {"algorithm": "ed25519", "key": key, "signature": "00" * 64}
    (copied / "manifest.sig").write_text(json.dumps(content))
    told = Matcher(copied).provenance
    assert told["signature"] == "signed" and told["claimed_signer"] == key and "signed_by" not in told
    (copied / "manifest.sig").write_text("nonsense")
    assert Matcher(copied).provenance["claimed_signer"] == "none that can be read"


@pytest.mark.parametrize(
    ("syntax", "package"),
    [(RLELossless, "pylibjpeg-rle"), (JPEG2000Lossless, "pylibjpeg-openjpeg"), (JPEGLSLossless, "pyjpegls")],
)
def test_the_decoder_of_each_syntax_is_told(syntax, package, make_dicom, matcher):
    path = make_dicom()
    header = dcmread(path)
    header.compress(syntax, generate_instance_uid=False)
    header.save_as(path)
    plain = Study.from_dicom(make_dicom("plain.dcm")).radiographs[0]
    told = matcher.zero_shot(str(path), ["edema"]).provenance
    assert told["decoders"] == {"frontal": f"{syntax.name}: {package} {version(package)}"}
    assert told["pixels_sha256"] == {"frontal": plain.pixels_sha256}, "lossless: the same pixels"


def test_pictures_and_arrays_tell_their_decoder(tmp_path, radiograph_path):
    grey = np.asarray(Image.open(radiograph_path).convert("L"))
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "a.jpg")
    found = [Study.from_images(source).radiographs[0] for source in (tmp_path / "a.png", tmp_path / "a.jpg", grey)]
    expected = [f"PNG: pillow {version('pillow')}", f"JPEG: simplejpeg {version('simplejpeg')}"]
    assert [one.decoder for one in found] == [*expected, "none: pixels were given as an array"]
    assert found[0].pixels_sha256 == found[2].pixels_sha256 == sha256(grey.tobytes()) != found[1].pixels_sha256


def test_each_command_that_scores_tells_the_pixels(bundle, make_dicom):
    now, before = make_dicom("b.dcm", StudyInstanceUID="1.2.3.5", StudyDate="20240601"), make_dicom("a.dcm")
    reports = before.with_name("reports.txt")
    reports.write_text("clear lungs\nedema\n")
    runs = {
        "score": ["--labels", "edema,pneumonia"],
        "compare": [before, "--labels", "edema,pneumonia"],
        "locate": ["--phrase", "edema"],
        "rank": ["--reports", reports],
    }
    for command, more in runs.items():
        given = [command, now, *more, "--engine", bundle, "--json"]
        done = CliRunner().invoke(main, list(map(str, given)))
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)["provenance"]
        assert re.fullmatch("[0-9a-f]{64}", told["pixels_sha256"]["frontal"]), command
        assert told["decoders"]["frontal"] and told["scored_at"] and told["sdk_version"], command
        assert ("prior_pixels_sha256" in told) == (command == "compare")


def test_the_processor_is_told_where_linux_does_not_tell_it(monkeypatch):
    assert processor.list_instruction_sets() == processor.list_instruction_sets()
    monkeypatch.setattr(processor, "_read", lambda key: "")
    processor.list_instruction_sets.cache_clear()
    assert processor.processor_name() and isinstance(processor.list_instruction_sets(), tuple)
    monkeypatch.setattr(processor, "_read", lambda key: "fpu avx2 amx_int8 sse2" if key == "flags" else "")
    processor.list_instruction_sets.cache_clear()
    assert processor.list_instruction_sets() == ("avx2", "amx_int8")
    processor.list_instruction_sets.cache_clear()
