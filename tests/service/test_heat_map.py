import io

import numpy as np
import pydicom
import pytest

from alta_sdk import Heatmap
from alta_sdk.service.heat_map import write_heat_map
from service.reports import PROVENANCE, SITE_KEY, make_content, make_source
from service.validators import list_errors


def make_map():
    values = np.full((300, 200), 0.1, dtype=np.float32)
    values[50:80, 150:180] = 0.7
    patches = np.array([[0.1, 0.7], [0.1, 0.1]], dtype=np.float32)
    grey = np.full((300, 200), 100, dtype=np.uint8)
    return Heatmap(values, patches, 0.2, 0.5, (65, 165), grey, PROVENANCE)


@pytest.mark.parametrize("label", ["pneumonia", "knöcherne Läsion", "肺炎", "tab\there", "a\\b"])
def test_a_heat_map_is_a_valid_capture_of_the_study(label, tmp_path):
    encoded = write_heat_map(make_content(), make_map(), label, SITE_KEY)
    assert list_errors(encoded.data, tmp_path) == []
    capture = pydicom.dcmread(io.BytesIO(encoded.data))
    assert (capture.SOPInstanceUID, capture.SeriesInstanceUID) == (encoded.sop_uid, encoded.series_uid)
    assert (capture.StudyInstanceUID, capture.PatientID) == ("1.2.826.77.2", "ID-QX7741")
    assert (capture.SeriesNumber, capture.BurnedInAnnotation) == (9001, "YES")
    assert capture.ImageComments.startswith("Not for clinical use") and "5a5a" in capture.DerivationDescription


def test_the_same_heat_map_is_the_same_object_and_another_revision_is_not():
    first, again = (write_heat_map(make_content(), make_map(), "pneumonia", SITE_KEY) for _ in range(2))
    later = write_heat_map(make_content(revision=2), make_map(), "pneumonia", SITE_KEY)
    assert first.sop_uid == again.sop_uid != later.sop_uid
    assert first.series_uid == later.series_uid
    assert pydicom.dcmread(io.BytesIO(later.data)).InstanceNumber == 2


@pytest.mark.parametrize("absent", ["PatientName", "PatientSex", "StudyTime", "PatientBirthDate"])
def test_a_heat_map_needs_no_more_than_the_report(absent, tmp_path):
    content = make_content(make_source(**{absent: None}))
    assert list_errors(write_heat_map(content, make_map(), "pneumonia", SITE_KEY).data, tmp_path) == []
