"""Encoding radiographs: one batch a study, nothing twice, and the same bits in any company."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from alta_runtimes import SessionInfo, available
from alta_sdk import Engine, EngineError, Matcher, Slot, Study
from alta_sdk.engine import image_encoder
from alta_sdk.engine.image_encoder import ENTRY_BYTES, ImageEncoder, RadiographCache


class CountingSession:
    """A session whose rows depend on the batch if it is told so; it notes the size of every run."""

    def __init__(self, depends_on_batch=False):
        self.sizes = []
        self.depends_on_batch = depends_on_batch

    def run(self, inputs):
        size = len(inputs["slot"])
        self.sizes.append(size)
        rows = inputs["pixels"].mean(axis=(1, 2, 3)) + 1000 * inputs["slot"]
        company = size * 1e-3 if self.depends_on_batch else 0.0
        return {"cls": (rows + company)[:, None].astype(np.float32) * np.ones((1, 4), np.float32)}


def make_images(count, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, 224, 224), dtype=np.uint8))


def test_a_study_runs_as_one_batch_once_the_batch_has_proved_exact():
    session = CountingSession()
    encoder = ImageEncoder(session)
    encoder.encode(list(zip(make_images(4, seed=1), Slot, strict=True)))
    assert session.sizes == [1, 1, 1, 1, 4]  # the first batch of a size is run both ways
    encoder.encode(list(zip(make_images(4, seed=2), Slot, strict=True)))
    assert session.sizes[5:] == [4]


def test_a_batch_whose_rows_differ_from_single_runs_is_never_used():
    session, images = CountingSession(depends_on_batch=True), make_images(8)
    encoder = ImageEncoder(session)
    alone = [ImageEncoder(session).encode([(one, Slot.LATERAL)])[0] for one in images]
    session.sizes.clear()
    together = [
        vector
        for start in (0, 4)
        for vector in encoder.encode([(one, Slot.LATERAL) for one in images[start : start + 4]])
    ]
    np.testing.assert_array_equal(together, alone)
    assert session.sizes == [1] * 4 + [4] + [1] * 4


def open_gaining(session, monkeypatch, alone_first=0):
    monkeypatch.setattr(image_encoder, "ALONE_FIRST", alone_first)
    monkeypatch.setattr(image_encoder, "list_instruction_sets", lambda: ("avx512_vnni", "amx_int8"))
    session.info = SessionInfo("openvino", "", "cpu", 1)
    return ImageEncoder(session)


def test_radiographs_of_several_studies_run_as_one_batch_and_are_found_in_the_cache(monkeypatch):
    session, images = CountingSession(), make_images(13)
    encoder, studies = open_gaining(session, monkeypatch), [[(one, Slot.FRONTAL)] for one in images]
    encoder.encode_ahead(studies[:7])  # the last three are left for the next batch
    assert session.sizes == [1, 1, 1, 1, 4]
    encoder.encode_ahead(studies[1:7])  # its first study is known
    for study in studies[:4]:
        encoder.encode(study)
    assert len(session.sizes) == 5
    encoder.encode_ahead(studies[4:])
    assert session.sizes[5:] == [1] * 8 + [8]
    encoder.encode_ahead(studies[12:])  # one alone: encoded at its turn
    assert len(session.sizes) == 14
    found = [encoder.encode(study)[0] for study in studies]
    assert session.sizes[14:] == [1]
    alone = [ImageEncoder(CountingSession()).encode(study)[0] for study in studies]
    np.testing.assert_array_equal(found, alone)


def test_a_short_list_tries_no_batch(monkeypatch):
    session, images = CountingSession(), make_images(7)
    encoder, studies = open_gaining(session, monkeypatch, alone_first=3), [[(one, Slot.FRONTAL)] for one in images]
    for number, study in enumerate(studies[:3]):
        encoder.encode_ahead(studies[number:])
        encoder.encode(study)
    assert session.sizes == [1, 1, 1]
    encoder.encode_ahead(studies[3:])
    assert session.sizes[3:] == [1, 1, 1, 1, 4]


def test_a_study_larger_than_the_batch_runs_at_its_own_turn(monkeypatch):
    session = CountingSession()
    encoder = open_gaining(session, monkeypatch)
    encoder.encode_ahead([list(zip(make_images(4), Slot, strict=True)), [(make_images(5)[4], Slot.FRONTAL)]])
    encoder.encode_ahead([])
    assert session.sizes == []


def test_studies_whose_rows_would_differ_in_company_are_not_put_together(monkeypatch):
    session, images = CountingSession(depends_on_batch=True), make_images(8)
    encoder, studies = open_gaining(session, monkeypatch), [[(one, Slot.FRONTAL)] for one in images]
    for start in (0, 4):
        encoder.encode_ahead(studies[start : start + 4])
    found = [encoder.encode(study)[0] for study in studies]
    alone = [ImageEncoder(CountingSession(depends_on_batch=True)).encode(study)[0] for study in studies]
    np.testing.assert_array_equal(found, alone)
    assert session.sizes == [1] * 4 + [4] + [1] * 4


@pytest.mark.parametrize(
    ("runtime", "sets"), [("onnxruntime", ("amx_int8",)), ("openvino", ("avx512_vnni",)), ("openvino", ())]
)
def test_where_nothing_is_gained_by_batches_no_study_is_encoded_ahead(runtime, sets, monkeypatch):
    monkeypatch.setattr(image_encoder, "list_instruction_sets", lambda: sets)
    session = CountingSession()
    session.info = SessionInfo(runtime, "", "cpu", 1)
    encoder = ImageEncoder(session)
    assert encoder.together == 1
    encoder.encode_ahead([[(one, Slot.FRONTAL)] for one in make_images(4)])
    assert session.sizes == []


def test_an_engine_built_for_single_radiographs_is_run_one_by_one():
    class Narrow(CountingSession):
        def run(self, inputs):
            if len(inputs["slot"]) > 1:
                raise EngineError("batch is larger than the engine was built for")
            return super().run(inputs)

    session = Narrow()
    for seed in (1, 2):
        assert len(ImageEncoder(session).encode(list(zip(make_images(4, seed), Slot, strict=True)))) == 4
    assert session.sizes == [1] * 8


def test_what_was_encoded_costs_nothing_but_another_slot_is_another_vector():
    session, (image, other) = CountingSession(), make_images(2)
    encoder = ImageEncoder(session)
    first = encoder.encode([(image, Slot.FRONTAL)])[0]
    again, as_prior, new = encoder.encode(
        [(image.copy(), Slot.FRONTAL), (image, Slot.PRIOR_FRONTAL), (other, Slot.LATERAL)]
    )
    assert again is first
    assert not np.array_equal(as_prior, first)
    assert session.sizes == [1, 1, 1, 2]
    assert not new.flags.writeable
    assert new.base is None  # it does not keep its batch alive


def test_the_cache_is_bounded_and_drops_what_was_not_used_longest():
    cache = RadiographCache(2 * (ENTRY_BYTES + 4))
    for number in range(3):
        cache.put((b"x", number), (np.zeros(1, np.float32),))
        cache.get((b"x", 0))
    assert len(cache) == 2
    assert cache.get((b"x", 0)) is not None
    assert cache.get((b"x", 1)) is None


def test_threads_that_share_an_encoder_get_the_numbers_of_one():
    images = make_images(12)
    encoder = ImageEncoder(CountingSession(), RadiographCache(5 * (ENTRY_BYTES + 16)))
    expected = [ImageEncoder(CountingSession()).encode([(one, Slot.FRONTAL)])[0] for one in images]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: encoder.encode([(images[i % 12], Slot.FRONTAL)])[0], range(400)))
    np.testing.assert_array_equal(found, [expected[i % 12] for i in range(400)])
    assert len(encoder.cache) == 5


RUNTIMES = [info.name for info in available() if info.is_available]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_study_has_the_same_bits_in_a_batch_from_the_cache_and_alone(bundle, runtime):
    def open_engine():
        return Engine.open(bundle, runtime=runtime)

    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (240, 260), dtype=np.uint8) for _ in Slot]
    study = Study.from_images(*images)
    alone = {slot: open_engine().encode_radiograph(study.radiographs[slot], slot) for slot in Slot}
    warm = open_engine()
    warm.encode_radiographs(Study.from_images(*images[::-1]).radiographs)  # proves the batch of four
    half_seen = open_engine()
    half_seen.encode_radiograph(study.radiographs[Slot.PRIOR_FRONTAL], Slot.PRIOR_FRONTAL)
    for engine in (open_engine(), warm, half_seen, half_seen):
        for slot, vector in engine.encode_radiographs(study.radiographs).items():
            np.testing.assert_array_equal(vector, alone[slot])


def test_a_frontal_only_study_runs_one_radiograph_in_every_mode(bundle, monkeypatch):
    engine = Engine.open(bundle)
    sizes = []
    run = engine._images.run_all
    monkeypatch.setattr(engine._images, "run_all", lambda pixels, slot: sizes.append(len(slot)) or run(pixels, slot))
    for number, mode in enumerate(("frontal", "present", "published")):
        study = Study.from_images(np.full((250, 250), 40 * number, np.uint8), any_picture=True)
        Matcher(engine, fusion_mode=mode).embed(study)
    assert sizes == [1, 1, 1]
