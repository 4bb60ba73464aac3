"""Radiographs of long lists: on one processor each where that changes no bit, by a graph that is loaded once."""

import threading

import numpy as np
import pytest

from alta_runtimes import SessionInfo
from alta_sdk import EngineError, Slot
from alta_sdk.engine.image_encoder import ImageEncoder
from alta_sdk.engine.streams import Streams


class OneGraph:
    """A session that notes its runs; off: what another number of threads changes in its numbers."""

    def __init__(self, off=0.0):
        self.info = SessionInfo("onnxruntime", "", "cpu", 2)
        self.off, self.sizes = off, []

    def run(self, inputs):
        self.sizes.append(len(inputs["slot"]))
        rows = inputs["pixels"].mean(axis=(1, 2, 3)) + 1000 * inputs["slot"] + self.off
        return {"cls": rows[:, None].astype(np.float32) * np.ones((1, 4), np.float32)}


class Opening:
    """What loads the graph again; notes for how many runs."""

    def __init__(self, session):
        self.session, self.counts = session, []

    def __call__(self, count):
        self.counts.append(count)
        if isinstance(self.session, Exception):
            raise self.session
        return self.session


def make_study(seed, radiographs=1):
    images = np.random.default_rng(seed).integers(0, 256, (radiographs, 32, 32), dtype=np.uint8)
    return list(zip(images, Slot, strict=False))


def open_streams(beside, count=2):
    main = OneGraph()
    images, opening = ImageEncoder(main), Opening(beside)
    return Streams(images, opening, count), images, main, opening


def test_after_one_study_that_ran_both_ways_readers_encode_alone_and_fill_the_cache():
    beside = OneGraph()
    streams, images, main, opening = open_streams(beside)
    studies = [make_study(seed, radiographs) for seed, radiographs in enumerate((2, 1, 4))]
    for study in studies:
        streams.encode(study)
    assert opening.counts == [2]
    assert beside.sizes == [1] * 7  # never a batch
    ran = len(main.sizes)
    found = [images.encode(study) for study in studies]
    assert len(main.sizes) == ran
    assert all(
        np.array_equal(*both)
        for study, one in zip(studies, found, strict=True)
        for both in zip(ImageEncoder(OneGraph()).encode(study), one, strict=True)
    )


def test_a_processor_whose_bits_depend_on_the_number_of_threads_encodes_nothing_so():
    beside = OneGraph(off=1e-3)
    streams, images, main, opening = open_streams(beside)
    for seed in range(3):
        streams.encode(make_study(seed))
    assert opening.counts == [2]
    assert beside.sizes == [1]
    np.testing.assert_array_equal(images.encode(make_study(0))[0], ImageEncoder(OneGraph()).encode(make_study(0))[0])


@pytest.mark.parametrize("error", [EngineError("image.onnx: cannot be loaded"), EngineError("changed")])
def test_a_graph_that_cannot_be_loaded_again_is_tried_once_and_stops_nobody(error):
    streams, images, main, opening = open_streams(error)
    for seed in range(3):
        streams.encode(make_study(seed))
    assert opening.counts == [2]
    assert main.sizes == []


def test_one_thread_or_no_radiograph_loads_nothing():
    for count, study in ((1, make_study(0)), (2, [])):
        streams, _, main, opening = open_streams(OneGraph(), count)
        streams.encode(study)
        assert opening.counts == main.sizes == []


def test_threads_that_come_while_it_is_loaded_do_not_wait_and_load_nothing():
    loading, go_on = threading.Event(), threading.Event()
    beside = OneGraph()

    def load(count):
        loading.set()
        assert go_on.wait(60)
        return beside

    streams = Streams(ImageEncoder(OneGraph()), load, 2)
    first = threading.Thread(target=streams.encode, args=(make_study(0),))
    first.start()
    assert loading.wait(60)
    streams.encode(make_study(1))  # returns at once
    assert beside.sizes == []
    go_on.set()
    first.join(60)
    streams.encode(make_study(2))
    assert beside.sizes == [1, 1]


def test_no_more_run_at_once_than_there_are_threads():
    running, most = [], []

    class Slow(OneGraph):
        def run(self, inputs):
            running.append(1)
            most.append(len(running))
            try:
                return super().run(inputs)
            finally:
                running.pop()

    streams, *_ = open_streams(Slow())
    streams.encode(make_study(0))
    threads = [threading.Thread(target=streams.encode, args=(make_study(seed),)) for seed in range(1, 9)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(most) == 9
    assert max(most) <= 2


def test_a_closed_one_loads_and_encodes_nothing():
    beside = OneGraph()
    streams, _, _, opening = open_streams(beside)
    streams.encode(make_study(0))
    streams.close()
    streams.encode(make_study(1))
    assert opening.counts == [2]
    assert beside.sizes == [1]
