import contextlib
import threading
import time
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE, evt
from pynetdicom.sop_class import Comprehensive3DSRStorage, Verification

import alta_sdk.service.delivery as delivery
from alta_sdk.errors import ServiceError
from alta_sdk.service import loops
from alta_sdk.service.loops import compute_wait_s
from alta_sdk.service.records import DeliveryState, StudyState
from alta_sdk.service.settings import Destination, DicomPeer, WebPeer
from service.answering import reply, start_silent_server, start_web_server
from service.peers import find_free_port, start_orthanc, start_storescp, wait_until
from service.reports import MARKS
from service.results import open_outbox

pytestmark = [  # of pynetdicom: sockets that it leaves to the collector, and a peer's that it ends twice
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
DONE, SENT, WAITING = DeliveryState.DONE, DeliveryState.SENT, DeliveryState.WAITING


def to_peer(port, name="pacs", *, title="ANY", wants_commitment=False, seconds=30.0):
    return Destination(name, DicomPeer(title, "127.0.0.1", port, timeout_seconds=seconds), wants_commitment)


def to_web(port, name="web", *, path="/dicom-web", seconds=30.0):
    return Destination(name, WebPeer(f"http://127.0.0.1:{port}{path}", timeout_seconds=seconds))


@pytest.fixture
def soon(monkeypatch):
    """Let the second attempt come after a twentieth of a second."""
    monkeypatch.setattr(loops, "FIRST_WAIT_S", 0.05)


@contextlib.contextmanager
def start_node(handle, *, port=0, classes=(Comprehensive3DSRStorage,)):
    """Run a node in this process that takes reports; handle(event) returns the status of each."""
    node = AE("NODE")
    for uid in (*classes, Verification):
        node.add_supported_context(uid)
    server = node.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def test_a_result_reaches_storescp(tmp_path):
    with (
        start_storescp(tmp_path / "received") as peer,
        open_outbox(tmp_path / "state", to_peer(peer.port)) as outbox,
    ):
        uid = outbox.add_result(1)
        with outbox.deliver():
            wait_until(outbox.are_done, "a delivery")
        [path] = (tmp_path / "received").iterdir()
        received = pydicom.dcmread(path, force=True)
        assert (received.SOPInstanceUID, received.PatientName) == (uid, "QUIXLEY^ZORA")
        assert outbox.store.get_study(f"{1:032x}").state is StudyState.DONE
        assert outbox.audit.list_events()[0].action == "sent"


def test_a_result_reaches_orthanc_by_c_store_and_by_stow_and_twice_is_once(tmp_path):
    with start_orthanc(tmp_path / "orthanc") as peer:
        destinations = to_peer(peer.port), to_web(peer.http)
        with open_outbox(tmp_path / "state", *destinations) as outbox:
            uid = outbox.add_result(1)
            with outbox.deliver():
                wait_until(outbox.are_done, "both deliveries")
        [study] = peer.ask("/tools/find", {"Level": "Study", "Query": {}, "Expand": True})
        assert study["MainDicomTags"]["StudyInstanceUID"] == "1.2.826.77.5.1"
        [found] = peer.ask("/tools/find", {"Level": "Instance", "Query": {}, "Expand": True})
        assert found["MainDicomTags"]["SOPInstanceUID"] == uid


def test_a_heavy_queue_is_sent_by_and_by(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "MOST_AT_ONCE", 4)
    with (
        start_storescp(tmp_path / "received") as peer,
        open_outbox(tmp_path / "state", to_peer(peer.port)) as outbox,
    ):
        for number in range(11):
            outbox.add_result(number)
        with outbox.deliver():
            wait_until(outbox.are_done, "all deliveries")
        assert len(list((tmp_path / "received").iterdir())) == 11


def test_what_waits_for_a_peer_that_is_down_goes_out_once_it_is_up(tmp_path, soon):
    port = find_free_port()
    with open_outbox(tmp_path / "state", to_peer(port, seconds=5.0)) as outbox:
        outbox.add_result(1)
        outbox.add_result(2)
        with outbox.deliver() as deliverer:
            wait_until(lambda: deliverer.state()[0].failures >= 2, "two attempts")
            [state] = deliverer.state()
            assert not state.is_reached and "cannot be reached" in state.reason
            assert outbox.list_states() == [WAITING, WAITING]
            first, second = outbox.deliveries.list_deliveries()
            assert first.attempts >= 2 and second.attempts == 0  # one thing failed: the destination
            with start_node(lambda event: 0x0000, port=port):
                wait_until(outbox.are_done, "deliveries after the peer is up")
            assert deliverer.state()[0].is_reached


def test_a_result_that_cannot_be_read_holds_up_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "FIRST_WAIT_S", 3600.0)
    with start_node(lambda event: 0x0000) as port, open_outbox(tmp_path / "state", to_peer(port)) as outbox:
        for number in (1, 2, 3):
            outbox.add_result(number)
        bad = outbox.deliveries.list_deliveries()[1]
        path = outbox.spool.find(bad.file)
        path.unlink()
        path.mkdir()  # what root cannot read either
        with outbox.deliver():
            wait_until(lambda: outbox.list_states().count(DONE) == 2, "the others")
        [left] = outbox.deliveries.list_deliveries(state=WAITING)
        assert left.sop_uid == bad.sop_uid and "cannot be read: Is a directory" in left.reason


