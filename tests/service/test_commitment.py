"""Storage commitment with Orthanc, in both roles, and with peers that do not do as they should."""

import pytest
from pydicom.uid import ComputedRadiographyImageStorage

from alta_sdk.errors import ServiceError
from alta_sdk.service import commitment, loops
from alta_sdk.service.commitment_messages import make_report
from alta_sdk.service.listener import make_node
from alta_sdk.service.records import CommitmentRequest, DeliveryState, StudyState
from alta_sdk.service.settings import Destination, DicomPeer, WebPeer
from alta_sdk.service.syntaxes import COMMAND_SYNTAXES, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE
from service.fixtures import add_scored, make_radiograph, make_settings, open_side, write_image
from service.peers import find_free_port, start_orthanc, store, wait_until

CR = ComputedRadiographyImageStorage


@pytest.fixture
def pair(tmp_path):
    """A receiving side and an Orthanc that know each other."""
    port = find_free_port()
    pacs = Destination("pacs", DicomPeer("ORTHANC", "127.0.0.1", port), wants_commitment=True)
    with (
        open_side(tmp_path / "state", destinations=(pacs,)) as side,
        start_orthanc(tmp_path / "orthanc", nodes={"alta": ("ALTA", side.port)}, port=port) as orthanc,
    ):
        yield side, orthanc, pacs


def ask_of_orthanc(orthanc, items):
    """Let Orthanc ask the receiving side; return the end of it."""
    asked = orthanc.ask("/modalities/alta/storage-commitment", {"DicomInstances": items})
    path = f"/storage-commitment/{asked['ID']}"
    return wait_until(lambda: (found := orthanc.ask(path))["Status"] != "Pending" and found, "Orthanc's answer")


def test_orthanc_is_told_that_what_it_stored_is_kept(pair, tmp_path):
    side, orthanc, _ = pair
    file = write_image(tmp_path / "a.dcm", image := make_radiograph())
    instance = orthanc.ask("/instances", file.read_bytes())["ID"]
    orthanc.ask("/modalities/alta/store", {"Resources": [instance]})
    found = ask_of_orthanc(orthanc, [[CR, image.SOPInstanceUID]])
    assert found["Status"] == "Success"
    assert [item["SOPInstanceUID"] for item in found["Success"]] == [image.SOPInstanceUID]
    wait_until(lambda: side.deliveries.list_commitments() == [], "an answered request")


def test_orthanc_is_told_what_is_not_kept_and_why(pair, tmp_path):
    side, orthanc, _ = pair
    assert store(side.port, write_image(tmp_path / "a.dcm", image := make_radiograph())).returncode == 0
    other_class = "1.2.840.10008.5.1.4.1.1.1.1"
    items = [[CR, image.SOPInstanceUID], [CR, "1.2.3.4"], [other_class, image.SOPInstanceUID]]
    found = ask_of_orthanc(orthanc, items)
    assert found["Status"] == "Failure"
    reasons = {item["SOPInstanceUID"]: item["FailureReason"] for item in found["Failures"]}
    assert reasons["1.2.3.4"] == commitment.NO_SUCH_INSTANCE
    assert reasons[image.SOPInstanceUID] == commitment.CLASS_CONFLICT


def test_what_was_purged_is_not_kept(pair, tmp_path):
    side, orthanc, _ = pair
    assert store(side.port, write_image(tmp_path / "a.dcm", image := make_radiograph())).returncode == 0
    [study] = side.store.list_studies()
    side.spool.remove(side.store.forget_images(study.key))
    assert ask_of_orthanc(orthanc, [[CR, image.SOPInstanceUID]])["Status"] == "Failure"


def test_a_delivery_is_done_when_orthanc_commits_itself(pair, tmp_path):
    side, orthanc, pacs = pair
    orthanc.ask("/instances", write_image(tmp_path / "a.dcm", image := make_radiograph()).read_bytes())
    add_scored(side, [(CR, image.SOPInstanceUID)], ["pacs"])
    told = []
    side.commitments.on_report = lambda: told.append(True)
    assert side.commitments.request(pacs, side.deliveries.list_deliveries()) == ""
    wait_until(lambda: told, "a report")
    [delivery] = side.deliveries.list_deliveries()
    assert delivery.state is DeliveryState.DONE
    assert side.store.get_study("k").state is StudyState.DONE


