"""Images and results are kept as long as the configuration says, by clocks that cannot be fooled while it runs."""

import time

import pytest

from alta_sdk.errors import ServiceError
from alta_sdk.service.actions import Actions
from alta_sdk.service.database import Database
from alta_sdk.service.records import StudyState
from alta_sdk.service.retention import Purged, Retention
from alta_sdk.service.settings import Keeping
from service.fixtures import make_radiograph
from service.scoring_side import open_scoring

HOUR_S, DAY_S = 3600.0, 86_400.0


@pytest.fixture
def side(tmp_path, bundle):
    with open_scoring(tmp_path / "state", bundle) as opened:
        yield opened


@pytest.fixture
def retention(side):
    actions = Actions(side.store, side.spool, side.audit)
    return Retention(Keeping(images_hours=24, results_days=30), side.store, side.spool, actions)


def age(side, key, seconds):
    with side.store.database.write() as cursor:
        cursor.execute("UPDATE studies SET changed_at = changed_at - ? WHERE key = ?", (seconds, key))


def test_images_go_a_day_after_a_study_is_done_and_results_after_thirty(side, retention):
    key = side.put(make_radiograph())
    side.scoring.score_next()
    assert retention.purge() == Purged(0, 0)
    age(side, key, 25 * HOUR_S)
    assert retention.purge() == Purged(1, 0)
    assert retention.purge() == Purged(0, 0)  # once
    (result,) = side.store.list_results(key)
    assert side.list_spool() == {one.file for one in result.objects}
    age(side, key, 30 * DAY_S)
    assert retention.purge() == Purged(0, 1)
    assert side.study(key) is None and side.list_spool() == set()
    assert side.audit.list_events(key)[0].action == "erased" and side.audit.list_events(key)[0].actor == "service"


@pytest.mark.parametrize("is_scored", [True, False])
def test_what_is_not_done_is_kept_however_old_it_is(side, retention, is_scored):
    key = side.put(make_radiograph())
    if is_scored:
        with side.store.database.write() as cursor:
            cursor.execute("UPDATE studies SET state = ?", (StudyState.DELIVERING,))
    age(side, key, 1000 * DAY_S)
    assert retention.purge() == Purged(0, 0)
    assert side.list_spool() == side.store.list_files() != set()


def test_the_images_of_a_refused_study_go_too(side, retention):
    key = side.put(make_radiograph(view="LL"))
    side.scoring.score_next()
    assert side.study(key).state is StudyState.REFUSED
    age(side, key, 25 * HOUR_S)
    assert retention.purge() == Purged(1, 0) and side.list_spool() == set()


@pytest.mark.parametrize("jump", [1000 * DAY_S, -1000 * DAY_S])
def test_a_clock_that_jumps_removes_nothing_early(side, retention, monkeypatch, jump):
    key = side.put(make_radiograph())
    side.scoring.score_next()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert retention.purge() == Purged(0, 0)
    late = side.put(make_radiograph(size=72))
    side.scoring.score_next()
    assert retention.purge() == Purged(0, 0)
    assert side.study(key) and side.study(late)


def test_the_log_is_cut_with_each_purge(side, retention, tmp_path):
    key = side.put(make_radiograph())
    side.scoring.score_next()
    age(side, key, 25 * HOUR_S)
    retention.purge()
    assert (tmp_path / "state" / "queue.sqlite-wal").stat().st_size == 0


def test_a_purge_that_cannot_cut_the_log_cuts_it_at_the_next(side, retention, tmp_path):
    kept, old = side.put(make_radiograph()), side.put(make_radiograph())
    side.scoring.score_next()
    side.scoring.score_next()
    age(side, old, 31 * DAY_S)
    age(side, kept, 25 * HOUR_S)
    side.store.database.read("PRAGMA busy_timeout = 10")
    with Database(tmp_path / "state") as other:
        other._connection.execute("BEGIN")
        other._connection.execute("SELECT * FROM studies").fetchall()
        assert retention.purge() == Purged(1, 1)  # the images, too, though the log cannot be cut
        other._connection.execute("COMMIT")
    assert retention.purge() == Purged(0, 0)
    assert (tmp_path / "state" / "queue.sqlite-wal").stat().st_size == 0


def test_a_reader_that_holds_the_log_is_told_and_the_log_is_cut_later(side, retention, tmp_path, monkeypatch):
    import alta_sdk.service.actions as actions

    key = side.put(make_radiograph())
    side.scoring.score_next()
    monkeypatch.setattr(actions, "_LOG_TRIES", 2)
    side.store.database.read("PRAGMA busy_timeout = 10")
    with Database(tmp_path / "state") as other:
        other._connection.execute("BEGIN")
        other._connection.execute("SELECT * FROM studies").fetchall()
        with pytest.raises(ServiceError, match="another program holds the queue's log"):
            Actions(side.store, side.spool, side.audit).erase(key, "somebody")
        assert side.study(key) is None
        other._connection.execute("COMMIT")
        assert Actions(side.store, side.spool, side.audit).erase(key, "somebody") is False
    assert (tmp_path / "state" / "queue.sqlite-wal").stat().st_size == 0


def test_a_peers_request_that_names_an_erased_object_is_forgotten(side):
    from alta_sdk.service.records import CommitmentRequest

    image, other = make_radiograph(), make_radiograph(size=72)
    key = side.put(image)
    side.put(other)
    for name, one in (("1.2", image), ("1.3", other)):
        request = CommitmentRequest(name, "PACS", ((str(one.SOPClassUID), str(one.SOPInstanceUID)),), 0)
        side.deliveries.add_commitment(request)
    Actions(side.store, side.spool, side.audit).erase(key, "somebody")
    assert [one.transaction_uid for one in side.deliveries.list_commitments()] == ["1.3"]
