"""Taking an object in where the disk or the queue does not do as it should: told, and nothing is left."""

import errno
import os
import signal
import sqlite3

import pytest
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from alta_sdk.service.reception import MAX_DATASET_BYTES, Outcome
from alta_sdk.service.syntaxes import list_storage_classes, list_syntaxes
from service.fixtures import encode, key_of, make_radiograph, open_side

posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX alone has the limit")


def take(side, image, data=None, **other):
    told = {"sop_class": str(image.SOPClassUID), "sop_uid": str(image.SOPInstanceUID), **other}
    syntax = told.pop("syntax", str(ExplicitVRLittleEndian))
    return side.reception.take(encode(image) if data is None else data, syntax=syntax, sender="SENDER", **told)


@posix_only
def test_a_full_disk_refuses_and_leaves_nothing(side, caplog):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        assert take(side, make_radiograph(size=1024)) is Outcome.OUT_OF_RESOURCES
        assert take(side, make_radiograph(size=64)) is Outcome.STORED
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(list(side.spool.folder.iterdir())) == 1
    assert "could not be kept: File too large" in caplog.text


def test_a_full_queue_file_refuses_and_leaves_nothing(side):
    pages = side.database.read("PRAGMA page_count")[0][0]
    side.database.read(f"PRAGMA max_page_count = {pages}")
    outcomes = [take(side, make_radiograph(StudyDescription="x" * 60)) for _ in range(60)]
    kept = outcomes.count(Outcome.STORED)
    assert outcomes[-1] is Outcome.OUT_OF_RESOURCES
    assert len(list(side.spool.folder.iterdir())) == kept == len(side.store.list_studies())
    side.database.read("PRAGMA max_page_count = 1000000")
    assert take(side, make_radiograph()) is Outcome.STORED


@pytest.mark.parametrize("step", ["os.fsync", "sync_folder"])
def test_a_file_that_does_not_get_to_the_disk_is_not_acknowledged(side, monkeypatch, step):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"alta_sdk.service.spool.{step}", fail)
        assert take(side, make_radiograph()) is Outcome.OUT_OF_RESOURCES
    assert list(side.spool.folder.iterdir()) == []
    assert side.store.list_studies() == []


def test_a_study_is_told_of_though_what_it_replaces_cannot_be_removed(side, monkeypatch):
    arrived, image = [], make_radiograph()
    take(side, image)
    side.reception.on_arrival = arrived.append

    def refuse(names):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(side.spool, "remove", refuse)
    image.PatientName = "Corrected"
    assert take(side, image) is Outcome.OUT_OF_RESOURCES
    [study] = side.store.list_studies()
    assert arrived == [study.key]


def test_a_row_that_is_not_durable_is_not_acknowledged(side, monkeypatch):
    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(side.store, "add_instance", fail)
    assert take(side, make_radiograph()) is Outcome.OUT_OF_RESOURCES
    assert list(side.spool.folder.iterdir()) == []


def test_whatever_is_raised_is_a_status_and_no_text(side, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("Secretperson")

    monkeypatch.setattr(side.store, "find_instance", fail)
    assert take(side, make_radiograph()) is Outcome.NOT_UNDERSTOOD
    assert "Secretperson" not in caplog.text


def test_a_disk_that_cannot_be_asked_refuses(side, monkeypatch):
    def fail():
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(side.spool, "measure_free_mib", fail)
    assert take(side, make_radiograph()) is Outcome.OUT_OF_RESOURCES
    assert "Input/output error" in side.reception.find_refusal()


def test_another_class_or_syntax_is_not_supported(side):
    assert take(side, make_radiograph(), sop_class="1.2.840.10008.5.1.4.1.1.2") is Outcome.NOT_SUPPORTED
    assert take(side, make_radiograph(), syntax="1.2.840.10008.1.2.4.100") is Outcome.NOT_SUPPORTED


def test_what_is_too_long_is_not_understood(side):
    assert take(side, make_radiograph(), data=bytes(MAX_DATASET_BYTES + 1)) is Outcome.NOT_UNDERSTOOD


def test_what_was_purged_and_comes_again_is_kept_again_and_nothing_else_happens(side):
    image = make_radiograph()
    take(side, image)
    key = key_of(image.StudyInstanceUID)
    side.store.complete_study(key)
    job = side.store.begin_scoring()
    side.store.refuse_study(job, "reason")
    side.spool.remove(side.store.forget_images(key))
    before = side.store.get_study(key)
    assert take(side, image) is Outcome.STORED
    assert side.store.get_study(key) == before
    [instance] = side.store.list_instances(key)
    assert side.spool.find(instance.file).exists()
    assert side.store.list_files() == {instance.file}


def test_outcomes_are_counted(side):
    image = make_radiograph()
    take(side, image)
    take(side, image, sop_uid=generate_uid())
    counted = side.reception.count_outcomes()
    assert counted == {Outcome.STORED: 1, Outcome.MISMATCH: 1} | dict.fromkeys(set(Outcome) - {0, 0xA900}, 0)


def test_back_pressure_is_logged_when_it_begins_and_ends(tmp_path, caplog):
    with open_side(tmp_path / "state", receiving={"queue_limit": 1}, quiet_seconds=3600.0) as side:
        for _ in range(5):
            take(side, make_radiograph())
        [study] = side.store.list_studies()
        side.store.erase_study(study.key)
        take(side, make_radiograph())
    told = [record.message for record in caplog.records if record.message.startswith("receiving")]
    assert told == ["receiving is refused: 1 studies wait, and 1 may", "receiving goes on"]


def test_a_refusal_is_audited_by_its_sender(side):
    take(side, make_radiograph(), sop_uid="1.2.3")
    [event] = side.audit.list_events()
    assert (event.actor, event.action, event.study_key) == ("SENDER", "refused", "")
    assert event.detail.startswith("0xA900")


def test_objects_that_come_from_many_threads_are_all_kept(side):
    from concurrent.futures import ThreadPoolExecutor

    study_uid = generate_uid()
    images = [make_radiograph(study_uid=study_uid, size=40 + number) for number in range(30)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda image: take(side, image), images * 2)) == {Outcome.STORED}
    kept = side.store.list_instances(key_of(study_uid))
    assert len(kept) == 30
    assert {instance.file for instance in kept} == {path.name for path in side.spool.folder.iterdir()}


def test_structured_reports_and_captures_are_no_storage_classes():
    assert set(list_storage_classes(allow_for_processing=True)) == {
        "1.2.840.10008.5.1.4.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.1",
        "1.2.840.10008.5.1.4.1.1.1.1.1",
    }


def test_a_syntax_without_a_decoder_is_not_offered(monkeypatch):
    from alta_sdk.errors import DicomError
    from alta_sdk.service import syntaxes

    def refuse(syntax, bits):
        raise DicomError("no decoder")

    assert "1.2.840.10008.1.2.4.90" in list_syntaxes()
    monkeypatch.setattr(syntaxes, "find_plugin", refuse)
    assert set(list_syntaxes()) == set(syntaxes.UNCOMPRESSED)
