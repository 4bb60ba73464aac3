"""dcmtk's storescu sends to the receiving side: what is kept, and what each refusal is called."""

import logging
import socket
import threading
import time

import pytest
from conftest import DATA_DIR
from pydicom import dcmread
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

from alta_sdk.service.listener import make_node
from alta_sdk.service.records import StudyState
from alta_sdk.service.syntaxes import DIGITAL_XRAY_FOR_PROCESSING
from service.fixtures import (
    ACCESSION,
    NAME,
    PATIENT_ID,
    encode,
    key_of,
    make_radiograph,
    open_side,
    read_dataset_bytes,
    write_image,
)
from service.peers import run_program, start_storescp, store, wait_until

REFUSED_STATUS = {0xA700: "OutOfResources", 0xA900: "DataSetDoesNotMatchSOPClass", 0xC000: "CannotUnderstand"}


def wait_complete(side, key):
    return wait_until(lambda: (job := side.store.get_study(key)) and job.state is StudyState.COMPLETE and job, "state")


def test_echo_is_answered(side):
    done = run_program("echoscu", "-aet", "SENDER", "-aec", "ALTA", "127.0.0.1", side.port)
    assert done.returncode == 0, done.stderr


def test_a_stored_radiograph_is_kept_and_its_study_completes_after_the_quiet_time(side, tmp_path):
    image = make_radiograph()
    done = store(side.port, write_image(tmp_path / "a.dcm", image))
    assert done.returncode == 0, done.stderr
    job = wait_complete(side, key_of(image.StudyInstanceUID))
    assert (job.revision, job.sender) == (1, "SENDER")
    [instance] = side.store.list_instances(job.key)
    kept = dcmread(side.spool.find(instance.file))
    assert kept.PixelData == image.PixelData
    assert kept.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian == instance.syntax
    [event] = side.audit.list_events(job.key)
    assert (event.actor, event.action) == ("SENDER", "received")


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=["implicit", "explicit", "big-endian", "deflated"],
)
def test_a_data_set_is_kept_byte_for_byte_as_a_storescp_keeps_it(side, tmp_path, syntax):
    file = write_image(tmp_path / "a.dcm", make_radiograph(), syntax)
    assert_kept_as_by_storescp(side, tmp_path, file)


@pytest.mark.parametrize("option", ["+e1", "+eb", "+ee", "+rle", "+j2k", "+j2r", "+jls", "+jln"])
def test_compressed_pixels_are_kept_byte_for_byte(side, tmp_path, option):
    plain = write_image(
        tmp_path / "plain.dcm",
        make_radiograph(BitsStored=8, HighBit=7, BitsAllocated=8, PixelData=bytes(range(64)) * 64),
    )
    file = tmp_path / "compressed.dcm"
    compress(plain, file, option)
    if dcmread(file).file_meta.TransferSyntaxUID not in side.reception.syntaxes:  # no decoder is installed
        assert store(side.port, file).returncode != 0
        assert side.store.list_studies() == []
        return
    assert_kept_as_by_storescp(side, tmp_path, file)


def compress(plain, file, option):
    if option == "+rle":
        done = run_program("dcmcrle", plain, file)
    elif option in ("+jls", "+jln"):
        done = run_program("dcmcjpls", "+en" if option == "+jln" else "+el", plain, file)
    elif option in ("+j2k", "+j2r"):
        image = dcmread(plain)
        syntax, how = (JPEG2000Lossless, {}) if option == "+j2k" else (JPEG2000, {"j2k_cr": [4]})
        image.compress(syntax, encoding_plugin="pylibjpeg", **how)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID
        image.save_as(file)
        return
    else:
        done = run_program("dcmcjpeg", option, plain, file)
    assert done.returncode == 0, done.stderr


def assert_kept_as_by_storescp(side, tmp_path, file):
    with start_storescp(tmp_path / "reference", "+xa", "+B") as peer:
        assert store(peer.port, file, called="STORESCP").returncode == 0
        [reference] = wait_until(lambda: list(peer.folder.iterdir()), "storescp's file")
    done = store(side.port, file)
    assert done.returncode == 0, done.stderr
    [key] = side.store.list_keys(StudyState.RECEIVING) or side.store.list_keys(StudyState.COMPLETE)
    [instance] = side.store.list_instances(key)
    kept = side.spool.find(instance.file)
    assert read_dataset_bytes(kept) == read_dataset_bytes(reference)
    assert dcmread(kept).file_meta.TransferSyntaxUID == dcmread(file).file_meta.TransferSyntaxUID