def test_everything_is_due_when_the_service_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "FIRST_WAIT_S", 3600.0)
    port = find_free_port()
    with open_outbox(tmp_path / "state", to_peer(port, seconds=5.0)) as outbox:
        outbox.add_result(1)
        with outbox.deliver() as deliverer:
            wait_until(lambda: deliverer.state()[0].failures, "an attempt")
        with start_node(lambda event: 0x0000, port=port), outbox.deliver():
            wait_until(outbox.are_done, "a delivery after the start")


def test_a_new_result_is_tried_although_the_destination_failed_for_long(tmp_path, soon):
    port, seen = find_free_port(), []
    with open_outbox(tmp_path / "state", to_peer(port, seconds=5.0)) as outbox:
        outbox.add_result(1)
        with outbox.deliver() as deliverer:
            sender = deliverer._senders[0]
            wait_until(lambda: sender._failures, "an attempt")
            sender._failures = 30  # for years
            with start_node(lambda event: seen.append(1) or 0x0000, port=port):
                outbox.add_result(2)
                deliverer.wake()
                wait_until(outbox.are_done, "both deliveries")


def test_waits_double_from_ten_seconds_to_a_day():
    waits = [compute_wait_s(failures) for failures in (1, 2, 3, 4, 14, 15, 1000)]
    assert waits == [10, 20, 40, 80, 81_920, 86_400, 86_400]


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0122])
def test_what_a_peer_refuses_waits_by_itself_and_holds_up_no_other(tmp_path, soon, status):
    taken = threading.Event()

    def handle(event):
        is_first = event.request.AffectedSOPInstanceUID == first
        return status if is_first and not taken.is_set() else 0x0000

    with (
        start_node(handle) as port,
        open_outbox(tmp_path / "state", to_peer(port)) as outbox,
    ):
        first = outbox.add_result(1)
        second = outbox.add_result(2)
        with outbox.deliver() as deliverer:
            by_uid = lambda: {one.sop_uid: one for one in outbox.deliveries.list_deliveries()}  # noqa: E731
            wait_until(lambda: by_uid()[second].state is DONE and by_uid()[first].attempts >= 2, "both attempts")
            assert by_uid()[first].state is WAITING and f"0x{status:04X}" in by_uid()[first].reason
            assert deliverer.state()[0].is_reached
            taken.set()
            wait_until(outbox.are_done, "the refused one")


