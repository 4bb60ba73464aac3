"""Reading ahead: in order, bounded, errors at their turn, no thread left."""

import threading
import time

import pytest

from alta_sdk import StudyError
from alta_sdk.study.read_ahead import AHEAD, ReadAhead


def reader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("alta-read-ahead")]


def test_items_come_in_order_and_no_more_than_a_few_are_read_ahead():
    read = []
    with ReadAhead(range(10), lambda item: read.append(item) or item) as items:
        for count, item in enumerate(items):
            assert item == count
            time.sleep(0.002)
            assert len(read) <= count + 1 + AHEAD
    assert read == list(range(10))
    assert not reader_threads()


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
