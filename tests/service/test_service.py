"""The whole service: what is sent to it comes out as a report, what is asked of it is done, and it ends in order."""

import logging
import shutil
import threading
import time
from dataclasses import replace

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from alta_sdk.errors import ServiceError
from alta_sdk.service.commanding import command_service
from alta_sdk.service.records import StudyState
from alta_sdk.service.service import Service
from alta_sdk.service.settings import Destination, DicomPeer, Web
from alta_sdk.service.status import read_status
from service.fixtures import ACCESSION, NAME, PATIENT_ID, make_radiograph, write_image
from service.peers import find_free_port, start_storescp, store, wait_until
from service.running import make_destination, make_service_settings, run_service, wait_for_state

DONE, REFUSED, FAILED = StudyState.DONE, StudyState.REFUSED, StudyState.FAILED


@pytest.fixture
def site_key(tmp_path):
    """The key of tests/service/fixtures.py as a file, so that keys of studies can be told."""
    path = tmp_path / "site.key"
    path.write_text(bytes(range(32)).hex())
    path.chmod(0o600)
    return path


@pytest.fixture
def settings(tmp_path, bundle, site_key):
    return make_service_settings(tmp_path / "state", bundle, site_key=site_key)


@pytest.fixture
def peer(tmp_path):
    with start_storescp(tmp_path / "pacs") as started:
        yield started


def send(service, folder, *images):
    """Send images to a service; return their studies' keys."""
    from service.fixtures import key_of

    files = [write_image(folder / f"{image.SOPInstanceUID}.dcm", image) for image in images]
    done = store(service.receiver.port, *files)
    assert done.returncode == 0, done.stderr
    return [key_of(image.StudyInstanceUID) for image in images]


def test_what_storescu_sends_comes_to_the_destination_as_a_report(settings, peer, tmp_path):
    settings = replace(settings, destinations=(make_destination(peer),))
    image = make_radiograph()
    with run_service(settings) as service:
        (key,) = send(service, tmp_path / "sent", image)
        wait_for_state(service, key, DONE)
        told = service.audit.list_events(key)
    (file,) = peer.folder.iterdir()
    report = dcmread(file)
    assert report.StudyInstanceUID == image.StudyInstanceUID and report.PatientID == PATIENT_ID
    assert {"received", "scored", "sent"} <= {one.action for one in told}


def test_two_studies_mixed_on_one_association_are_two_results(settings, peer, tmp_path):
    settings = replace(settings, destinations=(make_destination(peer),))
    first, second = generate_uid(), generate_uid()
    images = [
        make_radiograph(study_uid=uid, view=view, size=size)
        for view, size in (("PA", 64), ("LL", 72))
        for uid in (first, second)
    ]
    with run_service(settings) as service:
        for key in set(send(service, tmp_path / "sent", *images)):
            wait_for_state(service, key, DONE)
            assert len(service.store.list_instances(key)) == 2
    assert {dcmread(file).StudyInstanceUID for file in peer.folder.iterdir()} == {first, second}


def test_the_same_images_sent_twice_are_one_result(settings, tmp_path):
    image = make_radiograph()
    with run_service(settings) as service:
        (key,) = send(service, tmp_path / "sent", image)
        before = wait_for_state(service, key, DONE)
        send(service, tmp_path / "sent", image)
        time.sleep(3 * settings.quiet_seconds)
        assert service.store.get_study(key) == before
        assert len(service.store.list_results(key)) == 1


def test_no_identifier_is_in_any_log(settings, peer, tmp_path, caplog):
    settings = replace(settings, destinations=(make_destination(peer),))
    good, bad = make_radiograph(), make_radiograph(view="LL")
    with caplog.at_level(logging.INFO), run_service(settings) as service:
        keys = send(service, tmp_path / "sent", good, bad)
        for key in keys:
            wait_for_state(service, key, DONE, REFUSED)
        status = str(read_status(settings))
    for secret in (NAME, PATIENT_ID, ACCESSION, good.StudyInstanceUID, bad.SOPInstanceUID):
        assert secret not in caplog.text and secret not in status
    assert all(key in caplog.text for key in keys)


def test_one_service_serves_a_state_folder(settings):
    with run_service(settings), pytest.raises(ServiceError, match="runs on this state folder already"):
        Service(settings).start()
    with run_service(settings):
        pass


