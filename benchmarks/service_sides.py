"""The processes of `service.py`: a service, dcmtk's storescp and storescu, and what is sent between them."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.uid import generate_uid

from alta_sdk.bench.synthetic import make_frontal
from alta_sdk.errors import ServiceError

# Not those of PATH: pynetdicom brings programs of dcmtk's names along.
FOLDERS = "/usr/bin:/usr/sbin:/usr/local/bin:/opt/homebrew/bin"
LABELS = ("pneumonia", "pleural effusion", "cardiomegaly")
OUT_OF_RESOURCES = "OutOfResources"
MATCHER = """
import sys, time
import numpy as np
from alta_sdk import Matcher, Study
from PIL import Image
matcher = Matcher(sys.argv[1], device="cpu")
Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)).save(sys.argv[2])
matcher.zero_shot(Study.from_images(frontal=sys.argv[2]), sys.argv[3].split(","))
print("open", flush=True)
time.sleep(3600)
"""
WAIT_S = 600.0


def find_program(name: str) -> str:
    """Return where a program of dcmtk is."""
    found = shutil.which(name, path=FOLDERS)
    if found is None:
        raise ServiceError(f"{name} is not installed: the benchmark needs dcmtk (Debian: apt install dcmtk)")
    return found


def wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process listens."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise ServiceError("a process of the benchmark ended at its start: see its log")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise ServiceError("a process of the benchmark does not listen")


def find_free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_studies(folder: Path, count: int, side_px: int, seed: int = 0) -> list[Path]:
    """Write studies of one radiograph each, no two with the same pixels; return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 4096, (side_px, side_px), dtype=np.uint16)
    return [
        write_study(folder / f"{seed}-{number:05}.dcm", np.roll(base, generator.integers(1, side_px), axis=0))
        for number in range(count)
    ]


def write_study(path: Path, pixels: np.ndarray) -> Path:
    """Write a radiograph of a study of its own; return the file."""
    whose = {"PatientName": "Nobody", "PatientID": "0", "PatientBirthDate": "", "PatientSex": ""}
    when = {"StudyDate": "20260102", "StudyTime": "101500", "SeriesNumber": "1", "InstanceNumber": "1"}
    empty = dict.fromkeys(("AccessionNumber", "StudyID", "ReferringPhysicianName"), "")
    image = make_frontal(pixels, SeriesInstanceUID=generate_uid(), **whose, **when, **empty)
    dcmwrite(path, image, enforce_file_format=True)
    return path


@dataclass(frozen=True)
class Sending:
    """What came of sending. refused: objects that back pressure refused."""

    seconds: float
    stored: int
    refused: int
    failed: int


def send(port: int, files: Sequence[Path], associations: int) -> Sending:
    """Send files to AE title ALTA by so many storescu at once, each with its share on one association."""
    command = [
        find_program("storescu"),
        "-v",
        "-nh",
        "-R",
        "-xe",
        "-aet",
        "BENCH",
        "-aec",
        "ALTA",
        "127.0.0.1",
        str(port),
    ]
    shares = [share for number in range(associations) if (share := files[number::associations])]
    began = time.perf_counter()
    senders = [
        subprocess.Popen([*command, *map(str, share)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for share in shares
    ]
    texts = [process.communicate()[0] for process in senders]
    seconds = time.perf_counter() - began
    answers = [line for text in texts for line in text.splitlines() if "Received Store Response" in line]
    stored = sum("Success" in line for line in answers)
    refused = sum(OUT_OF_RESOURCES in line for line in answers)
    return Sending(seconds, stored, refused, len(files) - stored - refused)


@dataclass
class Process:
    """A process that listens, and the folder that it writes into. seen: reports that were read there, by when."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path
    seen: dict[str, float] = field(default_factory=dict)

    def read_memory_mib(self) -> float:
        """Return its resident memory."""
        return read_memory_mib(self.process.pid)


def read_memory_mib(pid: int) -> float:
    """Return the resident memory of a process; of Linux alone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ServiceError("memory of a process cannot be read")


@contextlib.contextmanager
def run_storescp(folder: Path) -> Iterator[Process]:
    """Run dcmtk's storescp, one process an association, that writes what comes as it comes."""
    folder.mkdir(parents=True, exist_ok=True)
    port = find_free_port()
    command = [find_program("storescp"), "--fork", "-aet", "ALTA", "-od", str(folder), "+xa", "+B", str(port)]
    with _run(command, port, folder) as process:
        yield process


@contextlib.contextmanager
def run_service(folder: Path, engine: Path, destination: Process | None, **told: float) -> Iterator[Process]:
    """Run `alta serve` with an engine and a destination. told: quiet_seconds, queue_limit."""
    folder.mkdir(parents=True, exist_ok=True)
    port = find_free_port()
    (folder / "site.key").write_text("00" * 32 + "\n")
    (folder / "site.key").chmod(0o600)
    labels = ", ".join(f'"{label}"' for label in LABELS)
    lines = [
        f'[service]\nstate = "state"\nsite_key = "site.key"\nquiet_seconds = {told.get("quiet_seconds", 2.0)}',
        f'[receiving]\nae_title = "ALTA"\nport = {port}\ncalling_ae_titles = ["BENCH"]\nreserve_mib = 64',
        f"queue_limit = {told.get('queue_limit', 1_000_000):.0f}\nmaximum_associations = 64",
        f'[[engines]]\nname = "chest"\npath = "{engine.absolute()}"\nlabels = [{labels}]\ndevice = "cpu"',
        "[keeping]\nimages_hours = 0\nresults_days = 0\n[web]\nenabled = false",
    ]
    if destination is not None:
        lines.append(
            f'[[destinations]]\nname = "pacs"\nae_title = "ALTA"\nhost = "127.0.0.1"\nport = {destination.port}'
        )
    (folder / "service.toml").write_text("\n".join(lines) + "\n")
    program = "from alta_sdk.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--config", str(folder / "service.toml")]
    with _run(command, port, folder) as process:
        yield process


@contextlib.contextmanager
def run_matcher(folder: Path, engine: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Open a Matcher in a process of its own, which has scored once."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", MATCHER, str(engine), str(folder / "a.png"), ",".join(LABELS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        if process.stdout is None or not process.stdout.readline():
            raise ServiceError("the matcher of the benchmark could not be opened")
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def _run(command: Sequence[str], port: int, folder: Path) -> Iterator[Process]:
    with open(folder.parent / f"{folder.name}.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for_port(port, process)
            yield Process(process, port, folder)
        finally:
            process.terminate()
            process.wait(WAIT_S)


def collect_reports(destination: Process, wanted: int, *, seconds: float = WAIT_S) -> dict[str, float]:
    """Wait until a storescp has so many reports; return when each came, by its study."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for path in destination.folder.iterdir():
            with contextlib.suppress(Exception):  # one that is being written
                report = dcmread(path, specific_tags=["StudyInstanceUID", "ContentSequence"])
                if "ContentSequence" in report:
                    destination.seen[str(report.StudyInstanceUID)] = path.stat().st_mtime
                    path.unlink()
        if len(destination.seen) >= wanted:
            return destination.seen
        time.sleep(0.02)
    raise ServiceError(f"{len(destination.seen)} reports of {wanted} came")
