"""Real peers on loopback, each on a port of the system's choice: dcmtk's programs and Orthanc."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

WAIT_S, POLL_S = 120.0, 0.02
ORTHANC_PLUGINS = Path("/usr/share/orthanc/plugins")
# Not those of PATH: pynetdicom brings programs of dcmtk's names along.
_PROGRAM_FOLDERS = "/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin:/opt/homebrew/bin"


def find_program(name):
    """Return where a peer's program is; the test skips where it is absent."""
    found = shutil.which(name, path=_PROGRAM_FOLDERS)
    if found is None:
        pytest.skip(f"{name} absent: install the Debian packages orthanc, orthanc-dicomweb, dcmtk and dicom3tools")
    return found


def find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(is_so, what, *, seconds=WAIT_S):
    """Poll until something is so, and return what it gave; polls are counted, which a busy machine makes fewer of."""
    for _ in range(round(seconds / POLL_S)):
        if found := is_so():
            return found
        time.sleep(POLL_S)
    pytest.fail(f"waited in vain: {what}")


def wait_for_port(port, process=None):
    def answers():
        assert process is None or process.poll() is None, "the peer ended at its start"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return True

    wait_until(answers, "a peer's port")


def run_program(name, *arguments, **options):
    """Run a program to its end; return it with its outputs as text."""
    command = [find_program(name), *map(str, arguments)]
    options.setdefault("timeout", WAIT_S)
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, **options)


def store(port, *files, calling="SENDER", called="ALTA", options=()):
    """Send files by storescu, each in the transfer syntax that it is in; return the ended program."""
    return run_program(
        "storescu",
        "-v",
        "-aet",
        calling,
        "-aec",
        called,
        *(options or choose_syntaxes(files)),
        "127.0.0.1",
        port,
        *files,
    )


def choose_syntaxes(files):
    from pydicom import dcmread

    syntax = str(dcmread(files[0], stop_before_pixels=True, specific_tags=[]).file_meta.TransferSyntaxUID)
    chosen = {
        "1.2.840.10008.1.2": "-xi",
        "1.2.840.10008.1.2.1": "-xe",
        "1.2.840.10008.1.2.2": "-xb",
        "1.2.840.10008.1.2.1.99": "-xd",
        "1.2.840.10008.1.2.5": "-xr",
        "1.2.840.10008.1.2.4.50": "-xy",
        "1.2.840.10008.1.2.4.51": "-xx",
        "1.2.840.10008.1.2.4.70": "-xs",
        "1.2.840.10008.1.2.4.80": "-xt",
        "1.2.840.10008.1.2.4.81": "-xu",
        "1.2.840.10008.1.2.4.90": "-xv",
        "1.2.840.10008.1.2.4.91": "-xw",
    }
    return (chosen[syntax],)


@dataclass
class Peer:
    """A peer's process. port: of DICOM. folder: where it keeps what it has, and its log."""

    process: subprocess.Popen
    port: int
    folder: Path
    http: int = 0
    ae_title: str = "ANY"
    extra: dict = field(default_factory=dict)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, path, body=None, method=None):
        """Ask Orthanc's own REST; return what its JSON says."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            content = answer.read()
        return json.loads(content) if content else None


@contextlib.contextmanager
def start_storescp(folder, *options, ae_title="STORESCP"):
    """Run dcmtk's storescp, which keeps each data set as it came."""
    folder.mkdir(parents=True, exist_ok=True)
    port = find_free_port()
    command = [find_program("storescp"), "-aet", ae_title, "-od", str(folder), *map(str, options), str(port)]
    with open(folder.parent / f"{folder.name}.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    peer = Peer(process, port, folder, ae_title=ae_title)
    try:
        wait_for_port(port, process)
        yield peer
    finally:
        peer.stop()


@contextlib.contextmanager
def start_orthanc(folder, *, nodes=None, ae_title="ORTHANC", more=None, port=None):
    """Run Orthanc with DICOM, REST and DICOMweb. nodes: name to (AE title, port) of what it may call."""
    folder.mkdir(parents=True, exist_ok=True)
    port, http = port or find_free_port(), find_free_port()
    plugins = [str(path) for path in ORTHANC_PLUGINS.glob("libOrthancDicomWeb.so")]
    settings = {
        "Name": ae_title,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": plugins,
        "DicomAet": ae_title,
        "DicomPort": port,
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomCheckModalityHost": False,
        "UnknownSopClassAccepted": True,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "DicomModalities": {name: [title, "127.0.0.1", its_port] for name, (title, its_port) in (nodes or {}).items()},
        **(more or {}),
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [find_program("Orthanc"), str(folder / "orthanc.json")],
            stdout=log,
            stderr=log,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    peer = Peer(process, port, folder, http=http, ae_title=ae_title)
    try:
        wait_for_port(http, process)
        wait_for_port(port, process)
        yield peer
    finally:
        peer.stop()
