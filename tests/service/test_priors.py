import contextlib
import json
import threading
import time
from dataclasses import replace

import pytest
from pydicom import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless
from pynetdicom import AE, evt

from alta_sdk import Slot, Study
from alta_sdk.dicom.filing import read_filing
from alta_sdk.service import prior_files, priors
from alta_sdk.service.prior_archives import FIND, GET
from alta_sdk.service.prior_lists import Current, StudyListing, list_earlier
from alta_sdk.service.priors import INCOMPLETE, NONE_EARLIER, find_prior
from alta_sdk.service.settings import DicomPeer, PriorSource, WebPeer
from alta_sdk.service.structured_report import write_report
from service.answering import reply, start_silent_server, start_web_server
from service.fixtures import ACCESSION, NAME, PATIENT_ID, make_radiograph, write_image
from service.peers import find_free_port, start_orthanc, wait_until
from service.reports import SITE_KEY, make_content

pytestmark = [  # of pynetdicom: sockets that it leaves to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
DX = "1.2.840.10008.5.1.4.1.1.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with start_orthanc(tmp_path_factory.mktemp("peer") / "orthanc") as peer:
        yield peer


class Archive:
    """An Orthanc with the studies of one patient, who is another in each test."""

    def __init__(self, peer, folder):
        self.peer, self.folder, self.count = peer, folder, 0
        self.patient_id = f"P{time.monotonic_ns()}"  # of at most 20 digits

    def uid(self, number):
        """Return a UID of this test's own."""
        return f"1.2.826.{self.patient_id[1:]}.{number}"

    def write(self, syntax=None, **elements):
        image = make_radiograph(**{"PatientID": self.patient_id, **elements})
        self.count += 1
        path = self.folder / f"image{self.count}.dcm"
        if syntax is not None:
            write_image(path, image)
            image.compress(syntax, generate_instance_uid=False)
        return write_image(path, image, *([] if syntax is None else [syntax]))

    def put(self, syntax=None, **elements):
        """Store a radiograph in the archive; return its file."""
        path = self.write(syntax, **elements)
        self.peer.ask("/instances", path.read_bytes(), "POST")
        return path

    def source(self, way):
        peer = {
            "C-GET": DicomPeer("ORTHANC", "127.0.0.1", self.peer.port),
            "WADO": WebPeer(f"http://127.0.0.1:{self.peer.http}/dicom-web"),
        }[way]
        return PriorSource(peer, most_seconds=60.0)

    def find(self, way, current, folder="prior"):
        target = self.folder / folder
        target.mkdir()
        return find_prior(self.source(way), [read_filing(current.read_bytes())], target, ae_title="ALTA")


@pytest.fixture
def archive(orthanc, tmp_path):
    return Archive(orthanc, tmp_path)


def uids_of(files):
    return {read_filing(path.read_bytes()).sop_uid for path in files}


BOTH = pytest.mark.parametrize("way", ["C-GET", "WADO"])


@BOTH
@pytest.mark.parametrize("syntax", [None, JPEG2000Lossless, RLELossless])
def test_the_latest_earlier_study_is_retrieved_as_it_is_kept(archive, way, syntax):
    archive.put(StudyDate="20240101", sop_uid=archive.uid(1))
    wanted = archive.put(syntax, StudyDate="20250101", sop_uid=archive.uid(2))
    archive.put(StudyDate="20270101", sop_uid=archive.uid(3))  # later than the current one
    archive.put(StudyDate="20250601", sop_uid=archive.uid(4), PatientID=archive.patient_id + "0")  # of another
    current = archive.put(StudyDate="20260102")
    found = archive.find(way, current)
    assert (len(found.files), found.notice) == (1, "")
    assert uids_of(found.files) == {archive.uid(2)}
    study = Study.from_dicom([current], list(found.files))
    expected = Study.from_dicom([wanted]).radiographs[Slot.FRONTAL]
    assert (study.radiographs[Slot.PRIOR_FRONTAL].grey_u8 == expected.grey_u8).all()


@BOTH
def test_a_report_in_the_study_does_not_keep_its_images_from_coming(archive, way):
    path = archive.put(StudyDate="20250101", study_uid=archive.uid(1), sop_uid=archive.uid(2))
    report = write_report(make_content(path.read_bytes()), SITE_KEY)
    archive.peer.ask("/instances", report.data, "POST")
    found = archive.find(way, archive.write(StudyDate="20260102"))
    assert uids_of(found.files) == {archive.uid(2)} and not found.notice


@BOTH
def test_every_radiograph_of_the_study_comes_and_nothing_else(archive, way):
    one = {"StudyDate": "20250101", "study_uid": archive.uid(1)}
    archive.put(**one, sop_uid=archive.uid(2), series_uid=archive.uid(10))
    archive.put(**one, sop_uid=archive.uid(3), series_uid=archive.uid(10), view="LL")
    archive.put(
        **one,
        sop_uid=archive.uid(4),
        series_uid=archive.uid(11),
        sop_class=DX,
        Modality="DX",
    )
    archive.put(**one, sop_uid=archive.uid(5), series_uid=archive.uid(12), sop_class=CT, Modality="CT")
    found = archive.find(way, archive.write(StudyDate="20260102"))
    assert uids_of(found.files) == {archive.uid(2), archive.uid(3), archive.uid(4)}


@BOTH
def test_an_earlier_study_without_a_frontal_is_passed_over(archive, way):
    archive.put(StudyDate="20240101", sop_uid=archive.uid(1))
    archive.put(StudyDate="20250101", sop_uid=archive.uid(2), view="LL")
    archive.put(StudyDate="20250601", sop_uid=archive.uid(3), BodyPartExamined="KNEE")
    archive.put(StudyDate="20250701", sop_uid=archive.uid(4), sop_class=CT, Modality="CT")
    found = archive.find(way, archive.write(StudyDate="20260102"))
    assert uids_of(found.files) == {archive.uid(1)}
    assert [path.name for path in (archive.folder / "prior").iterdir()] == [path.name for path in found.files]


@BOTH
def test_without_an_earlier_study_the_notice_says_so(archive, way):
    current = archive.put(StudyDate="20260102")
    assert archive.find(way, current) == ((), f"no prior was compared with: {NONE_EARLIER}")


@BOTH
def test_another_birth_date_under_the_same_id_is_another_patient(archive, way):
    archive.put(StudyDate="20250101", PatientBirthDate="19991231")
    found = archive.find(way, archive.write(StudyDate="20260102"))
    assert not found.files and NONE_EARLIER in found.notice


@BOTH
def test_an_earlier_hour_of_the_same_day_is_earlier(archive, way):
    archive.put(StudyDate="20260102", StudyTime="0700", sop_uid=archive.uid(1))
    archive.put(StudyDate="20260102", StudyTime="1200", sop_uid=archive.uid(2))
    assert uids_of(archive.find(way, archive.write(StudyDate="20260102", StudyTime="1015")).files) == {archive.uid(1)}
    found = archive.find(way, archive.write(StudyDate="20260102", StudyTime=""), "without")
    assert not found.files


@BOTH
@pytest.mark.parametrize("patient_id", ["*", "P*", "P?23", ""])
def test_a_patient_id_that_would_ask_for_others_is_not_asked_for(archive, way, patient_id):
    archive.put(StudyDate="20250101")
    found = archive.find(way, archive.write(StudyDate="20260102", PatientID=patient_id))
    assert not found.files and "PatientID" in found.notice and "P*" not in found.notice


@BOTH
def test_a_study_without_a_date_has_no_prior(archive, way):
    found = archive.find(way, archive.write(StudyDate=""))
    assert not found.files and "StudyDate" in found.notice


@BOTH
def test_a_patient_id_beyond_ascii_is_asked_for_as_it_is(archive, way):
    archive.patient_id = f"Ä{archive.patient_id[1:]}"
    archive.put(StudyDate="20250101", sop_uid=archive.uid(1), SpecificCharacterSet="ISO_IR 192")
    found = archive.find(way, archive.write(StudyDate="20260102", SpecificCharacterSet="ISO_IR 100"))
    assert uids_of(found.files) == {archive.uid(1)} or NONE_EARLIER in found.notice  # as the archive compares


@BOTH
def test_no_more_is_retrieved_than_there_is_room_for(archive, way, monkeypatch):
    for number in range(5):
        archive.put(StudyDate="20250101", study_uid=archive.uid(1), sop_uid=archive.uid(number + 2))
    current = archive.write(StudyDate="20260102")
    monkeypatch.setattr(prior_files, "MAX_FILES", 3)
    found = archive.find(way, current)
    assert len(found.files) == 3 and found.notice == INCOMPLETE
    monkeypatch.setattr(prior_files, "MAX_BYTES", 10_000)
    found = archive.find(way, current, "small")
    assert len(found.files) <= 1 and found.notice


def listing(uid, date, time_of_day="", *, patient="P1", modalities=("CR",)):
    return StudyListing(uid, patient, date, time_of_day, frozenset(modalities))


def current_of(date="20260102", time_of_day="101500", **elements):
    filing = read_filing(
        _make_file(StudyDate=date, StudyTime=time_of_day, PatientID="P1", study_uid="1.2.9", **elements)
    )
    return Current.of([filing])


def _make_file(**elements):
    from fuzz.seeds import save
    from pydicom import FileMetaDataset

    image = make_radiograph(**elements)
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    return save(image)


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([listing("1.1", "20240101"), listing("1.2", "20250101")], ["1.2", "1.1"]),
        ([listing("1.1", "20250101", patient="P2")], []),
        ([listing("1.2.9", "20250101")], []),
        ([listing("1.1", "20260102")], []),
        ([listing("1.1", "20260102", "1015")], []),
        ([listing("1.1", "20260102", "1014")], ["1.1"]),
        ([listing("1.1", "20270101")], []),
        ([listing("1.1", "00000000")], []),
        ([listing("1.1", "19000101")], []),
        ([listing("1.1", "20250101", modalities=("CT",))], []),
        ([listing("1.1", "20250101", modalities=())], ["1.1"]),
        ([listing("1.1", "20250101", modalities=("SR", "DX"))], ["1.1"]),
        ([listing("../1", "20250101")], []),
        ([listing("", "20250101")], []),
        ([listing("1.1", "20250101", "08"), listing("1.2", "20250101", "09")], ["1.2", "1.1"]),
        ([listing("1.3", "20250601"), listing("1.1", "20250101"), listing("1.2", "20250101")], ["1.3"]),
    ],
)
def test_the_rules_of_studies_say_what_is_earlier(listed, expected):
    assert [one.study_uid for one in list_earlier(listed, current_of())] == expected


