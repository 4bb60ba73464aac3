"""How fast engines are on this machine: latency, throughput, from file to score, start and memory.

Latencies of several engines are taken in turn in one run, since a shared machine's speed moves more between
two runs than two engines differ.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ..dicom.files import PathLike
from ..engine.engine import Engine
from ..engine.text_encoder import TEXT_ROWS
from ..engine.vectors import to_unit_length
from ..errors import EngineError
from ..matching.embeddings import StudyEmbedding
from ..matching.matcher import Matcher
from ..study.slots import Slot
from ..study.study import Study, load_study
from .cold_start import measure_cold_start
from .synthetic import choose_finding, make_frontal, make_grey
from .timing import time_in_turn

BATCHES = (1, 2, 4, 8, 16, 32)
THROUGHPUT_ROUNDS = 3
PROMPT_TOKENS = 16
EMBEDDINGS = ("image", "paired")  # of a self-test: what a study's vector may be
SYNTHETIC_STUDY = "synthetic radiograph of 2048 × 2500 pixels, 12 bits, JPEG 2000 lossless"


@dataclass(frozen=True)
class Subject:
    """One engine in one runtime, as it is to be measured; trust: as in `Engine.open`."""

    name: str
    path: PathLike
    runtime: str
    engine: Engine
    trust: PathLike | None = None


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one radiograph and of eight prompts through an engine, and what it drifts from the reference.

    reads_px: the side of the square that the engine reads of a radiograph.
    times_first: how many times as fast as the first engine, the median of the ratios by round.
    worst_cosine: of the image embedding, also beside a prior where the engine reads one, with FP32 PyTorch's, over
    the self-test, on this machine.
    """

    name: str
    family: str
    reads_px: int
    precision: str
    runtime: str
    device: str
    threads: int
    p50_ms: float
    p95_ms: float
    prompts_p50_ms: float
    times_first: float
    worst_cosine: float


@dataclass(frozen=True)
class Throughput:
    """Radiographs per second by batch and threads."""

    name: str
    runtime: str
    threads: int
    batch: int
    radiographs_per_s: float


@dataclass(frozen=True)
class FileToScore:
    """Milliseconds (median) from a study's files to a score: reading and decoding, then embedding and scoring."""

    name: str
    runtime: str
    decode_ms: float
    score_ms: float


@dataclass(frozen=True)
class Start:
    """Seconds to open an engine in a fresh process, and the peak of its resident memory after a score."""

    name: str
    runtime: str
    load_s: float
    peak_mb: float


