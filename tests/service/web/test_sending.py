"""Sending by REST to the real reception, by clients of other people."""

import pytest
from dicomweb_client import DICOMwebClient
from fakes.service_view import make_settings
from pydicom import dcmread
from requests import HTTPError
from service.fixtures import key_of, make_radiograph, read_dataset_bytes, write_image

from alta_sdk.service.health import Check
from alta_sdk.service.web.server import WebServer
from alta_sdk.service.web.view import ServiceView

SR = "1.2.840.10008.5.1.4.1.1.88.34"


@pytest.fixture
def client(side, tmp_path):
    """Another's client, and behind it a receiving side."""
    view = ServiceView(
        store=side.store,
        deliveries=side.deliveries,
        audit=side.audit,
        spool=side.spool,
        reception=side.reception,
        retry=lambda key, actor: "nothing is scored here",
        erase=lambda key, actor: False,
        readiness=lambda: [Check("receiving", True)],
    )
    server = WebServer(view, make_settings(tmp_path, port=0))
    server.start()
    made = DICOMwebClient(f"http://127.0.0.1:{server.port}")
    yield made
    made._session.close()
    server.stop()


def test_a_client_of_others_stores_what_is_kept_as_by_dicom(client, side, tmp_path):
    image = make_radiograph()
    path = write_image(tmp_path / "one.dcm", image)
    answer = client.store_instances([dcmread(path)])
    assert answer.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert answer.RetrieveURL == f"/studies/{key_of(image.StudyInstanceUID)}"
    (kept,) = side.store.list_instances(key_of(image.StudyInstanceUID))
    assert read_dataset_bytes(side.spool.find(kept.file)) == read_dataset_bytes(path)
    assert kept.sender == "REST"


def test_several_files_go_in_one_request(client, side, tmp_path):
    images = [dcmread(write_image(tmp_path / f"{n}.dcm", make_radiograph(study_uid="1.2.3.4"))) for n in range(5)]
    assert len(client.store_instances(images).ReferencedSOPSequence) == 5
    assert len(side.store.list_instances(key_of("1.2.3.4"))) == 5


def test_what_is_no_radiograph_is_refused_as_by_dicom(client, side, tmp_path):
    path = write_image(tmp_path / "sr.dcm", make_radiograph(sop_class=SR))
    with pytest.raises(HTTPError, match="409"):
        client.store_instances([dcmread(path)])
    assert side.store.list_studies() == []


def test_a_service_that_stops_says_that_it_is_to_be_sent_again(client, side, tmp_path):
    side.reception.drain()
    client.set_http_retry_params(retry=False)
    with pytest.raises(HTTPError, match="503"):
        client.store_instances([dcmread(write_image(tmp_path / "one.dcm", make_radiograph()))])