@pytest.mark.parametrize("name", ["RG1_J2KI.dcm", "RG3_J2KI.dcm"])
def test_published_jpeg_2000_comes_through_untouched(side, data_dir, name):
    file = DATA_DIR / "dicom" / name
    done = store(side.port, file)
    assert done.returncode == 0, done.stderr
    [key] = side.store.list_keys(StudyState.RECEIVING) or side.store.list_keys(StudyState.COMPLETE)
    [instance] = side.store.list_instances(key)
    kept, sent = (dcmread(path) for path in (side.spool.find(instance.file), file))
    assert kept.PixelData == sent.PixelData
    assert kept.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


@pytest.mark.parametrize(
    ("calling", "called", "told"),
    [
        ("STRANGER", "ALTA", "Calling AE Title Not Recognized"),
        ("SENDER", "OTHER", "Called AE Title Not Recognized"),
    ],
)
def test_wrong_titles_are_rejected_as_the_standard_says(side, tmp_path, calling, called, told):
    done = store(side.port, write_image(tmp_path / "a.dcm", make_radiograph()), calling=calling, called=called)
    assert done.returncode != 0
    assert told in done.stderr + done.stdout
    assert side.store.list_studies() == []


def test_nobody_may_send_where_no_title_is_listed(tmp_path):
    with open_side(tmp_path / "state", receiving={"calling_ae_titles": ()}) as side:
        done = store(side.port, write_image(tmp_path / "a.dcm", make_radiograph()))
        assert "Calling AE Title Not Recognized" in done.stderr + done.stdout


def test_everybody_may_send_where_a_star_is_listed(tmp_path):
    with open_side(tmp_path / "state", receiving={"calling_ae_titles": ("*",)}) as side:
        done = store(side.port, write_image(tmp_path / "a.dcm", make_radiograph()), calling="WHOEVER")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "sop_class", [CTImageStorage, "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"], ids=["ct", "sr", "sc"]
)
def test_no_context_is_accepted_for_what_is_not_scored(side, tmp_path, sop_class):
    done = store(side.port, write_image(tmp_path / "a.dcm", make_radiograph(sop_class=sop_class)))
    assert done.returncode != 0
    assert "No presentation context" in done.stderr + done.stdout or "No Acceptable" in done.stderr + done.stdout
    assert side.store.list_studies() == []


def test_raw_detector_data_are_taken_only_with_their_option(tmp_path):
    file = write_image(tmp_path / "a.dcm", make_radiograph(sop_class=DigitalXRayImageStorageForProcessing))
    with open_side(tmp_path / "without") as side:
        assert store(side.port, file).returncode != 0
        assert DIGITAL_XRAY_FOR_PROCESSING not in side.reception.storage_classes
    with open_side(tmp_path / "with", receiving={"allow_for_processing": True}) as side:
        assert store(side.port, file).returncode == 0


def test_what_names_another_object_than_its_data_set_is_refused_with_a900(side):
    status = send_raw(side, make_radiograph(), sop_uid=generate_uid())
    assert status == 0xA900


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "no-study", "uid-with-letters", "two-uids", "twice"])
def test_what_is_no_data_set_is_refused_with_c000(side, damage):
    image = make_radiograph()
    data = encode(image)
    if damage == "garbage":
        data = bytes(range(256)) * 20
    elif damage == "cut":
        data = data[:60]
    elif damage == "empty":
        data = b"\0" * 2
    elif damage == "no-study":
        del image.StudyInstanceUID
        data = encode(image)
    elif damage == "uid-with-letters":
        data = data.replace(image.StudyInstanceUID.encode(), b"x" * len(image.StudyInstanceUID))
    elif damage == "two-uids":
        image.SeriesInstanceUID = ["1.2.3", "1.2.4"]
        data = encode(image)
    else:
        data = data[: 8 + len(encode_sop_class(image))] + data
    assert send_raw(side, image, data=data) == 0xC000
    assert side.store.list_studies() == []
    assert list(side.spool.folder.iterdir()) == []


def encode_sop_class(image):
    return image.SOPClassUID.encode() + b"\0" * (len(image.SOPClassUID) % 2)


def associate(side, sop_class="1.2.840.10008.1.1"):
    """Return an association by pynetdicom, for what no program sends."""
    node = make_node("SENDER")
    node.add_requested_context(sop_class, ExplicitVRLittleEndian)
    association = node.associate("127.0.0.1", side.port, ae_title="ALTA")
    assert association.is_established
    return association