def test_what_orthanc_does_not_have_waits_again(pair, tmp_path):
    side, orthanc, pacs = pair
    orthanc.ask("/instances", write_image(tmp_path / "a.dcm", image := make_radiograph()).read_bytes())
    add_scored(side, [(CR, image.SOPInstanceUID), (CR, "1.2.3.4.5")], ["pacs"])
    assert side.commitments.request(pacs, side.deliveries.list_deliveries()) == ""

    def find_states():
        return {one.sop_uid: one.state for one in side.deliveries.list_deliveries()}

    wanted = {image.SOPInstanceUID: DeliveryState.DONE, "1.2.3.4.5": DeliveryState.WAITING}
    wait_until(lambda: find_states() == wanted, "one kept, one lost")
    assert side.store.get_study("k").state is StudyState.DELIVERING


def test_a_destination_that_is_down_costs_an_attempt(tmp_path):
    pacs = Destination("pacs", DicomPeer("PACS", "127.0.0.1", find_free_port(), timeout_seconds=5), True)
    with open_side(tmp_path / "state", destinations=(pacs,)) as side:
        add_scored(side, [(CR, "1.2.3.4.5")], ["pacs"])
        reason = side.commitments.request(pacs, side.deliveries.list_deliveries())
        assert "cannot be reached" in reason
        [delivery] = side.deliveries.list_deliveries()
        assert (delivery.state, delivery.attempts, delivery.reason) == (DeliveryState.WAITING, 1, reason)


def test_a_destination_that_never_answers_is_sent_to_again(tmp_path):
    with open_side(tmp_path / "state") as side:
        add_scored(side, [(CR, "1.2.3.4.5")], ["pacs"])
        [delivery] = side.deliveries.list_deliveries()
        side.deliveries.mark_sent(delivery, "2.25.1")
    with open_side(tmp_path / "state") as side:  # a start gives it its time anew
        assert "2.25.1" in side.commitments._asked
        side.commitments.answer_s = 0.1
        side.commitments.take_report(make_report("2.25.9", []))
        side.commitments._loop.wake()
        [delivery] = wait_until(lambda: side.deliveries.list_deliveries(state=DeliveryState.WAITING), "waiting")
        assert "not answered" in delivery.reason


def test_what_an_answer_does_not_name_is_given_up_in_its_time(tmp_path):
    with open_side(tmp_path / "state") as side:
        add_scored(side, [(CR, "1.2.3.4.5"), (CR, "1.2.3.4.6")], ["pacs"])
        for delivery in side.deliveries.list_deliveries():
            side.deliveries.mark_sent(delivery, "2.25.1")
    with open_side(tmp_path / "state") as side:
        side.commitments.take_report(make_report("2.25.1", [(CR, "1.2.3.4.5")]))
        side.commitments.answer_s = 0.1
        side.commitments._loop.wake()
        [delivery] = wait_until(lambda: side.deliveries.list_deliveries(state=DeliveryState.WAITING), "waiting")
        assert delivery.sop_uid == "1.2.3.4.6" and "not answered" in delivery.reason
        [kept] = side.deliveries.list_deliveries(state=DeliveryState.DONE)
        assert kept.sop_uid == "1.2.3.4.5"


def test_a_requester_that_was_away_for_long_is_answered_yet(tmp_path):
    peers = (DicomPeer("A", "127.0.0.1", find_free_port(), timeout_seconds=5),)
    with open_side(tmp_path / "state", peers=peers) as side:
        side.commitments._failures["A"] = 5000
        side.commitments.take_request("A", make_report("2.25.5", [(CR, "1.2.3")]))
        wait_until(lambda: side.deliveries.list_commitments()[0].attempts, "an attempt that was counted")
        assert "A" in side.commitments._due


def test_an_answer_on_the_association_of_the_question_is_taken(tmp_path):
    with open_answering_peer(report_at_once=True) as port:
        pacs = Destination("pacs", DicomPeer("PACS", "127.0.0.1", port, timeout_seconds=30), True)
        with open_side(tmp_path / "state", destinations=(pacs,)) as side:
            add_scored(side, [(CR, "1.2.3.4.5")], ["pacs"])
            assert side.commitments.request(pacs, side.deliveries.list_deliveries()) == ""
            wait_until(lambda: side.deliveries.list_deliveries(state=DeliveryState.DONE), "done")


def test_a_destination_that_refuses_the_question_costs_an_attempt(tmp_path):
    with open_answering_peer(status=0x0110) as port:
        pacs = Destination("pacs", DicomPeer("PACS", "127.0.0.1", port, timeout_seconds=30), True)
        with open_side(tmp_path / "state", destinations=(pacs,)) as side:
            add_scored(side, [(CR, "1.2.3.4.5")], ["pacs"])
            assert "0x0110" in side.commitments.request(pacs, side.deliveries.list_deliveries())


