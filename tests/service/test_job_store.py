"""Each transition of a study, and those that are none."""

from dataclasses import replace

import pytest

from alta_sdk.service.audit import Audit
from alta_sdk.service.database import Database
from alta_sdk.service.delivery_store import DeliveryStore
from alta_sdk.service.job_store import MAX_ATTEMPTS, MAX_CRASHES, POISON, JobStore
from alta_sdk.service.records import Arrival, DeliveryState, Instance, Result, ResultObject, StudyState

FIRST = Instance("1.1", "1.9", "1.2", "1.3", "key", "1.2.840", "aa", 10, "a.dcm", "SENDER", 100.0)


@pytest.fixture
def store(tmp_path):
    with Database(tmp_path) as database:
        yield JobStore(database)


def state_of(store, key="key"):
    return store.get_study(key).state


def make_result(job, *sop_uids):
    objects = tuple(ResultObject(uid, "1.88", "sr", f"{uid}.dcm") for uid in sop_uids)
    return Result(job.key, job.revision, "chest", "hash", {"scores": {"x": 0.5}}, objects, 200.0)


def begin(store, instance=FIRST):
    store.add_instance(instance)
    assert store.complete_study(instance.study_key)
    return store.begin_scoring()


def test_a_study_goes_from_receiving_to_done(store):
    assert store.add_instance(FIRST) == (Arrival.NEW, "")
    assert state_of(store) is StudyState.RECEIVING
    assert store.begin_scoring() is None
    assert store.complete_study("key")
    assert state_of(store) is StudyState.COMPLETE
    job = store.begin_scoring()
    assert (job.key, job.study_uid, job.state, job.revision) == ("key", "1.3", StudyState.SCORING, 1)
    assert store.finish_scoring(make_result(job, "2.1", "2.2"), ["pacs", "other"])
    assert state_of(store) is StudyState.SCORED
    deliveries = DeliveryStore(store.database)
    waiting = deliveries.list_deliveries(state=DeliveryState.WAITING)
    assert {(one.sop_uid, one.destination) for one in waiting} == {
        (uid, name) for uid in ("2.1", "2.2") for name in ("pacs", "other")
    }
    deliveries.mark_sent(waiting[0])
    assert state_of(store) is StudyState.DELIVERING
    for one in waiting[1:]:
        deliveries.mark_sent(one)
    assert state_of(store) is StudyState.DONE


def test_a_result_without_destinations_is_done_at_once(store):
    job = begin(store)
    assert store.finish_scoring(make_result(job, "2.1"), [])
    assert state_of(store) is StudyState.DONE


def test_results_are_kept_by_revision_with_their_objects(store):
    job = begin(store)
    first = make_result(job, "2.1")
    store.finish_scoring(first, [])
    second_job = begin(store, replace(FIRST, sop_uid="1.4", sha256="bb"))
    second = make_result(second_job, "2.2")
    store.finish_scoring(second, [])
    assert second_job.revision == 2
    assert store.list_results("key") == [second, first]
    assert store.list_results("other") == []


def test_the_same_bytes_change_nothing(store):
    store.add_instance(FIRST)
    before = store.get_study("key")
    assert store.add_instance(replace(FIRST, file="b.dcm", received_at=999.0)) == (Arrival.SAME, "")
    assert store.get_study("key") == before
    assert store.find_instance("1.1") == FIRST


def test_other_bytes_replace_the_object(store):
    store.add_instance(FIRST)
    corrected = replace(FIRST, file="b.dcm", sha256="bb")
    assert store.add_instance(corrected) == (Arrival.REPLACED, "a.dcm")
    assert store.list_instances("key") == [corrected]


def test_the_same_bytes_in_another_study_are_another_object(store):
    store.add_instance(FIRST)
    moved = replace(FIRST, study_uid="1.33", study_key="other", file="b.dcm")
    assert store.add_instance(moved) == (Arrival.REPLACED, "a.dcm")
    assert store.list_instances("key") == []
    assert store.list_instances("other") == [moved]