def test_a_warning_is_a_result_that_was_stored(tmp_path):
    with (
        start_node(lambda event: 0xB000) as port,
        open_outbox(tmp_path / "state", to_peer(port)) as outbox,
    ):
        outbox.add_result(1)
        with outbox.deliver():
            wait_until(outbox.are_done, "a delivery with a warning")


def test_a_peer_that_takes_no_such_report_says_so(tmp_path, soon):
    with (
        start_node(lambda event: 0x0000, classes=()) as port,
        open_outbox(tmp_path / "state", to_peer(port, seconds=5.0)) as outbox,
    ):
        outbox.add_result(1)
        with outbox.deliver():
            reason = wait_until(lambda: outbox.deliveries.list_deliveries()[0].reason, "a reason")
        assert "presentation context" in reason


def test_a_peer_that_accepts_and_never_answers_costs_its_timeout_and_no_other_destination(tmp_path, soon):
    with (
        start_silent_server() as (port, connections),
        start_node(lambda event: 0x0000) as fine,
        open_outbox(
            tmp_path / "state",
            to_peer(port, "silent", seconds=1.0),
            to_web(port, "silent web", seconds=1.0),
            to_peer(fine, "fine"),
        ) as outbox,
    ):
        outbox.add_result(1)
        with outbox.deliver() as deliverer:
            wait_until(lambda: outbox.list_states().count(DONE) == 1, "the other destination")
            wait_until(lambda: sum(one.failures >= 2 for one in deliverer.state()) == 2, "two timeouts each")
            assert len(connections) >= 4
            for one in outbox.deliveries.list_deliveries(state=WAITING):
                assert "answer" in one.reason


def test_a_peer_that_never_answers_to_one_object_does_not_keep_the_others_waiting(tmp_path, soon):
    gone = threading.Event()

    def handle(event):
        if event.request.AffectedSOPInstanceUID == first:
            gone.wait(60)
        return 0x0000

    with (
        start_node(handle) as port,
        open_outbox(tmp_path / "state", to_peer(port, seconds=1.0)) as outbox,
    ):
        first = outbox.add_result(1)
        outbox.add_result(2)
        outbox.add_result(3)
        with outbox.deliver():
            wait_until(lambda: outbox.list_states().count(DONE) == 2, "the others")
            gone.set()
            wait_until(outbox.are_done, "the first one")


def test_a_stop_ends_what_hangs_and_the_next_start_sends_it(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "GRACE_S", 0.5)
    asked, gone = threading.Event(), threading.Event()
    with (
        start_node(lambda event: asked.set() or gone.wait(60) and 0x0000) as port,
        open_outbox(tmp_path / "state", to_peer(port, seconds=3600.0)) as outbox,
    ):
        outbox.add_result(1)
        with outbox.deliver():
            asked.wait(120)
        assert outbox.list_states() == [WAITING]
        gone.set()
        with outbox.deliver():
            wait_until(outbox.are_done, "a delivery after the next start")


def test_done_is_what_was_committed_where_that_is_wanted(tmp_path):
    with (
        start_node(lambda event: 0x0000) as port,
        open_outbox(tmp_path / "state", to_peer(port, wants_commitment=True)) as outbox,
    ):
        uids = [outbox.add_result(1), outbox.add_result(2)]
        with outbox.deliver():
            wait_until(lambda: outbox.list_states() == [SENT, SENT], "the question")
            assert sorted(uid for asked in outbox.commitments.asked for uid in asked) == sorted(uids)
            outbox.deliveries.commit("2.25.1", uids)
            assert outbox.are_done()


def test_what_was_not_committed_is_sent_again_after_a_while(tmp_path, soon):
    received = []
    with (
        start_node(lambda event: received.append(time.monotonic()) or 0x0000) as port,
        open_outbox(tmp_path / "state", to_peer(port, wants_commitment=True), refusal="no") as outbox,
    ):
        outbox.add_result(1)
        with outbox.deliver():
            wait_until(lambda: len(received) >= 4, "four sendings")
        waits = [later - one for one, later in zip(received, received[1:], strict=False)]
        assert waits[0] >= 0.05 and waits[1] >= 0.1 and waits[2] >= 0.2


