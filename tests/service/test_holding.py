"""Who serves a state folder holds it, and who only looks keeps nobody from starting."""

import threading

import pytest

from alta_sdk.errors import ServiceError
from alta_sdk.files.locking import hold_lock
from alta_sdk.service import holding
from alta_sdk.service.holding import hold_state, is_served
from alta_sdk.service.paths import LOCK


def test_a_second_service_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(holding, "HOLD_S", 0.05)
    with hold_state(tmp_path):
        assert is_served(tmp_path)
        with pytest.raises(ServiceError, match="runs on this state folder already"), hold_state(tmp_path):
            pass
    assert not is_served(tmp_path)


def test_a_look_at_the_state_does_not_refuse_a_start(tmp_path, monkeypatch):
    monkeypatch.setattr(holding, "HOLD_S", 60.0)
    looking, begun = threading.Event(), threading.Event()

    def look():
        with hold_lock(tmp_path / LOCK, 0):
            looking.set()
            begun.wait(0.2)  # the start is under way

    looker = threading.Thread(target=look)
    looker.start()
    looking.wait()
    with hold_state(tmp_path):
        assert is_served(tmp_path)
    begun.set()
    looker.join()