def send_raw(side, image, *, data=None, sop_uid=None):
    """Store a data set of any bytes by pynetdicom; return the status."""
    from io import BytesIO

    from pynetdicom.dimse_primitives import C_STORE

    association = associate(side, image.SOPClassUID)
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = image.SOPClassUID
    request.AffectedSOPInstanceUID = sop_uid or image.SOPInstanceUID
    request.Priority = 2
    request.DataSet = BytesIO(encode(image) if data is None else data)
    association._reactor_checkpoint.clear()
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    return answer.Status


def test_the_same_object_again_is_acknowledged_and_nothing_happens(side, tmp_path):
    file = write_image(tmp_path / "a.dcm", image := make_radiograph())
    assert store(side.port, file).returncode == 0
    job = wait_complete(side, key_of(image.StudyInstanceUID))
    assert store(side.port, file).returncode == 0
    assert side.store.get_study(job.key) == job
    assert len(list(side.spool.folder.iterdir())) == 1


def test_a_corrected_header_replaces_the_object(side, tmp_path):
    image = make_radiograph()
    assert store(side.port, write_image(tmp_path / "a.dcm", image)).returncode == 0
    image.ViewPosition = "AP"
    assert store(side.port, write_image(tmp_path / "b.dcm", image)).returncode == 0
    [instance] = side.store.list_instances(key_of(image.StudyInstanceUID))
    assert dcmread(side.spool.find(instance.file)).ViewPosition == "AP"
    assert [path.name for path in side.spool.folder.iterdir()] == [instance.file]


def test_a_late_object_of_a_study_in_scoring_makes_a_new_revision(side, tmp_path):
    study_uid = generate_uid()
    assert store(side.port, write_image(tmp_path / "a.dcm", make_radiograph(study_uid=study_uid))).returncode == 0
    wait_complete(side, key_of(study_uid))
    job = side.store.begin_scoring()
    assert store(side.port, write_image(tmp_path / "b.dcm", make_radiograph(study_uid=study_uid))).returncode == 0
    assert wait_complete(side, job.key).revision == 2
    assert len(side.store.list_instances(job.key)) == 2
    assert not side.store.refuse_study(job, "too late")


def test_two_studies_interleaved_on_one_association_are_two_studies(side, tmp_path):
    one, other = generate_uid(), generate_uid()
    files = [
        write_image(tmp_path / f"{number}.dcm", make_radiograph(study_uid=uid))
        for number, uid in enumerate((one, other, one, other))
    ]
    done = store(side.port, *files)
    assert done.returncode == 0, done.stderr
    for uid in (one, other):
        assert len(side.store.list_instances(wait_complete(side, key_of(uid)).key)) == 2


def test_nothing_is_taken_while_the_service_drains(side, tmp_path):
    side.reception.drain()
    done = store(side.port, write_image(tmp_path / "a.dcm", make_radiograph()))
    assert "OutOfResources" in done.stdout + done.stderr
    assert "stopping" in side.reception.find_refusal()


def test_nothing_is_taken_under_the_reserve_of_the_disk(tmp_path):
    with open_side(tmp_path / "state", receiving={"reserve_mib": 1 << 40}) as side:
        done = store(side.port, write_image(tmp_path / "a.dcm", make_radiograph()))
        assert "OutOfResources" in done.stdout + done.stderr
        assert "reserve" in side.reception.find_refusal()
        assert side.store.list_studies() == []


def test_a_full_queue_refuses_new_studies_and_takes_the_rest_of_those_that_came(tmp_path):
    study_uid = generate_uid()
    first = write_image(tmp_path / "a.dcm", make_radiograph(study_uid=study_uid))
    rest = write_image(tmp_path / "b.dcm", make_radiograph(study_uid=study_uid))
    other = write_image(tmp_path / "c.dcm", make_radiograph())
    with open_side(tmp_path / "state", receiving={"queue_limit": 1}, quiet_seconds=3600.0) as side:
        assert store(side.port, first).returncode == 0
        refused = store(side.port, other)
        assert "OutOfResources" in refused.stdout + refused.stderr
        assert store(side.port, rest).returncode == 0
        assert len(side.store.list_instances(key_of(study_uid))) == 2
        assert "may" in side.reception.find_refusal()


