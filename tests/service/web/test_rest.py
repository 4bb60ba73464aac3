"""REST: STOW-RS under bounds, reading, retrying, erasing."""

import json

import pytest
from fakes.service_view import CR, JPEG_2000, KEYS, UID
from fakes.stow import BOUNDARY, TYPE, make_body, make_file

from alta_sdk.service.multipart import Bounds
from alta_sdk.service.records import StudyState
from alta_sdk.service.web import rest

PLAIN = {"content-type": TYPE, "accept": "application/json"}


def bound(monkeypatch, **bounds):
    """Let bodies have other bounds."""
    monkeypatch.setattr(rest.Rest.__init__, "__defaults__", (Bounds(**bounds), *rest.Rest.__init__.__defaults__[1:]))


def test_what_is_sent_reaches_the_reception_byte_for_byte(empty_view, browse):
    dataset = bytes(range(256)) * 40 + b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n\r\n"
    answer = browse(empty_view).post("/studies", content=make_body(make_file(dataset)), headers={"content-type": TYPE})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert empty_view.reception.taken == [(dataset, CR, f"{UID}.1", JPEG_2000, "REST")]
    told = answer.json()
    assert told["00081199"]["Value"][0]["00081155"]["Value"] == [f"{UID}.1"]
    assert told["00081190"]["Value"] == [f"/studies/{KEYS['receiving']}"]


def test_one_file_may_be_sent_as_it_is(empty_view, browse):
    headers = {"content-type": "application/dicom", "accept": "application/json"}
    answer = browse(empty_view).post("/studies", content=make_file(b"\x08\x00data"), headers=headers)
    assert (answer.status_code, answer.json()["keys"]) == (200, [KEYS["receiving"]])
    assert empty_view.reception.taken == [(b"\x08\x00data", CR, f"{UID}.1", JPEG_2000, "REST")]
    assert browse(empty_view).post("/studies", content=b"", headers=headers).status_code == 400
    assert browse(empty_view).post("/studies", content=b"no DICOM", headers=headers).status_code == 409


def test_one_file_beyond_the_bound_is_refused(empty_view, browse, monkeypatch):
    monkeypatch.setattr(
        rest.Rest.__init__, "__defaults__", (Bounds(part_bytes=50), *rest.Rest.__init__.__defaults__[1:])
    )
    headers = {"content-type": "application/dicom"}
    assert browse(empty_view).post("/studies", content=make_file(), headers=headers).status_code == 413


def test_pydicom_reads_the_answer_as_a_data_set(empty_view, browse):
    from pydicom import Dataset

    body = make_body(make_file(number=1), b"no DICOM", make_file(number=2))
    answer = browse(empty_view).post("/studies", content=body, headers={"content-type": TYPE})
    assert answer.status_code == 202
    told = Dataset.from_json(answer.text)
    assert [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence] == [f"{UID}.1", f"{UID}.2"]
    assert told.OtherFailuresSequence[0].FailureReason == 0xC000


def test_a_program_may_ask_for_plain_json(empty_view, browse):
    body = make_body(make_file(), make_file()[:100])
    answer = browse(empty_view).post("/studies", content=body, headers=PLAIN)
    assert answer.json() == {
        "schema_version": 1,
        "keys": [KEYS["receiving"]],
        "parts": [
            {"status": "0000", "told": "stored", "key": KEYS["receiving"]},
            {"status": "C000", "told": "refused: no DICOM file that can be read", "key": ""},
        ],
    }