def test_bytes_that_were_purged_are_kept_again(store):
    begin(store)
    assert store.forget_images("key") == {"a.dcm"}
    assert store.forget_images("key") == set()
    assert store.add_instance(replace(FIRST, file="b.dcm")) == (Arrival.RESTORED, "")
    assert store.find_instance("1.1").file == "b.dcm"
    assert state_of(store) is StudyState.SCORING


@pytest.mark.parametrize("state", [StudyState.RECEIVING, StudyState.COMPLETE])
def test_an_arrival_before_scoring_is_of_the_same_revision(store, state):
    store.add_instance(FIRST)
    if state is StudyState.COMPLETE:
        store.complete_study("key")
    store.add_instance(replace(FIRST, sop_uid="1.4"))
    job = store.get_study("key")
    assert (job.state, job.revision) == (StudyState.RECEIVING, 1)


def test_an_arrival_in_scoring_overtakes_it(store):
    job = begin(store)
    store.add_instance(replace(FIRST, sop_uid="1.4"))
    assert not store.finish_scoring(make_result(job, "2.1"), ["pacs"])
    assert not store.refuse_study(job, "reason")
    assert not store.fail_scoring(job, "reason")
    found = store.get_study("key")
    assert (found.state, found.revision, found.reason, found.attempts) == (StudyState.RECEIVING, 2, "", 0)
    assert store.list_results("key") == []


def test_an_overtaken_scoring_does_not_end_the_next_one(store):
    old = begin(store)
    new = begin(store, replace(FIRST, sop_uid="1.4"))
    assert not store.finish_scoring(make_result(old, "2.1"), [])
    assert store.finish_scoring(make_result(new, "2.2"), [])


def test_an_arrival_after_done_makes_a_revision_and_leaves_what_is_on_its_way(store):
    job = begin(store)
    store.finish_scoring(make_result(job, "2.1"), ["pacs"])
    store.add_instance(replace(FIRST, sop_uid="1.4"))
    assert (store.get_study("key").state, store.get_study("key").revision) == (StudyState.RECEIVING, 2)
    deliveries = DeliveryStore(store.database)
    [waiting] = deliveries.list_deliveries()
    deliveries.mark_sent(waiting)
    assert state_of(store) is StudyState.RECEIVING


def test_a_refused_study_says_why_and_is_scored_again_on_order(store):
    job = begin(store)
    assert store.refuse_study(job, "no frontal", {"frontal": None})
    found = store.get_study("key")
    assert (found.state, found.reason, found.explanation) == (StudyState.REFUSED, "no frontal", {"frontal": None})
    assert store.retry_study("key")
    again = store.begin_scoring()
    assert (again.revision, again.reason, again.explanation) == (1, "", None)


def test_an_arrival_of_a_refused_study_makes_it_anew(store):
    store.refuse_study(begin(store), "no frontal", {})
    store.add_instance(replace(FIRST, sop_uid="1.4"))
    found = store.get_study("key")
    assert (found.state, found.revision, found.reason, found.explanation) == (StudyState.RECEIVING, 2, "", None)


def test_a_scoring_that_fails_is_tried_again_and_then_no_more(store):
    begin(store)
    for attempt in range(1, MAX_ATTEMPTS):
        assert store.fail_scoring(store.get_study("key"), "boom")
        found = store.get_study("key")
        assert (found.state, found.attempts, found.reason) == (StudyState.COMPLETE, attempt, "boom")
        store.begin_scoring()
    store.fail_scoring(store.get_study("key"), "boom")
    assert state_of(store) is StudyState.FAILED
    assert store.begin_scoring() is None
    assert store.retry_study("key")
    assert store.begin_scoring().attempts == 0


def test_scoring_that_the_process_did_not_survive_waits_again_and_is_set_aside_the_second_time(store):
    begin(store)
    for crash in range(1, MAX_CRASHES):
        assert store.recover() == 0
        found = store.get_study("key")
        assert (found.state, found.crashes) == (StudyState.COMPLETE, crash)
        store.begin_scoring()
    assert store.recover() == 1
    found = store.get_study("key")
    assert (found.state, found.reason) == (StudyState.FAILED, POISON)
    assert store.retry_study("key")
    assert store.get_study("key").crashes == 0


