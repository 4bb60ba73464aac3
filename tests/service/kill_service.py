"""Kill a service again and again, at random moments of receiving, scoring and delivering, and count what was lost.

python tests/service/kill_service.py --engine build/demo.alta --folder build/kills --kills 200

A sender repeats each image until it is acknowledged, as an archive does; a destination takes every report, now and
then refuses one, and remembers what it has taken. In the end three numbers have to be 0: images that were
acknowledged and are not there, byte for byte; revisions of a study that were delivered under two UIDs; studies that
are neither done nor with their report at the destination. A study during whose scoring the process was killed twice is
set aside, as it may have been the cause: those are counted, and retried by the command.
"""

import argparse
import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import Comprehensive3DSRStorage, Verification

from alta_sdk.bench.synthetic import make_frontal

WAIT_S = 600.0
START = (sys.executable, "-c", "from alta_start import alta; alta()")
OUT_OF_RESOURCES = 0xA700


@dataclass
class Tally:
    """What came of a run."""

    kills: int = 0
    acknowledged: int = 0
    studies: int = 0
    delivered: int = 0
    repeated: int = 0
    set_aside: int = 0
    lost: list = field(default_factory=list)
    doubled: list = field(default_factory=list)
    stuck: list = field(default_factory=list)

    def describe(self):
        return (
            f"{self.kills} kills: {self.acknowledged} images of {self.studies} studies acknowledged, "
            f"{self.delivered} reports delivered ({self.repeated} of them again, as the same object), "
            f"{self.set_aside} studies set aside and retried; lost {len(self.lost)}, "
            f"doubled under different UIDs {len(self.doubled)}, stuck {len(self.stuck)}"
        )


class Archive:
    """A destination that remembers: by study and revision the UIDs of reports that it has taken."""

    def __init__(self, seed):
        self.reports = defaultdict(list)
        self._random = random.Random(seed)
        node = AE("ARCHIVE")
        node.add_supported_context(Verification)
        node.add_supported_context(Comprehensive3DSRStorage, ExplicitVRLittleEndian)
        self._server = node.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._take)])
        self.port = self._server.server_address[1]

    def _take(self, event):
        report = event.dataset
        time.sleep(self._random.uniform(0, 0.1))
        if self._random.random() < 0.05:
            return OUT_OF_RESOURCES
        self.reports[str(report.StudyInstanceUID), int(report.InstanceNumber)].append(str(report.SOPInstanceUID))
        return 0x0000

    def stop(self):
        self._server.shutdown()


class Sender(threading.Thread):
    """Sends images until each is acknowledged, whatever happens to whom it sends to."""

    def __init__(self, port, seed):
        super().__init__(daemon=True)
        self._port, self._random = port, random.Random(seed)
        self.acknowledged = {}  # SOP instance UID to (study, SHA-256 of the data set)
        self.is_ending = threading.Event()

    def run(self):
        while not self.is_ending.is_set():
            study = generate_uid()
            waiting = [make_image(study, view, self._random) for view in ("PA", "LL")[: self._random.choice((1, 1, 2))]]
            while waiting:
                waiting = self._send(waiting)
                time.sleep(self._random.uniform(0, 0.2))

    def _send(self, images):
        """Send images on one association; return those that were not acknowledged."""
        node = AE("SENDER")
        node.acse_timeout = node.dimse_timeout = node.network_timeout = 20
        context = build_context(ComputedRadiographyImageStorage, ExplicitVRLittleEndian)
        association = node.associate("127.0.0.1", self._port, [context], ae_title="ALTA")
        left = list(images)
        if association.is_established:
            for image in images:
                with contextlib.suppress(RuntimeError, ValueError):
                    status = association.send_c_store(image)
                    if "Status" in status and status.Status == 0x0000:
                        self.acknowledged[str(image.SOPInstanceUID)] = (str(image.StudyInstanceUID), digest(image))
                        left.remove(image)
            association.release() if association.is_established else association.abort()
        else:
            time.sleep(0.2)
        return left


