"""An engine exported from the published checkpoint gives the published code's embeddings."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from tolerances import MIN_COSINE, PARITY

from alta_export.cli import main as alta_export
from alta_sdk import Matcher, Study
from alta_sdk.cli import main as alta


@pytest.fixture(scope="module")
def engine(parity_dir, text_model_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("parity") / "published.alta"
    arguments = ["--checkpoint", parity_dir / "ALTA.pth", "--text-model", text_model_dir, "--output", path]
    result = CliRunner().invoke(alta_export, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def published_matcher(engine):
    return Matcher(engine)


def test_radiographs(published_matcher, image_paths, golden):
    vectors = [published_matcher.embed(Study.from_images(frontal=path)).vector for path in image_paths]
    np.testing.assert_allclose(vectors, golden["frontal_embedding"], **PARITY)


def test_dicom(published_matcher, dicom_path, golden):
    vector = published_matcher.embed(dicom_path).vector
    assert vector @ golden["dicom_frontal_embedding"][0] > MIN_COSINE
    np.testing.assert_allclose(vector, golden["dicom_frontal_embedding"][0], **PARITY)


def test_prompts(published_matcher, facts, golden):
    np.testing.assert_allclose(published_matcher.embed_text(facts["prompts"]), golden["text_embedding"], **PARITY)


def test_studies_fused_as_in_training(engine, image_paths, golden):
    matcher = Matcher(engine, fusion_mode="published")
    for rows, expected in zip(golden["slot_rows"], golden["study_embedding"], strict=True):
        study = Study.from_images(*(None if row < 0 else image_paths[row] for row in rows))
        np.testing.assert_allclose(matcher.embed(study).vector, expected, **PARITY)


def test_alta_score_on_the_dicom_file(engine, dicom_path):
    arguments = ["score", str(dicom_path), "--engine", str(engine), "--labels", "pneumonia, pleural effusion", "--json"]
    result = CliRunner().invoke(alta, arguments)
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["scores"]) == {"pneumonia", "pleural effusion"}


def test_a_non_chest_study_is_refused_unless_allowed(engine, data_dir):
    path = str(data_dir / "dicom" / "RG3_J2KI.dcm")
    arguments = ["score", path, "--engine", str(engine), "--labels", "rsna"]
    refused = CliRunner().invoke(alta, arguments)
    assert refused.exit_code == 1
    assert "ViewError" in refused.stderr and "EXTREMITY" in refused.stderr
    assert CliRunner().invoke(alta, [*arguments, "--any-body-part"]).exit_code == 0