def test_recovery_leaves_other_states_alone(store):
    store.add_instance(FIRST)
    assert store.recover() == 0
    assert (state_of(store), store.get_study("key").crashes) == (StudyState.RECEIVING, 0)


@pytest.mark.parametrize("verb", ["complete_study", "retry_study"])
def test_a_study_that_is_not_there_does_not_change(store, verb):
    assert not getattr(store, verb)("nobody")
    assert store.get_study("nobody") is None


def test_what_does_not_wait_is_not_retried_and_what_is_complete_is_not_completed(store):
    store.add_instance(FIRST)
    assert not store.retry_study("key")
    store.complete_study("key")
    assert not store.complete_study("key")


def test_the_study_that_waits_longest_is_scored_first(store):
    for key, at in (("b", 2.0), ("c", 3.0), ("a", 1.0)):
        store.add_instance(replace(FIRST, sop_uid=f"1.{at}", study_key=key, received_at=at))
        store.complete_study(key)
    assert [store.begin_scoring().key for _ in range(3)] == ["a", "b", "c"]


def test_studies_are_counted_and_listed_by_state(store):
    for number in range(5):
        store.add_instance(replace(FIRST, sop_uid=f"1.{number}", study_key=f"k{number}", received_at=float(number)))
    store.complete_study("k0")
    counts = store.count_states()
    assert set(counts) == set(StudyState)
    assert (counts[StudyState.RECEIVING], counts[StudyState.COMPLETE]) == (4, 1)
    assert store.count_waiting() == 5
    assert store.list_keys(StudyState.RECEIVING) == ["k1", "k2", "k3", "k4"]
    assert [one.key for one in store.list_studies((StudyState.RECEIVING,), limit=2, offset=1)] == ["k3", "k2"]
    store.refuse_study(store.begin_scoring(), "x")
    assert store.count_waiting() == 4


def test_files_that_are_needed_are_named(store):
    job = begin(store)
    store.finish_scoring(make_result(job, "2.1"), [])
    store.add_instance(replace(FIRST, sop_uid="1.4", study_key="other", file="o.dcm"))
    assert store.list_files() == {"a.dcm", "2.1.dcm", "o.dcm"}
    assert store.list_files("other") == {"o.dcm"}
    store.forget_images("key")
    assert store.list_files("key") == {"2.1.dcm"}


def test_what_is_finished_since_a_time_is_listed(store):
    store.refuse_study(begin(store), "x")
    changed = store.get_study("key").changed_at
    assert store.list_finished(changed) == []
    assert store.list_finished(changed + 1) == ["key"]
    store.retry_study("key")
    assert store.list_finished(changed + 1e9) == []


def test_an_erased_study_leaves_its_audit_alone(store, tmp_path):
    job = begin(store, replace(FIRST, study_uid="1.3.4711.4712", sop_uid="1.3.4711.9"))
    store.finish_scoring(make_result(job, "2.1.4711"), ["pacs"])
    assert store.erase_study("key") == {"a.dcm", "2.1.4711.dcm"}
    assert store.database.empty_log()
    assert store.get_study("key") is None
    assert store.list_instances("key") == store.list_results("key") == []
    assert DeliveryStore(store.database).list_deliveries() == []
    assert [event.action for event in Audit(store.database).list_events("key")] == ["received"]
    for path in tmp_path.iterdir():
        assert b"4711" not in path.read_bytes(), path.name
    assert store.erase_study("key") == set()


def test_each_arrival_is_audited_by_its_sender_in_the_same_transaction(store):
    store.add_instance(FIRST)
    store.add_instance(FIRST)
    store.add_instance(replace(FIRST, sop_uid="1.4", sender="OTHER"))
    events = Audit(store.database).list_events("key")
    assert [(event.actor, event.action) for event in events] == [("OTHER", "received"), ("SENDER", "received")]