def measure_latencies(subjects: Sequence[Subject], rounds: int) -> list[Latency]:
    """Time one radiograph and eight prompts of each engine, in turn."""
    tokens = np.full((TEXT_ROWS, PROMPT_TOKENS), 5, dtype=np.int64)
    mask = np.ones_like(tokens)
    images: dict[str, Callable[[], object]] = {}
    texts: dict[str, Callable[[], object]] = {}
    for number, subject in enumerate(subjects):
        images[str(number)] = partial(subject.engine.encode_pixels, *make_pixels(1, subject.engine.geometry.crop_px))
        texts[str(number)] = partial(subject.engine.encode_tokens, tokens, mask)
    image_s, text_s = time_in_turn(images, rounds), time_in_turn(texts, max(3, rounds // 3))
    return [
        Latency(
            subject.name,
            subject.engine.manifest.family,
            subject.engine.geometry.crop_px,
            str(subject.engine.provenance["precision"]),
            subject.runtime,
            str(subject.engine.provenance["device"]),
            int(subject.engine.provenance["threads"]),
            p50_ms=1e3 * statistics.median(own := image_s[str(number)]),
            p95_ms=1e3 * float(np.percentile(own, 95)),
            prompts_p50_ms=1e3 * statistics.median(text_s[str(number)]),
            times_first=statistics.median(a / b for a, b in zip(image_s["0"], own, strict=True)),
            worst_cosine=min(d.worst_cosine for d in subject.engine.run_self_test() if d.output in EMBEDDINGS),
        )
        for number, subject in enumerate(subjects)
    ]


def measure_throughput(subject: Subject, threads: int, max_batch: int) -> list[Throughput]:
    """Run growing batches through an engine that is opened anew with this many threads."""
    engine = Engine.open(subject.path, runtime=subject.runtime, threads=threads, trust=subject.trust)
    rows = []
    for batch in (size for size in BATCHES if size <= max_batch):
        pixels, slot = make_pixels(batch, engine.geometry.crop_px)
        try:
            engine.encode_pixels(pixels, slot)
        except EngineError:
            if batch == BATCHES[0]:
                raise
            break  # a TensorRT engine is built for batches up to a size
        times = []
        for _ in range(THROUGHPUT_ROUNDS):
            start = time.perf_counter()
            engine.encode_pixels(pixels, slot)
            times.append(time.perf_counter() - start)
        rows.append(Throughput(subject.name, subject.runtime, threads, batch, batch / statistics.median(times)))
    return rows


def measure_file_to_score(subjects: Sequence[Subject], study: PathLike | None, rounds: int) -> list[FileToScore]:
    """Time reading and scoring of a study apart; without one, of a synthetic radiograph."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_synthetic_study(Path(folder) / "study.dcm") if study is None else study
        reads: dict[str, Callable[[], Study]] = {}
        scores: dict[str, Callable[[], object]] = {}
        for number, subject in enumerate(subjects):
            reads[str(number)] = partial(_read, subject.engine, path)
            scores[str(number)] = partial(
                _score,
                Matcher(subject.engine, fusion_mode="frontal", audit=False),
                reads[str(number)](),
                choose_finding(subject.engine),
            )
        decode_s, score_s = time_in_turn(reads, rounds), time_in_turn(scores, rounds)
    return [
        FileToScore(s.name, s.runtime, *(1e3 * statistics.median(t[str(i)]) for t in (decode_s, score_s)))
        for i, s in enumerate(subjects)
    ]


def measure_start(subject: Subject) -> Start:
    """Open an engine in a process of its own, three times; the median time, the largest memory."""
    threads = int(subject.engine.provenance["threads"])
    starts = [measure_cold_start(subject.path, subject.runtime, threads, subject.trust) for _ in range(3)]
    load_s = statistics.median(start.load_s for start in starts)
    return Start(subject.name, subject.runtime, load_s, max(start.peak_bytes for start in starts) / 1e6)


def choose_thread_counts(threads: int, device: str = "cpu") -> list[int]:
    """Return 1, 2, 4, … below `threads`, and `threads` itself; that alone where a GPU computes."""
    if device != "cpu":
        return [threads]
    return [count for count in (1 << bit for bit in range(threads.bit_length())) if count < threads] + [threads]


def make_pixels(batch: int, crop_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Make synthetic inputs of the image graph: (batch, 1, crop_px, crop_px) uint8 and (batch,) current frontals."""
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 1, crop_px, crop_px), dtype=np.uint8)
    return pixels, np.full(batch, Slot.FRONTAL, dtype=np.int64)


def write_synthetic_study(path: Path) -> Path:
    """Write a synthetic frontal as JPEG 2000 lossless DICOM, of the size and depth that detectors give."""
    from pydicom.uid import JPEG2000Lossless

    header = make_frontal(make_grey().astype(np.uint16) * 16)
    header.compress(JPEG2000Lossless)
    header.save_as(path, enforce_file_format=True)
    return path


def open_subjects(
    paths: Sequence[PathLike], runtimes: Sequence[str], threads: int | None, trust: PathLike | None = None
) -> list[Subject]:
    """Open every engine in every runtime; without runtimes, each in the one that a Matcher would choose."""
    subjects: list[Subject] = []
    for path in paths:
        for runtime in runtimes or (None,):
            engine = Engine.open(path, runtime=runtime, threads=threads, trust=trust)
            taken = str(engine.provenance["runtime"]).split()[0]
            alike = {one.path for one in subjects if one.engine.manifest.name == engine.manifest.name} - {path}
            name = engine.manifest.name + (f" ({len(alike) + 1})" if alike else "")
            subjects.append(Subject(name, path, taken, engine, trust))
    return subjects


def _read(engine: Engine, path: PathLike) -> Study:
    """Read a study, and make the pixels that the engine scores."""
    profile = engine.manifest.intensity_profile
    study = load_study(path, intensity_profile=profile, any_view=True, any_picture=True, any_body_part=True)
    study.radiographs[Slot.FRONTAL].pixels_for(engine.geometry)
    return study


def _score(matcher: Matcher, study: Study, finding: str) -> object:
    """Score a frontal past the cache of CLS vectors, which would answer every round but the first."""
    engine = matcher.engine
    pixels, slot = study.radiographs[Slot.FRONTAL].pixels_for(engine.geometry), np.array([Slot.FRONTAL], dtype=np.int64)
    cls = engine.encode_pixels(pixels[None, None], slot)
    vector = to_unit_length(engine.head.project(cls))[0]
    return matcher.zero_shot(StudyEmbedding(vector, matcher.fusion_mode, engine.manifest.sha256), [finding])