@pytest.mark.parametrize("fault", ["engine", "labels", "port"])
def test_a_service_that_cannot_start_leaves_nothing_running(settings, fault, tmp_path, bundle):
    choice = settings.engines[0]
    changed = {
        "engine": replace(settings, engines=(replace(choice, path=tmp_path),)),
        "labels": replace(settings, engines=(replace(choice, labels="unheard-of"),)),
        "port": settings,
    }[fault]
    with run_service(settings) if fault == "port" else _nothing() as other:
        if fault == "port":
            taken = replace(settings.receiving, port=other.receiver.port)
            changed = replace(settings, state=tmp_path / "other", receiving=taken)
        threads = threading.active_count()
        with pytest.raises(ServiceError, match="engine|port|label"):
            Service(changed).start()
        wait_until(lambda: threading.active_count() <= threads, "threads that end")
    assert find_free_port()
    with run_service(settings):  # the folder is free again
        pass


class _nothing:
    def __enter__(self):
        return None

    def __exit__(self, *_):
        return None


class TestOrders:
    """What `alta service` asks, of a service that runs and without one."""

    def test_a_study_is_retried_by_the_service_that_runs(self, settings, tmp_path):
        with run_service(settings) as service:
            (key,) = send(service, tmp_path / "sent", make_radiograph(view="LL"))
            refused = wait_for_state(service, key, REFUSED)
            told = command_service(settings, "retry", key, "somebody", most_seconds=60)
            assert told == "study waits for its scoring"

            def is_again():
                now = service.store.get_study(key)
                return now if now.state is REFUSED and now.changed_at > refused.changed_at else None

            again = wait_until(is_again, "the study refused again")
            assert again.reason == refused.reason
            assert "retried" in {one.action for one in service.audit.list_events(key)}

    @pytest.mark.parametrize("runs", [True, False])
    def test_what_cannot_be_done_is_told_with_its_reason(self, settings, tmp_path, runs):
        with run_service(settings) as service:
            (key,) = send(service, tmp_path / "sent", make_radiograph())
            wait_for_state(service, key, DONE)
            if runs:
                self.check_refusals(settings, key)
        if not runs:
            self.check_refusals(settings, key)

    def check_refusals(self, settings, key):
        for verb, argument, told in (
            ("retry", key, "only one that is refused or failed"),
            ("retry", "0" * 32, "no study has this key"),
            ("erase", "0" * 32, "no study has this key"),
            ("dance", "", "order is unknown"),
        ):
            with pytest.raises(ServiceError, match=told):
                command_service(settings, verb, argument, "somebody", most_seconds=60)

    def test_a_study_whose_images_are_gone_is_not_retried(self, settings, tmp_path):
        with run_service(settings) as service:
            (key,) = send(service, tmp_path / "sent", make_radiograph(view="LL"))
            wait_for_state(service, key, REFUSED)
            service.spool.remove(service.store.forget_images(key))
            with pytest.raises(ServiceError, match="send the study again, then retry"):
                command_service(settings, "retry", key, "somebody", most_seconds=60)

    def test_without_a_service_the_command_acts_by_itself(self, settings, tmp_path):
        with run_service(settings) as service:
            (key,) = send(service, tmp_path / "sent", make_radiograph(view="LL"))
            wait_for_state(service, key, REFUSED)
        assert not read_status(settings)["runs"]
        assert command_service(settings, "retry", key, "somebody", most_seconds=1) == "study waits for its scoring"
        assert read_status(settings)["studies"]["complete"] == 1
        assert command_service(settings, "erase", key, "somebody", most_seconds=1) == "study is erased"
        with pytest.raises(ServiceError, match="no service runs"):
            command_service(settings, "reload", "", "somebody", most_seconds=1)

    def test_a_folder_without_a_queue_is_told(self, settings):
        with pytest.raises(ServiceError, match="no service has run here"):
            read_status(settings)
        assert not settings.state.exists()