def test_a_destination_over_the_web_cannot_commit_itself(side):
    with pytest.raises(ServiceError, match="no DICOM node"):
        side.commitments.request(Destination("web", WebPeer("http://x/")), [])


def test_a_requester_that_is_down_is_answered_when_it_is_back(tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "FIRST_WAIT_S", 0.2)
    port = find_free_port()
    peer = DicomPeer("SENDER", "127.0.0.1", port, timeout_seconds=5)
    with open_side(tmp_path / "state", peers=(peer,)) as side:
        assert side.commitments.take_request("SENDER", make_report("2.25.7", [(CR, "1.2.3")])) == 0
        wait_until(lambda: (found := side.deliveries.list_commitments()) and found[0].attempts, "a failure")
        heard = []
        with open_answering_peer(port=port, heard=heard):
            wait_until(lambda: side.deliveries.list_commitments() == [], "an answer")
        [(event_type, report)] = heard
        assert (event_type, report.TransactionUID, report.FailedSOPSequence[0].FailureReason) == (2, "2.25.7", 0x0112)


def test_a_request_outlives_the_process(tmp_path):
    port = find_free_port()
    settings = make_settings(tmp_path / "state", peers=(DicomPeer("SENDER", "127.0.0.1", port, timeout_seconds=30),))
    with open_side(tmp_path / "state") as side:
        side.commitments.stop()
        side.deliveries.add_commitment(CommitmentRequest("2.25.7", "SENDER", ((CR, "1.2.3"),), 0))
    heard = []
    with open_answering_peer(port=port, heard=heard), open_side(tmp_path / "state", settings=settings) as side:
        wait_until(lambda: heard, "an answer after the start")


def test_a_request_that_can_never_be_answered_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(commitment, "MAX_ATTEMPTS", 3)
    peer = DicomPeer("SENDER", "127.0.0.1", find_free_port(), timeout_seconds=5)
    with open_side(tmp_path / "state", peers=(peer,)) as side:
        assert side.commitments.take_request("SENDER", make_report("2.25.7", [(CR, "1.2.3")])) == 0
        wait_until(lambda: side.deliveries.list_commitments() == [], "the end of it")


def test_a_requester_without_an_address_is_refused(side):
    assert side.commitments.take_request("SENDER", make_report("2.25.7", [(CR, "1.2.3")])) == 0x0124
    assert side.deliveries.list_commitments() == []


@pytest.mark.parametrize(
    ("transaction", "items"),
    [("", [(CR, "1.2")]), ("x'; DROP", [(CR, "1.2")]), ("2.25.7", []), ("2.25.7", [(CR, "<b>")])],
)
def test_a_request_that_is_none_is_refused(tmp_path, transaction, items):
    peer = DicomPeer("SENDER", "127.0.0.1", find_free_port())
    with open_side(tmp_path / "state", peers=(peer,)) as side:
        assert side.commitments.take_request("SENDER", make_report(transaction, items)) == 0x0115


def test_an_answer_that_comes_twice_or_to_nothing_is_taken(side):
    assert side.commitments.take_report(make_report("2.25.7", [(CR, "1.2.3")])) == 0
    assert side.commitments.take_report(make_report("", [(CR, "1.2.3")])) == 0x0115


class open_answering_peer:
    """A node that answers questions as told, and hears answers."""

    def __init__(self, *, port=0, status=0, report_at_once=False, heard=None):
        self.port, self.status, self.report_at_once, self.heard = port, status, report_at_once, heard

    def __enter__(self):
        from pynetdicom import evt

        node = make_node("PACS")
        node.add_supported_context(STORAGE_COMMITMENT, list(COMMAND_SYNTAXES), scu_role=True, scp_role=True)
        handlers = [(evt.EVT_N_ACTION, self.act), (evt.EVT_N_EVENT_REPORT, self.hear)]
        self.server = node.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self.server.server_address[1]

    def __exit__(self, *_):
        self.server.shutdown()

    def act(self, event):
        import threading

        question = event.action_information

        def report():
            kept = [
                (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in question.ReferencedSOPSequence
            ]
            answer = make_report(question.TransactionUID, kept)
            event.assoc.send_n_event_report(answer, 1, STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)

        if self.report_at_once:
            threading.Thread(target=report).start()
        return self.status, None

    def hear(self, event):
        self.heard.append((event.request.EventTypeID, event.event_information))
        return 0, None