def test_no_identifier_is_in_any_log(side, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    image = make_radiograph()
    store(side.port, write_image(tmp_path / "a.dcm", image))
    store(side.port, write_image(tmp_path / "a.dcm", image), called="WRONG")
    send_raw(side, image, sop_uid="1.2.3.4.5.6.7.8.9")
    send_raw(side, image, data=encode(image)[:300])
    side.reception.drain()
    store(side.port, write_image(tmp_path / "b.dcm", make_radiograph()))
    text = caplog.text + repr(side.audit.list_events())
    assert "0xA900" in text
    for secret in (NAME, PATIENT_ID, ACCESSION, image.StudyInstanceUID, image.SOPInstanceUID, "1.2.3.4.5.6.7.8.9"):
        assert str(secret) not in text


def test_of_forty_associations_at_once_each_is_served_or_told_the_limit(side, tmp_path):
    files = [write_image(tmp_path / f"{number}.dcm", make_radiograph(size=256)) for number in range(40)]
    ended = [None] * len(files)

    def send(number):
        ended[number] = store(side.port, files[number])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [done.stdout + done.stderr for done in ended if done.returncode]
    assert all("Local Limit Exceeded" in text for text in told), told
    served = len(files) - len(told)
    assert served >= 8
    assert len(side.store.list_studies()) == served


@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\xff\xff\xff\xff" + b"\0" * 64])
def test_garbage_before_an_association_ends_the_connection_alone(side, garbage):
    with socket.create_connection(("127.0.0.1", side.port), 120) as connection:
        connection.sendall(garbage)
        connection.settimeout(120)
        while connection.recv(4096):
            pass
    assert run_program("echoscu", "-aet", "SENDER", "-aec", "ALTA", "127.0.0.1", side.port).returncode == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        b"\x04\x00\x7f\xff\xff\xff" + b"\0" * 64,  # a PDU of two gigabytes
        b"\x04\x00\x00\x00\x00\x0a" + b"\x00\x00\x00\x06" + b"\x01\x03" + b"junk",  # a command that is none
        b"\x04\x00\x00\x00\x00\x06" + b"\x00\x00\x00\x02" + b"\xff\x03",  # of no presentation context
    ],
    ids=["unknown", "two-gigabytes", "no-command", "no-context"],
)
def test_garbage_after_the_association_ends_it_alone(side, garbage, monkeypatch):
    errors = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    association = associate(side)
    association.dul.socket.socket.sendall(garbage)
    wait_until(lambda: not association.is_established, "the end of the association")
    wait_until(lambda: side.receiver.count_associations() == 0, "a free place")
    assert run_program("echoscu", "-aet", "SENDER", "-aec", "ALTA", "127.0.0.1", side.port).returncode == 0
    association.abort()
    assert errors == []


def test_a_message_that_never_ends_is_cut_off(side, monkeypatch):
    from alta_sdk.service import listener

    monkeypatch.setattr(listener, "MAX_MESSAGE_BYTES", 1 << 20)
    assert send_raw(side, image := make_radiograph()) == 0
    association = associate(side, image.SOPClassUID)
    fragment = bytes([association.accepted_contexts[0].context_id, 0]) + bytes(60_000)
    pdu = b"\x04\x00" + (len(fragment) + 4).to_bytes(4, "big") + len(fragment).to_bytes(4, "big") + fragment
    with pytest.raises(OSError):
        for _ in range(10_000):
            association.dul.socket.socket.sendall(pdu)
    association.abort()


def test_a_silent_connection_holds_no_place(tmp_path):
    with open_side(tmp_path / "state", receiving={"maximum_associations": 2}) as side:
        silent = [socket.create_connection(("127.0.0.1", side.port), 120) for _ in range(20)]
        assert run_program("echoscu", "-aet", "SENDER", "-aec", "ALTA", "127.0.0.1", side.port).returncode == 0
        for connection in silent:
            connection.close()


def test_an_association_that_idles_is_ended(tmp_path):
    with open_side(tmp_path / "state", receiving={"idle_seconds": 0.5}) as side:
        association = associate(side)
        wait_until(lambda: side.receiver.count_associations() == 0, "a free place")
        association.abort()


def test_a_port_that_is_taken_is_told(side, tmp_path):
    from alta_sdk.errors import ServiceError

    with pytest.raises(ServiceError, match=r"port \d+ cannot be listened on: .*check \[receiving\]"):
        with open_side(tmp_path / "other", receiving={"port": side.port}):
            pass


def test_a_clock_that_jumps_ends_no_association(side, monkeypatch):
    association = associate(side)
    now = time.time()
    for jump in (1e6, -1e6):
        monkeypatch.setattr(time, "time", lambda jump=jump: now + jump)
        assert association.send_c_echo().Status == 0
        wait_s = time.monotonic() + 0.2
        wait_until(lambda wait_s=wait_s: time.monotonic() > wait_s, "some turns of its loop")
        assert association.is_established
    association.release()