def make_image(study, view, rng):
    seed = np.random.default_rng(rng.randrange(1 << 32))
    pixels = seed.integers(0, 4096, (128, 128), dtype=np.uint16)
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": generate_uid()}
    whose = {"PatientName": "Kill^Me", "PatientID": "K", "StudyDate": "20260102", "InstanceNumber": "1"}
    empty = ("PatientBirthDate", "PatientSex", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")
    return make_frontal(pixels, ViewPosition=view, **uids, **whose, **dict.fromkeys(empty, ""))


def digest(image):
    """Return the SHA-256 of an image's data set as it goes over the wire."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, image)
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_config(folder, engine, port, more=""):
    """Write the configuration of a service with one engine and no page; more: what is added to it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.key").write_text("5a" * 32)
    (folder / "site.key").chmod(0o600)
    path = folder / "service.toml"
    path.write_text(f"""\
[service]
state = "state"
quiet_seconds = 0.3
site_key = "site.key"
[receiving]
ae_title = "ALTA"
port = {port}
calling_ae_titles = ["SENDER"]
reserve_mib = 1
queue_limit = 1000000
[[engines]]
name = "chest"
path = {str(engine.absolute())!r}
labels = ["pneumonia", "edema"]
device = "cpu"
threads = 1
[web]
enabled = false
{more}
""")
    return path


def name_destination(name, ae_title, port):
    """Return a destination on loopback, to add to a configuration."""
    return f'[[destinations]]\nname = "{name}"\nae_title = "{ae_title}"\nhost = "127.0.0.1"\nport = {port}\n'


def run_kills(folder, engine, kills, seed=0, say=lambda text: None):
    """Kill a service so many times, let it come to rest, and return what came of it."""
    rng, port, archive = random.Random(seed), find_free_port(), Archive(seed)
    config = write_config(folder, engine, port, name_destination("archive", "ARCHIVE", archive.port))
    sender = Sender(port, seed)
    sender.start()
    tally = Tally()
    try:
        for number in range(kills):
            process = start(config, folder)
            if rng.random() < 0.8:  # the others in the middle of the start
                wait_for_port(port, process)
            time.sleep(rng.uniform(0.0, 2.5))
            process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            process.wait()
            tally.kills += 1
            if (number + 1) % 10 == 0:
                say(f"{number + 1} kills, {len(sender.acknowledged)} images acknowledged")
        process = start(config, folder)
        wait_for_port(port, process)
        sender.is_ending.set()
        sender.join(WAIT_S)
        come_to_rest(config, tally)
        process.terminate()
        process.wait(WAIT_S)
        count(folder, sender, archive, tally)
    finally:
        sender.is_ending.set()
        if process.poll() is None:
            process.kill()
            process.wait()
        archive.stop()
    return tally


def start(config, folder):
    with open(folder / "log", "ab") as log:
        return subprocess.Popen([*START, "serve", "--config", str(config)], stdout=log, stderr=log)


def wait_for_port(port, process):
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        assert process.poll() is None, "the service ended by itself: see its log"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise AssertionError("the service does not start")


def come_to_rest(config, tally):
    """Wait until nothing is under way; retry what was set aside."""
    from alta_sdk.service.commanding import command_service
    from alta_sdk.service.config import read_settings
    from alta_sdk.service.status import read_status

    settings = read_settings(config)
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        found = read_status(settings)
        for one in found["troubled"]:
            command_service(settings, "retry", one["key"], "kill_service", most_seconds=60)
            tally.set_aside += 1
        moving = sum(found["studies"][name] for name in ("receiving", "complete", "scoring", "scored", "delivering"))
        if not moving and not found["troubled"]:
            return
        time.sleep(0.5)


def count(folder, sender, archive, tally):
    """Compare what was acknowledged, what is kept and what was delivered."""
    from alta_sdk.service.database import Database
    from alta_sdk.service.job_store import JobStore
    from alta_sdk.service.records import StudyState

    with Database(folder / "state") as database:
        store = JobStore(database)
        studies = defaultdict(set)
        for uid, (study, sha256) in sender.acknowledged.items():
            kept = store.find_instance(uid)
            if kept is None or kept.sha256 != sha256 or read_digest(folder / "state" / "spool" / kept.file) != sha256:
                tally.lost.append(uid)
            else:
                studies[study].add(kept.study_key)
        tally.stuck += [one.key for one in store.list_studies(limit=1 << 30) if one.state is not StudyState.DONE]
        for study, (key,) in studies.items():
            last = store.get_study(key).revision
            if not archive.reports.get((study, last)):
                tally.stuck.append(key)
    tally.acknowledged, tally.studies = len(sender.acknowledged), len(studies)
    for where, uids in archive.reports.items():
        tally.delivered += len(uids)
        tally.repeated += len(uids) - len(set(uids))
        if len(set(uids)) > 1:
            tally.doubled.append(where)


def read_digest(path):
    """Return the SHA-256 of the data set in a file of the spool."""
    data = path.read_bytes()
    length = int.from_bytes(data[140:144], "little")
    return hashlib.sha256(data[144 + length :]).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tally = run_kills(given.folder, given.engine, given.kills, given.seed, say=lambda text: print(text, flush=True))
    print(tally.describe())
    is_well = tally.acknowledged and tally.delivered and not (tally.lost or tally.doubled or tally.stuck)
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