class TestReload:
    """An engine that is replaced on disk is picked up on order, and not before."""

    @pytest.fixture
    def replaced(self, settings, bundle, tmp_path, export_options):
        """Settings with an engine of its own, and a function that puts another in its place."""
        from conftest import export_quietly

        path = tmp_path / "engine.alta"
        shutil.copytree(bundle, path)

        def put_other():
            shutil.rmtree(path)
            export_quietly(export_options(path, fusion_mode="present"))

        return replace(settings, engines=(replace(settings.engines[0], path=path, heat_map=True),)), put_other

    def test_it_is_the_old_one_until_then(self, replaced, tmp_path):
        settings, put_other = replaced
        with run_service(settings) as service:
            (before,) = service.engines.list_hashes().values()
            put_other()
            (key,) = send(service, tmp_path / "sent", make_radiograph())
            wait_for_state(service, key, DONE)
            assert service.store.list_results(key)[0].engine_hash == before
            told = command_service(settings, "reload", "", "somebody", most_seconds=100)
            (after,) = service.engines.list_hashes().values()
            assert after != before and after in told
            event = next(one for one in service.audit.list_events() if one.action == "reloaded")
            assert event.actor == "somebody" and after in event.detail and before in event.detail
            (key,) = send(service, tmp_path / "sent", make_radiograph(size=72))
            wait_for_state(service, key, DONE)
            assert service.store.list_results(key)[0].engine_hash == after

    def test_one_that_cannot_be_opened_leaves_the_old_one_at_work(self, replaced, tmp_path):
        settings, _ = replaced
        with run_service(settings) as service:
            before = service.engines.list_hashes()
            shutil.rmtree(settings.engines[0].path)
            with pytest.raises(ServiceError, match='engine "chest" cannot be opened'):
                command_service(settings, "reload", "", "somebody", most_seconds=100)
            assert service.engines.list_hashes() == before
            (key,) = send(service, tmp_path / "sent", make_radiograph())
            wait_for_state(service, key, DONE)


def test_a_service_says_what_works(settings):
    with run_service(replace(settings, web=Web(port=0))) as service:
        checks = service.readiness()
        assert all(one.is_ok for one in checks), checks
        assert {"receiving", "engines", "scoring", "orders", "retention", "completion"} <= {one.name for one in checks}
        service.reception.drain()
        told = next(one for one in service.readiness() if one.name == "receiving")
        assert not told.is_ok and told.told == "the service is stopping"


def test_what_waits_is_done_by_the_next_start(settings, tmp_path):
    with run_service(replace(settings, quiet_seconds=3600.0)) as service:
        (key,) = send(service, tmp_path / "sent", make_radiograph())
        assert service.store.get_study(key).state is StudyState.RECEIVING
    (settings.state / "spool" / "left-over.dcm").write_bytes(b"x")
    with run_service(settings) as service:
        wait_for_state(service, key, DONE)
        assert not (settings.state / "spool" / "left-over.dcm").exists()


def test_nothing_waits_for_a_destination_that_is_configured_no_longer(settings, tmp_path):
    absent = Destination("old", DicomPeer("OLD", "127.0.0.1", find_free_port(), timeout_seconds=5.0))
    with run_service(replace(settings, destinations=(absent,))) as service:
        (key,) = send(service, tmp_path / "sent", make_radiograph())
        wait_for_state(service, key, StudyState.SCORED, StudyState.DELIVERING)
    with run_service(settings) as service:
        assert service.store.get_study(key).state is DONE
        assert "given up" in {one.action for one in service.audit.list_events(key)}


def test_a_clock_that_jumps_completes_nothing(settings, tmp_path, monkeypatch):
    settings = replace(settings, quiet_seconds=3600.0)
    with run_service(settings) as service:
        (key,) = send(service, tmp_path / "sent", make_radiograph())
        real = time.time
        for jump in (1e9, -1e9):
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda jump=jump: real() + jump)
                time.sleep(1.0)
                assert service.store.get_study(key).state is StudyState.RECEIVING


def test_erasing_leaves_no_byte_of_a_study(settings, peer, tmp_path, caplog):
    settings = replace(settings, destinations=(make_destination(peer),))
    gone, kept = make_radiograph(), make_radiograph(size=72)
    with caplog.at_level(logging.DEBUG), run_service(settings) as service:
        key, other = send(service, tmp_path / "sent", gone, kept)
        for one in (key, other):
            wait_for_state(service, one, DONE)
        uids = [gone.StudyInstanceUID, gone.SeriesInstanceUID, gone.SOPInstanceUID]
        uids += [one.sop_uid for one in service.store.list_results(key)[0].objects]
        assert find_text(settings.state, uids)
        command_service(settings, "erase", key, "somebody", most_seconds=60)
        assert not find_text(settings.state, uids)
        assert find_text(settings.state, [kept.SOPInstanceUID])
        assert [one.action for one in service.audit.list_events(key)][0] == "erased"
        with pytest.raises(ServiceError, match="no study has this key"):
            command_service(settings, "erase", key, "somebody", most_seconds=60)
    assert not find_text(settings.state, uids)
    assert not any(uid in caplog.text for uid in uids)


def find_text(folder, texts):
    """Return the files of a folder that hold one of some texts."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in found if any(str(text).encode() in path.read_bytes() for text in texts)]