def test_two_studies_of_one_day_without_a_time_are_not_guessed_between():
    with pytest.raises(priors.ServiceError, match="do not tell"):
        list_earlier([listing("1.1", "20250101"), listing("1.2", "20250101")], current_of())


# What a peer may do that Orthanc does not.


def ask(peer, tmp_path, seconds=60.0, **elements):
    (tmp_path / "prior").mkdir()
    filing = read_filing(_make_file(StudyDate="20260102", PatientID="P1", **elements))
    source, found = PriorSource(peer, seconds), []

    def search():
        found.append(find_prior(source, [filing], tmp_path / "prior", ae_title="ALTA"))

    threading.Thread(target=search, daemon=True).start()
    wait_until(lambda: found, "what was found, in time", seconds=seconds + 30)
    return found[0]


@contextlib.contextmanager
def start_node(find=None, get=None, *, title="NODE", contexts=(FIND, GET)):
    node = AE(title)
    for uid in contexts:
        node.add_supported_context(uid)
    for uid in ("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"):
        node.add_supported_context(uid, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_FIND, find or (lambda event: iter(())))]
    handlers += [(evt.EVT_C_GET, get)] if get else []
    server = node.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield DicomPeer(title, "127.0.0.1", server.socket.getsockname()[1])
    finally:
        server.shutdown()