def test_a_study_that_is_erased_while_it_waits_is_not_sent(tmp_path, soon):
    received = []
    with (
        start_node(lambda event: received.append(1) or 0x0000) as port,
        open_outbox(tmp_path / "state", to_peer(port)) as outbox,
    ):
        outbox.add_result(1)
        outbox.spool.remove(outbox.store.erase_study(f"{1:032x}"))
        outbox.add_result(2)
        file = outbox.deliveries.list_deliveries()[0].file
        outbox.spool.remove([file])  # between the look at the queue and the file
        with outbox.deliver():
            wait_until(lambda: outbox.deliveries.list_deliveries()[0].attempts >= 2, "two attempts")
        assert not received and "is gone" in outbox.deliveries.list_deliveries()[0].reason


@pytest.mark.parametrize(("status", "is_reached"), [(409, True), (415, True), (401, False), (500, False), (503, False)])
def test_what_a_web_server_says_of_an_object_concerns_the_object(tmp_path, monkeypatch, status, is_reached):
    monkeypatch.setattr(loops, "FIRST_WAIT_S", 3600.0)
    with (
        start_web_server(lambda handler: reply(handler, status)) as (port, requests),
        open_outbox(tmp_path / "state", to_web(port)) as outbox,
    ):
        outbox.add_result(1)
        outbox.add_result(2)
        with outbox.deliver() as deliverer:
            wait_until(lambda: any(one.reason for one in outbox.deliveries.list_deliveries()), "an attempt")
            wait_until(lambda: len(requests) == (2 if is_reached else 1), "as many requests")
            assert deliverer.state()[0].is_reached is is_reached
            assert str(status) in outbox.deliveries.list_deliveries()[0].reason


def test_a_result_for_a_destination_that_is_none_any_more_is_told(tmp_path, caplog):
    with open_outbox(tmp_path / "state", to_peer(1, "old")) as outbox:
        outbox.add_result(1)
    with open_outbox(tmp_path / "state") as outbox, outbox.deliver():
        assert "1 results wait for old, which is no destination any more" in caplog.text


def test_a_destination_that_cannot_be_used_is_refused_at_start(tmp_path):
    peer = WebPeer("ftp://127.0.0.1/", timeout_seconds=1.0)
    with open_outbox(tmp_path / "state", Destination("web", peer)) as outbox, pytest.raises(ServiceError, match="url"):
        outbox.make_deliverer()
    peer = WebPeer("http://127.0.0.1/", credentials=Path("absent"))
    with open_outbox(tmp_path / "two", Destination("web", peer)) as outbox:
        with pytest.raises(ServiceError, match="credentials"):
            outbox.make_deliverer()


def test_no_identifier_is_logged_or_kept_as_a_reason(tmp_path, soon, caplog, capfd):
    caplog.set_level(0)
    with (
        start_node(lambda event: 0xC123) as port,
        open_outbox(tmp_path / "state", to_peer(port), to_peer(find_free_port(), "down", seconds=2.0)) as outbox,
    ):
        outbox.add_result(1)
        with outbox.deliver() as deliverer:
            wait_until(lambda: all(one.attempts for one in outbox.deliveries.list_deliveries()), "attempts")
            reasons = [one.reason for one in (*deliverer.state(), *outbox.deliveries.list_deliveries())]
        events = [str(one) for one in outbox.audit.list_events()]
    ours = [one.getMessage() for one in caplog.records if one.name.partition(".")[0] not in ("pydicom", "pynetdicom")]
    said = "\n".join([*ours, *reasons, *events, *capfd.readouterr()])
    assert not [mark for mark in (*MARKS, "1.2.826.77") if mark in said]
