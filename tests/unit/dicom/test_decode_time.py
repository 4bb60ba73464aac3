"""What decoding the images of one study may take together: frames that their bytes explain cost nothing of it."""

import time

import pytest

from alta_sdk import DicomError
from alta_sdk.dicom.decode_time import BASE_S, DecodeTime


def test_one_frame_may_take_the_base_and_what_its_bytes_explain():
    assert DecodeTime().grant(7.0) == BASE_S + 7
    assert DecodeTime(99.0).grant(7.0) == BASE_S + 7  # however much is left
    assert DecodeTime(2.0, goes_by_size=False).grant(7.0) == 2


def test_what_frames_take_beyond_their_bytes_is_shared():
    shared = DecodeTime()
    for _ in range(100):
        shared.charge(5.0, 6.0)
    assert shared.grant(6.0) == BASE_S + 6
    shared.charge(9.0, 6.0)
    assert shared.grant(6.0) == BASE_S + 3 and not shared.is_spent
    shared.charge(1.0)  # a damaged one: all of it counts
    assert shared.is_spent
    with pytest.raises(DicomError, match="decode together: refused"):
        shared.grant(6.0)


def test_where_size_explains_nothing_all_counts():
    shared = DecodeTime(2.0, goes_by_size=False)
    shared.charge(1.5, 6.0)
    assert shared.grant(6.0) == 0.5


def test_what_a_thread_does_itself_is_counted():
    shared = DecodeTime(3.0)
    with shared.count_own():
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
    assert shared.grant(0.0) == pytest.approx(2.95, abs=0.04)