def answer_with(**elements):
    def find(event):
        answer = Dataset()
        answer.QueryRetrieveLevel = event.identifier.QueryRetrieveLevel
        for keyword, value in elements.items():
            setattr(answer, keyword, value)
        yield 0xFF00, answer

    return find


def test_a_silent_archive_costs_its_seconds(tmp_path):
    with start_silent_server() as (port, _):
        for number, peer in enumerate((DicomPeer("A", "127.0.0.1", port), WebPeer(f"http://127.0.0.1:{port}"))):
            (tmp_path / str(number)).mkdir()
            found = ask(peer, tmp_path / str(number), seconds=0.5)
            assert not found.files and "did not answer in 0.5 s" in found.notice or "in time" in found.notice


def test_an_archive_that_is_not_there_is_told(tmp_path):
    found = ask(DicomPeer("A", "127.0.0.1", find_free_port()), tmp_path)
    assert not found.files and "cannot be reached" in found.notice


def test_an_archive_that_does_not_know_us_is_told(tmp_path):
    with start_node(title="OTHER", contexts=()) as peer:
        found = ask(peer, tmp_path)
    assert not found.files and "no C-FIND" in found.notice


@pytest.mark.parametrize("status", [0xA700, 0xC001, 0xFE00, 0x0122])
def test_an_archive_that_fails_is_told_with_its_status(tmp_path, status):
    with start_node(lambda event: iter([(status, None)])) as peer:
        found = ask(peer, tmp_path)
    assert not found.files and f"0x{status:04X}" in found.notice


