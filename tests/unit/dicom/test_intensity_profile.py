"""The intensity profile of an engine: chosen at export, kept in the manifest, never mixed."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from fuzz.seeds import chest_header, save

from alta_export.options import choose_profile
from alta_sdk import DicomError, EngineError, ExportError, Matcher, Study
from alta_sdk.cli import main as alta
from alta_sdk.dicom.intensity import MIMIC_JPG, MINMAX, PUBLISHED, VOI
from alta_sdk.engine.bundle import read_manifest

WINDOWS = {"WindowCenter": [1000, 3000], "WindowWidth": [500, 800]}


def copy_with_profile(bundle, folder, profile):
    """Copy the test engine, as an export with --intensity-profile would write it."""
    copy = shutil.copytree(bundle, folder / f"{profile}.alta")
    manifest = read_manifest(copy)
    assert manifest.preprocessing["intensity_profile"] == PUBLISHED
    changed = replace(manifest, preprocessing={**manifest.preprocessing, "intensity_profile": profile})
    (copy / "manifest.json").write_bytes(changed.render())
    return copy


@pytest.fixture(scope="module")
def voi_bundle(bundle, tmp_path_factory):
    return copy_with_profile(bundle, tmp_path_factory.mktemp("voi"), VOI)


@pytest.fixture
def study_path(tmp_path):
    pixels = (np.arange(64 * 64).reshape(64, 64) % 4096).astype(np.uint16)
    path = tmp_path / "image.dcm"
    path.write_bytes(save(chest_header(pixels, NumberOfFrames=2, PixelData=pixels.tobytes() * 2, **WINDOWS)))
    return path


def test_the_checkpoints_profile_is_taken_and_not_contradicted():
    assert choose_profile(None, None, PUBLISHED) == PUBLISHED != choose_profile(None, None, MINMAX) == MINMAX
    assert choose_profile(None, MIMIC_JPG, PUBLISHED) == choose_profile(MIMIC_JPG, MIMIC_JPG, PUBLISHED) == MIMIC_JPG
    assert choose_profile(VOI, None, PUBLISHED) == VOI
    with pytest.raises(ExportError, match="trained with intensity profile mimic-jpg-v1"):
        choose_profile(VOI, MIMIC_JPG, PUBLISHED)


def test_the_manifest_records_the_profile_and_another_one_is_refused(voi_bundle, study_path):
    matcher = Matcher(voi_bundle)
    assert matcher.engine.manifest.preprocessing["intensity_profile"] == VOI
    result = matcher.zero_shot(study_path, ["pneumonia", "edema"])
    assert result.provenance["intensity_profile"] == [VOI]
    assert result.provenance["reading"] == [
        "frontal: image has 2 frames: the first was read",
        "frontal: picture is a ramp, or smoother than a radiograph: check that it is one",
    ]
    for profile in (PUBLISHED, MIMIC_JPG):
        with pytest.raises(EngineError, match="another intensity profile"):
            matcher.embed(Study.from_dicom(study_path, intensity_profile=profile))


def test_a_window_is_chosen_on_the_command_line(voi_bundle, bundle, study_path):
    def score(engine, *options):
        arguments = ["score", study_path, "--engine", engine, "--labels", "pneumonia, edema", "--json", *options]
        return CliRunner().invoke(alta, [str(argument) for argument in arguments])

    first, second = (json.loads(score(voi_bundle, "--window", number).stdout)["scores"] for number in (1, 2))
    assert first == json.loads(score(voi_bundle).stdout)["scores"] != second
    refused = score(voi_bundle, "--window", 3)
    assert (refused.exit_code, "the image has 2 windows" in refused.stderr) == (1, True)
    refused = score(bundle, "--window", 1)
    assert (refused.exit_code, "only voi-v1 applies windows" in refused.stderr) == (1, True)
    assert score(voi_bundle, "--window", 0).exit_code == 2


def test_an_engine_that_stretches_pictures_takes_none_as_stored_and_others_none_stretched(
    bundle, matcher, radiograph_path, study_path, tmp_path
):
    stretching = Matcher(copy_with_profile(bundle, tmp_path, MINMAX))
    shown = Study.from_images(radiograph_path)
    stretched = Study.from_images(radiograph_path, intensity_profile=MINMAX)
    with pytest.raises(EngineError, match="another intensity profile.*Study.from_images"):
        stretching.embed(shown)
    with pytest.raises(EngineError, match="another intensity profile"):
        matcher.embed(stretched)
    by_path = stretching.zero_shot(radiograph_path, ["pneumonia"])
    assert by_path.provenance["intensity_profile"] == [MINMAX]
    assert by_path.scores == stretching.zero_shot(stretched, ["pneumonia"]).scores
    assert stretching.zero_shot(study_path, ["pneumonia"]).provenance["intensity_profile"] == [MINMAX]
    with pytest.raises(DicomError, match="only voi-v1 applies windows"):
        Study.from_dicom(study_path, intensity_profile=MINMAX, window=1)
