"""A list of studies: read by several threads, each given or refused in its turn, and the scores of single runs."""

import threading

import numpy as np
import pytest
from fuzz.seeds import chest_header, save
from pydicom.uid import generate_uid

from alta_sdk import EngineError, Matcher, Study, StudyError
from alta_sdk.bench.synthetic import make_grey
from alta_sdk.engine import image_encoder
from alta_sdk.engine.closing import ClosableSession
from alta_sdk.matching import stream
from alta_sdk.matching.stream import stream_studies


def make_study(seed):
    noise = np.random.default_rng(seed).integers(0, 40, (256, 256), dtype=np.uint8)
    return Study.from_images(make_grey(256, 256) // 2 + noise)


@pytest.fixture(scope="module")
def studies():
    return [make_study(seed) for seed in range(7)]


def test_vectors_of_a_list_are_those_of_single_studies(bundle, studies, monkeypatch):
    monkeypatch.setattr(image_encoder, "ALONE_FIRST", 0)
    monkeypatch.setattr(image_encoder, "list_instruction_sets", lambda: ("amx_int8",))
    for runtime in ("onnxruntime", "openvino"):
        alone = [Matcher(bundle, runtime=runtime).embed(study).vector for study in studies]
        together = [one.vector for one in Matcher(bundle, runtime=runtime).embed(studies)]
        np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_readers_of_a_long_list_encode_it_with_the_vectors_of_single_studies(bundle, studies, monkeypatch, runtime):
    alone = [Matcher(bundle, runtime=runtime, threads=2).embed(study).vector for study in studies]
    monkeypatch.setattr(stream, "LONG", len(studies))
    runs = []
    with Matcher(bundle, runtime=runtime, threads=2) as matcher:
        monkeypatch.setattr(ClosableSession, "run", note_threads(runs))
        given = [one.vector for one in matcher.embed(studies)]
    np.testing.assert_array_equal(given, alone)
    by_readers = sum(name.startswith("alta-read-ahead") for name in runs)
    assert by_readers >= 4  # the first study's two, and those that were not read while the graph was loaded
    assert by_readers + runs.count(threading.current_thread().name) <= len(studies) + 1


def test_a_list_of_unknown_length_is_long_when_so_many_were_read(matcher, studies, monkeypatch):
    asked = []
    monkeypatch.setattr(matcher.engine, "encode_beside", lambda radiographs: asked.append(len(radiographs)))
    monkeypatch.setattr(stream, "LONG", 5)
    list(stream_studies(studies[:4], lambda one: one, (matcher,)))
    assert asked == []
    list(stream_studies(iter(studies), lambda one: one, (matcher,)))
    assert asked == [1, 1]


def note_threads(runs):
    run = ClosableSession.run

    def noted(session, inputs):
        runs.append(threading.current_thread().name)
        return run(session, inputs)

    return noted


def test_a_study_that_cannot_be_read_is_told_in_its_turn_and_stops_no_other(matcher, studies):
    def read(number):
        if number in (0, 3):
            raise StudyError(f"study {number} is damaged")
        return studies[number]

    found = list(stream_studies(range(7), read, (matcher,)))
    assert [str(one) for one in found if isinstance(one, StudyError)] == ["study 0 is damaged", "study 3 is damaged"]
    assert [one for one in found if isinstance(one, Study)] == [studies[n] for n in (1, 2, 4, 5, 6)]


def test_what_is_no_matter_of_a_study_ends_the_list_in_its_turn(matcher, studies):
    def read(number):
        if number == 2:
            raise EngineError("no process can be started")
        return studies[number]

    stream = stream_studies(range(7), read, (matcher,))
    assert [next(stream), next(stream)] == studies[:2]
    with pytest.raises(EngineError, match="no process"):
        next(stream)
    assert not [one for one in threading.enumerate() if one.name.startswith("alta-read-ahead")]


def test_a_study_of_another_profile_refuses_itself_alone(matcher, studies):
    header = chest_header(make_grey(64, 64).astype(np.uint16) * 16)
    other = Study.from_dicom(save(header), intensity_profile="minmax-v1", any_picture=True)
    found = list(stream_studies([studies[0], other, studies[1]], lambda one: one, (matcher,)))
    assert found == [studies[0], other, studies[1]]
    with pytest.raises(EngineError, match="another intensity profile"):
        matcher.embed(other)


def test_a_hostile_study_leaves_the_others_what_they_may_read(tmp_path, monkeypatch):
    """What one study takes of parsing is its own: files that are read at once share nothing."""
    from alta_sdk.dicom import bounded_file
    from alta_sdk.study import lists
    from alta_sdk.study.lists import list_studies

    monkeypatch.setattr(lists, "KEPT_BYTES", 0)  # so that every file is read at its turn
    for name, elements in (("a", 3000), ("b", 0), ("c", 0)):
        header = chest_header(make_grey(64, 64).astype(np.uint16) * 16)
        header.StudyInstanceUID = generate_uid()
        for number in range(elements):
            header.add_new(0x00091000 + 0x10000 * 2 * number, "LO", "")
        (tmp_path / f"{name}.dcm").write_bytes(save(header))
    entries = list_studies(tmp_path)
    monkeypatch.setattr(bounded_file, "MAX_READS", 2000)
    readers = [entry.reader.begin_study() for entry in entries]
    with pytest.raises(Exception, match="more elements"):
        readers[0].budget.take(5000)
    assert all(reader.budget is not readers[0].budget for reader in readers[1:])
    assert len(entries[1].read().files) == 1
    assert entries[1].read().files[0].read_image().has_pixels
