"""When a study is complete: by the quiet time of the monotonic clock, which begins anew at start."""

import sqlite3
import threading
import time
from types import SimpleNamespace

from pydicom.uid import generate_uid

from alta_sdk.service import completion, loops
from alta_sdk.service.completion import Completion
from alta_sdk.service.records import StudyState
from service.fixtures import make_radiograph, make_settings, open_side
from service.peers import wait_until
from service.test_reception import take


def count(side, state):
    return side.store.count_states()[state]


def test_a_study_is_not_complete_before_the_quiet_time(tmp_path):
    with open_side(tmp_path / "state", quiet_seconds=3600.0) as side:
        take(side, make_radiograph())
        assert count(side, StudyState.RECEIVING) == 1


def test_each_arrival_begins_the_quiet_time_anew(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(completion, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with open_side(tmp_path / "state", quiet_seconds=1.0) as side:
        image = make_radiograph()
        for _ in range(4):  # longer than the quiet time together
            image.SOPInstanceUID = generate_uid()
            take(side, image)
            now[0] += 0.75
            side.completion._step()  # the loop itself looks whenever it is woken
            assert (count(side, StudyState.RECEIVING), count(side, StudyState.COMPLETE)) == (1, 0)
        now[0] += 0.25
        side.completion._loop.wake()
        wait_until(lambda: count(side, StudyState.COMPLETE), "a complete study")


def test_what_was_being_received_gets_its_quiet_time_anew_at_start(tmp_path):
    with open_side(tmp_path / "state", quiet_seconds=3600.0) as side:
        take(side, make_radiograph())
    with open_side(tmp_path / "state") as side:
        wait_until(lambda: count(side, StudyState.COMPLETE), "a complete study")


def test_a_clock_that_jumps_completes_nothing(tmp_path, monkeypatch):
    with open_side(tmp_path / "state", quiet_seconds=3600.0) as side:
        take(side, make_radiograph())
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 1e9)
        take(side, make_radiograph())
        assert count(side, StudyState.RECEIVING) == 2
        assert count(side, StudyState.COMPLETE) == 0


def test_a_queue_that_cannot_be_written_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(loops, "AFTER_FAULT_S", 0.05)
    tries, done = [], threading.Event()

    class Store:
        def list_keys(self, state):
            return ["k"]

        def complete_study(self, key):
            tries.append(key)
            if len(tries) < 3:
                raise sqlite3.OperationalError("disk I/O error")
            return True

    thread = Completion(make_settings(tmp_path, quiet_seconds=0.0), Store())
    thread.on_complete = done.set
    thread.start()
    assert done.wait(120)
    thread.stop()
    assert tries == ["k"] * 3
    assert not thread.is_alive()
