"""Results out and priors in with an Orthanc as the site's archive, all parts of the service as they are."""

import pytest
from conftest import DATA_DIR

from alta_sdk import Slot, Study
from alta_sdk.dicom.filing import read_filing
from alta_sdk.service.delivery import Deliverer
from alta_sdk.service.priors import find_prior
from alta_sdk.service.records import DeliveryState, ResultObject, StudyState
from alta_sdk.service.settings import Destination, DicomPeer, PriorSource, WebPeer
from alta_sdk.service.structured_report import write_report
from service.fixtures import open_side
from service.peers import find_free_port, start_orthanc, wait_until
from service.reports import SITE_KEY, make_content, make_source
from service.results import score

REAL = DATA_DIR / "dicom" / "RG1_J2KI.dcm"  # JPEG 2000, with loss


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_orthanc_keeps_a_report_and_says_so_before_the_study_is_done(tmp_path):
    port = find_free_port()
    pacs = Destination("pacs", DicomPeer("ORTHANC", "127.0.0.1", port), wants_commitment=True)
    with (
        open_side(tmp_path / "state", destinations=(pacs,)) as side,
        start_orthanc(tmp_path / "orthanc", nodes={"alta": ("ALTA", side.port)}, port=port) as orthanc,
    ):
        report = write_report(make_content(make_source()), SITE_KEY)
        name = side.spool.write([report.data])
        key = score(side.store, 1, [ResultObject(report.sop_uid, report.sop_class, "sr", name)], ["pacs"])
        deliverer = Deliverer(side.settings, side.deliveries, side.spool, side.audit, side.commitments)
        side.commitments.on_report = deliverer.wake
        deliverer.start()
        try:
            wait_until(lambda: side.store.get_study(key).state is StudyState.DONE, "the commitment")
        finally:
            deliverer.stop()
        [delivery] = side.deliveries.list_deliveries()
        assert delivery.state is DeliveryState.DONE and not delivery.attempts
        [found] = orthanc.ask("/tools/find", {"Level": "Instance", "Query": {}, "Expand": True})
        assert found["MainDicomTags"]["SOPInstanceUID"] == report.sop_uid


@pytest.mark.skipif(not REAL.exists(), reason="shared data absent")
@pytest.mark.parametrize("way", ["C-GET", "WADO"])
def test_a_real_prior_comes_with_every_byte_of_its_pixels(tmp_path, way):
    given = read_filing(REAL.read_bytes())
    with start_orthanc(tmp_path / "orthanc") as orthanc:
        orthanc.ask("/instances", REAL.read_bytes(), "POST")
        peer = {
            "C-GET": DicomPeer("ORTHANC", "127.0.0.1", orthanc.port),
            "WADO": WebPeer(f"http://127.0.0.1:{orthanc.http}/dicom-web"),
        }[way]
        current = make_source(
            PatientID=given.elements["PatientID"],
            PatientBirthDate=given.elements.get("PatientBirthDate", ""),
            IssuerOfPatientID=given.elements.get("IssuerOfPatientID", ""),
        )
        (tmp_path / "prior").mkdir()
        found = find_prior(PriorSource(peer, 60.0), [read_filing(current)], tmp_path / "prior", ae_title="ALTA")
        assert found.notice == "" and len(found.files) == 1
        study = Study.from_dicom([current], list(found.files), any_picture=True)
    expected = Study.from_dicom(REAL).radiographs[Slot.FRONTAL].grey_u8
    assert (study.radiographs[Slot.PRIOR_FRONTAL].grey_u8 == expected).all()