@pytest.mark.parametrize(("status", "code"), [(0xA700, 503), (0xA900, 409), (0x0122, 409), (0xC000, 409)])
def test_what_reception_refuses_is_told(empty_view, browse, status, code):
    empty_view.reception.status = status
    client = browse(empty_view)
    answer = client.post("/studies", content=make_body(make_file()), headers={"content-type": TYPE})
    assert answer.status_code == code
    assert ("retry-after" in answer.headers) == (code == 503)
    assert answer.json()["00081198"]["Value"][0]["00081197"]["Value"] == [status]
    answer = client.post("/studies", content=make_body(make_file()), headers=PLAIN)
    assert answer.json()["parts"][0]["status"] == f"{status:04X}"


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("application/octet-stream", 415),
        ("multipart/form-data; boundary=x", 415),
        ('multipart/related; type="application/dicom+json"; boundary=x', 415),
        ('multipart/related; type="application/dicom"', 400),
        (f'multipart/related; type="application/dicom"; boundary={"x" * 71}', 400),
        ("", 415),
    ],
)
def test_other_bodies_are_refused(empty_view, browse, content_type, code):
    answer = browse(empty_view).post("/studies", content=make_body(make_file()), headers={"content-type": content_type})
    assert answer.status_code == code
    assert set(answer.json()) == {"schema_version", "error"}
    assert empty_view.reception.taken == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"no boundary at all", 400),
        (f"--{BOUNDARY}--\r\n".encode(), 400),
        (make_body(make_file())[:-10], 400),
        (make_body(make_file(), media_type="image/jpeg"), 415),
        (make_body(make_file(), media_type=None), 415),
        (b"x" * 20_000, 413),
        (f"--{BOUNDARY}\r\nX: ".encode() + b"x" * 20_000, 413),
        (f"--{BOUNDARY}else\r\n\r\n".encode(), 400),
    ],
)
def test_bodies_that_break_the_form_are_refused(empty_view, browse, body, code):
    answer = browse(empty_view).post("/studies", content=body, headers={"content-type": TYPE})
    assert answer.status_code == code, answer.text
    assert len(answer.json()["error"].splitlines()) == 1


def test_a_body_beyond_a_bound_is_refused_and_what_came_before_is_kept(empty_view, browse, monkeypatch):
    bound(monkeypatch, parts=2)
    body = make_body(make_file(number=1), make_file(number=2), make_file(number=3))
    answer = browse(empty_view).post("/studies", content=body, headers={"content-type": TYPE})
    assert answer.status_code == 413
    assert [one[2] for one in empty_view.reception.taken] == [f"{UID}.1", f"{UID}.2"]


def test_too_many_bodies_at_once_are_asked_to_wait(empty_view, browse, monkeypatch):
    monkeypatch.setattr(rest.threading.Semaphore, "acquire", lambda self, blocking: False)
    answer = browse(empty_view).post("/studies", content=make_body(make_file()), headers={"content-type": TYPE})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_a_study_is_read_as_json_without_identifiers(view, browse):
    answer = browse(view).get(f"/studies/{KEYS['revised']}")
    told = answer.json()
    assert told["schema_version"] == 1
    assert (told["key"], told["state"], told["revision"], told["images"]) == (KEYS["revised"], "done", 2, 2)
    assert [one["revision"] for one in told["results"]] == [2, 1]
    assert told["results"][0]["content"]["scores"]["pneumonia"] == pytest.approx(0.612)
    assert {one["destination"] for one in told["deliveries"]} == {"pacs", "archive"}
    assert UID not in json.dumps(told)
    assert view.audit.list_events(KEYS["revised"])[0].action == "read"


@pytest.mark.parametrize("key", ["none", KEYS["done"][:-1], "%2e%2e%2f", "'; DROP TABLE studies"])
def test_a_study_that_is_not_there_is_404(view, browse, key):
    client = browse(view)
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry")):
        assert client.request(method, f"/studies/{key}{path}").status_code == 404
    assert len(view.store.list_studies()) == len(KEYS)


def test_a_failed_study_is_retried_and_a_done_one_is_not(view, browse):
    client = browse(view)
    assert client.post(f"/studies/{KEYS['failed']}/retry").status_code == 202
    assert view.store.get_study(KEYS["failed"]).state is StudyState.COMPLETE
    assert client.post(f"/studies/{KEYS['done']}/retry").status_code == 409


def test_a_study_is_erased_and_gone(view, browse):
    client = browse(view)
    assert client.delete(f"/studies/{KEYS['done']}").json() == {
        "schema_version": 1,
        "key": KEYS["done"],
        "erased": True,
    }
    assert client.delete(f"/studies/{KEYS['done']}").status_code == 404
    assert view.audit.list_events(KEYS["done"])[0].actor == "REST"
