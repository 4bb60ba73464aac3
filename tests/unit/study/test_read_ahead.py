"""Reading ahead: in order, bounded, errors at their turn, no thread left."""

import threading
import time

import pytest

from alta_sdk import StudyError
from alta_sdk.dicom import decoding
from alta_sdk.study.read_ahead import AHEAD, ReadAhead


def reader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("alta-read-ahead")]


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_items_come_in_order_and_no_more_than_a_few_are_read_ahead(readers):
    read = []
    with ReadAhead(range(10), lambda item: read.append(item) or item, readers=readers) as items:
        assert items.ahead == AHEAD + readers - 1
        for count, item in enumerate(items):
            assert item == count
            time.sleep(0.002)
            assert len(read) <= count + 1 + items.ahead
            assert len(reader_threads()) <= readers
    assert sorted(read) == list(range(10))
    assert read == list(range(10)) or readers > 1
    assert not reader_threads()


def test_one_item_has_one_reader_and_a_list_as_many_as_processors(monkeypatch):
    monkeypatch.setattr("alta_sdk.study.read_ahead.count_workers", lambda: 4)
    for items, readers in ([1], 1), ([], 1), (range(3), 3), (range(9), 4), (iter([1]), 4):
        with ReadAhead(items, str) as ahead:
            assert ahead.readers == readers


def test_readers_work_side_by_side_and_a_slow_item_holds_its_place():
    is_slow_done, others = threading.Event(), threading.Barrier(2)

    def read(item):
        if item == 0:
            others.wait(600)  # item 1 is read meanwhile
            assert is_slow_done.wait(600)
        elif item == 1:
            others.wait(600)
        elif item == 2:
            is_slow_done.set()  # by the reader that is free
        return item

    with ReadAhead(range(5), read, readers=2) as items:
        assert list(items) == list(range(5))


def test_what_is_ready_is_peeked_at_up_to_the_first_that_is_not_and_stays():
    may_go_on = threading.Event()

    def read(item):
        if item == 3:
            assert may_go_on.wait(600)
        if item == 5:
            raise StudyError("damaged")
        return item

    with ReadAhead(range(8), read, readers=2, together=4) as items:
        assert items.ahead == AHEAD + 1 + 3
        assert next(items) == 0
        while items.peek_ready(4) != [1, 2]:
            time.sleep(0.001)
        assert items.peek_ready(1) == [1]
        may_go_on.set()
        assert [next(items), next(items)] == [1, 2]
        while items.peek_ready(9) != [3, 4]:  # and not beyond the one that cannot be read
            time.sleep(0.001)
        assert [next(items), next(items)] == [3, 4]
        with pytest.raises(StudyError, match="damaged"):
            next(items)
        assert list(items) == [6, 7]


def test_each_reader_shares_the_processors_with_the_others(monkeypatch):
    monkeypatch.setattr(decoding, "count_workers", lambda: 3)
    assert decoding.count_threads() == 3  # whoever decodes alone has all of them
    for readers, threads in ((1, 3), (2, 1), (3, 1)):
        with ReadAhead(range(3), lambda _: decoding.count_threads(), readers=readers) as items:
            assert list(items) == [threads] * 3
    monkeypatch.setattr(decoding, "count_workers", lambda: 8)
    assert decoding.count_threads() == decoding.MAX_THREADS


def test_reading_overlaps_with_the_work_on_the_item_before():
    started = [threading.Event() for _ in range(3)]

    def read(item):
        started[item].set()
        return item

    with ReadAhead(range(3), read) as items:
        next(items)
        assert started[1].wait(600) and started[2].wait(600)  # while item 0 is worked on


def test_an_error_is_raised_at_its_turn_and_the_next_turn_goes_on():
    def read(item):
        if item == 1:
            raise StudyError("damaged")
        return item

    with ReadAhead(range(3), read) as items:
        assert next(items) == 0
        with pytest.raises(StudyError, match="damaged"):
            next(items)
        assert list(items) == [2]


def test_closing_stops_the_reader_and_drops_what_has_not_begun():
    read = []
    items = ReadAhead(range(100), lambda item: time.sleep(0.01) or read.append(item))
    next(items)
    items.close()
    assert len(read) <= 2 + AHEAD
    assert not reader_threads()
    assert list(items) == []


def test_closing_the_scores_of_a_list_ends_the_thread(matcher, radiograph_path):
    scores = matcher.iter_zero_shot([radiograph_path] * 5, ["edema"])
    next(scores)
    assert reader_threads()
    scores.close()
    assert not reader_threads()


def test_a_study_that_cannot_be_read_raises_after_those_before_it(matcher, radiograph_path, tmp_path):
    scores = matcher.iter_zero_shot([radiograph_path, tmp_path / "absent", radiograph_path], ["edema"])
    assert 0 <= next(scores).scores["edema"] <= 1
    with pytest.raises(StudyError):
        next(scores)
    assert not reader_threads()
