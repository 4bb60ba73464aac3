"""What is on its way to whom, and who asked what is kept."""

import pytest

from alta_sdk.service.audit import Audit, Orders
from alta_sdk.service.database import Database
from alta_sdk.service.delivery_store import DeliveryStore
from alta_sdk.service.job_store import JobStore
from alta_sdk.service.records import CommitmentRequest, DeliveryState, Instance, Result, ResultObject, StudyState


@pytest.fixture
def database(tmp_path):
    with Database(tmp_path) as opened:
        yield opened


@pytest.fixture
def deliveries(database):
    """Two objects of one study, each for two destinations."""
    store = JobStore(database)
    store.add_instance(Instance("1.1", "1.9", "1.2", "1.3", "key", "1.2", "aa", 1, "a.dcm", "SENDER", 1.0))
    store.complete_study("key")
    job = store.begin_scoring()
    objects = tuple(ResultObject(uid, "1.88", "sr", f"{uid}.dcm") for uid in ("2.1", "2.2"))
    store.finish_scoring(Result("key", job.revision, "e", "h", {}, objects, 5.0), ["other", "pacs"])
    return DeliveryStore(database)


def state_of(database):
    return JobStore(database).get_study("key").state


def states_of(deliveries, destination):
    return {one.sop_uid: one.state for one in deliveries.list_deliveries(destination=destination)}


def test_a_delivery_says_what_goes_where(deliveries):
    [first, second] = deliveries.list_deliveries(destination="pacs")
    assert (first.sop_uid, first.sop_class, first.file, first.study_key) == ("2.1", "1.88", "2.1.dcm", "key")
    assert (first.state, first.attempts, first.reason) == (DeliveryState.WAITING, 0, "")
    assert second.sop_uid == "2.2"
    assert len(deliveries.list_deliveries()) == len(deliveries.list_deliveries(key="key")) == 4
    assert deliveries.list_deliveries(key="nobody") == []


def test_a_failed_attempt_is_counted_and_waits_again(deliveries, database):
    [first, _] = deliveries.list_deliveries(destination="pacs")
    deliveries.mark_failed(first, "peer is down")
    deliveries.mark_failed(first, "peer is still down")
    [found, _] = deliveries.list_deliveries(destination="pacs")
    assert (found.state, found.attempts, found.reason) == (DeliveryState.WAITING, 2, "peer is still down")
    assert state_of(database) is StudyState.DELIVERING


def test_without_commitment_sent_is_done(deliveries, database):
    for one in deliveries.list_deliveries():
        deliveries.mark_sent(one)
    assert deliveries.count_states() == {("other", DeliveryState.DONE): 2, ("pacs", DeliveryState.DONE): 2}
    assert state_of(database) is StudyState.DONE


def test_with_commitment_sent_waits_for_the_answer(deliveries, database):
    for one in deliveries.list_deliveries():
        deliveries.mark_sent(one, "" if one.destination == "other" else "2.25.1")
    assert set(states_of(deliveries, "pacs").values()) == {DeliveryState.SENT}
    assert state_of(database) is StudyState.DELIVERING
    assert deliveries.commit("2.25.1", ["2.1", "2.2"]) == 2
    assert state_of(database) is StudyState.DONE


def test_what_a_destination_does_not_keep_waits_again(deliveries, database):
    for one in deliveries.list_deliveries(destination="pacs"):
        deliveries.mark_sent(one, "2.25.1")
    assert deliveries.commit("2.25.1", ["2.1"], ["2.2"]) == 2
    assert states_of(deliveries, "pacs") == {"2.1": DeliveryState.DONE, "2.2": DeliveryState.WAITING}
    assert set(states_of(deliveries, "other").values()) == {DeliveryState.WAITING}
    assert state_of(database) is StudyState.DELIVERING


def test_an_answer_to_another_transaction_changes_nothing(deliveries):
    for one in deliveries.list_deliveries(destination="pacs"):
        deliveries.mark_sent(one, "2.25.1")
    assert deliveries.commit("2.25.2", ["2.1", "2.2"]) == 0
    assert deliveries.commit("", ["2.1", "2.2"]) == 0
    assert set(states_of(deliveries, "pacs").values()) == {DeliveryState.SENT}


def test_an_answer_about_other_objects_changes_nothing(deliveries):
    for one in deliveries.list_deliveries(destination="pacs"):
        deliveries.mark_sent(one, "2.25.1")
    deliveries.commit("2.25.1", ["9.9"], ["9.8"])
    assert set(states_of(deliveries, "pacs").values()) == {DeliveryState.SENT}


def test_an_answer_that_comes_again_changes_nothing(deliveries):
    for one in deliveries.list_deliveries(destination="pacs"):
        deliveries.mark_sent(one, "2.25.1")
    deliveries.commit("2.25.1", ["2.1", "2.2"])
    assert deliveries.commit("2.25.1", [], ["2.1", "2.2"]) == 0
    assert set(states_of(deliveries, "pacs").values()) == {DeliveryState.DONE}


def test_who_gives_up_on_an_answer_that_came_meanwhile_changes_nothing(deliveries, database):
    for one in deliveries.list_deliveries():
        deliveries.mark_sent(one, "" if one.destination == "other" else "2.25.1")
    late = deliveries.list_deliveries(destination="pacs")
    deliveries.commit("2.25.1", ["2.1", "2.2"])
    for one in late:
        deliveries.mark_failed(one, "destination has not answered")
    assert set(states_of(deliveries, "pacs").values()) == {DeliveryState.DONE}
    assert state_of(database) is StudyState.DONE


def test_requests_for_commitment_are_kept_until_they_are_answered(deliveries, database, tmp_path):
    request = CommitmentRequest("2.25.7", "SENDER", (("1.88", "2.1"), ("1.88", "2.2")), 0)
    deliveries.add_commitment(request)
    deliveries.count_commitment_failure("2.25.7")
    [found] = DeliveryStore(database).list_commitments()
    assert found == CommitmentRequest("2.25.7", "SENDER", request.items, 1)
    deliveries.add_commitment(request)
    assert deliveries.list_commitments() == [request]
    deliveries.remove_commitment("2.25.7")
    assert deliveries.list_commitments() == []


def test_audit_events_are_listed_the_latest_first(database):
    audit = Audit(database)
    audit.note("SENDER", "received", "key", "detail")
    audit.note("service", "sent", "other")
    assert [(one.actor, one.action, one.study_key) for one in audit.list_events()] == [
        ("service", "sent", "other"),
        ("SENDER", "received", "key"),
    ]
    [event] = audit.list_events("key", limit=5)
    assert event.detail == "detail"
    assert len(audit.list_events(limit=1)) == 1


def test_an_order_is_open_until_it_is_answered_and_gone_when_its_answer_is_taken(database):
    orders = Orders(database)
    first, second = orders.give("erase", "key", "operator"), orders.give("reload", "", "operator")
    assert orders.list_open() == [(first, "erase", "key", "operator"), (second, "reload", "", "operator")]
    assert orders.take_answer(first) is None
    orders.answer(first, "erased")
    assert [number for number, *_ in orders.list_open()] == [second]
    assert orders.take_answer(first) == "erased"
    assert orders.take_answer(first) is None