def test_a_listing_without_an_end_is_refused(tmp_path):
    def find(event):
        for number in range(100_000):
            answer = Dataset()
            answer.PatientID, answer.StudyDate, answer.StudyInstanceUID = "P1", "20250101", f"1.2.{number + 1}"
            yield 0xFF00, answer

    with start_node(find) as peer:
        found = ask(peer, tmp_path)
    assert not found.files and "more than 1000 studies" in found.notice


def test_an_archive_that_sends_another_patients_image_is_not_believed(tmp_path):
    sent = []

    def get(event):
        image = make_radiograph(PatientID="P2", StudyDate="20250101", study_uid="1.2.3")
        image.file_meta = Dataset()
        image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        sent.append(image)
        yield 1
        yield 0xFF00, image

    listed = answer_with(
        PatientID="P1", StudyDate="20250101", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", Modality="CR"
    )
    with start_node(listed, get) as peer:
        found = ask(peer, tmp_path)
    assert sent and not found.files and NONE_EARLIER in found.notice
    assert not list((tmp_path / "prior").iterdir())


def test_an_archive_that_never_ends_sending_costs_its_seconds_and_writes_nothing_afterwards(tmp_path):
    go_on, has_ended = threading.Event(), threading.Event()

    def get(event):
        yield 1
        go_on.wait(120)
        has_ended.set()
        yield 0xFF00, make_radiograph(PatientID="P1")

    listed = answer_with(
        PatientID="P1", StudyDate="20250101", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", Modality="CR"
    )
    with start_node(listed, get) as peer:
        found = ask(peer, tmp_path, seconds=2.0)
        assert not found.files and "did not answer in 2 s" in found.notice
        (tmp_path / "prior").rmdir()
        go_on.set()
        has_ended.wait(120)
        wait_until(lambda: not [one for one in threading.enumerate() if one.name == "alta prior"], "the thread's end")
    assert not (tmp_path / "prior").exists()


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"null", b'[{"0020000D": 1}]', b'[{"0020000D": {"Value": [{"a": 1}]}}]', b"junk", b"[[]]"]
)
def test_a_web_archive_may_answer_anything(tmp_path, body):
    with start_web_server(lambda handler: reply(handler, 200, body)) as (port, requests):
        found = ask(WebPeer(f"http://127.0.0.1:{port}"), tmp_path)
    assert not found.files and found.notice and len(requests) == 1


def test_a_web_archive_that_sends_no_dicom_is_passed_over(tmp_path):
    study = {"0020000D": "1.2.3", "00100020": "P1", "00080020": "20250101", "00080061": "CR", "00080060": "CR"}
    study |= {"0020000E": "1.2.4", "00080018": "1.2.5", "00080016": "1.2.840.10008.5.1.4.1.1.1"}
    listed = json.dumps([{tag: {"Value": [value]} for tag, value in study.items()}]).encode()

    def answer(handler):
        if "/instances/" in handler.path:
            reply(handler, 200, b"--x\r\n\r\nno DICOM\r\n--x--", 'multipart/related; boundary="x"')
        else:
            reply(handler, 200, listed)

    with start_web_server(answer) as (port, requests):
        found = ask(WebPeer(f"http://127.0.0.1:{port}/dicom-web"), tmp_path)
    assert not found.files and NONE_EARLIER in found.notice
    assert requests[-1][1] == "/dicom-web/studies/1.2.3/series/1.2.4/instances/1.2.5"


def test_no_identifier_is_told_or_logged(archive, caplog, capfd):
    caplog.set_level(0)
    archive.put(StudyDate="20250101")
    for number, peer in enumerate(
        (archive.source("C-GET").peer, replace(archive.source("WADO").peer, url="http://127.0.0.1:1"))
    ):
        (archive.folder / str(number)).mkdir()
        filings = [read_filing(archive.write(StudyDate="20260102").read_bytes())]
        found = find_prior(PriorSource(peer, 60.0), filings, archive.folder / str(number), ae_title="ALTA")
        ours = [one.getMessage() for one in caplog.records if one.name == "alta_sdk"]
        said = "\n".join([found.notice, *ours, *capfd.readouterr()])
        assert not [mark for mark in (NAME, PATIENT_ID, ACCESSION, archive.patient_id) if mark in said]
