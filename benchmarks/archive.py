"""What an archive costs, as ratios beside what it is compared with: throughput, commits, searches, upkeep.

python benchmarks/archive.py --engine build/demo.alta --studies FOLDER      # everything, of a million rows
python benchmarks/archive.py --rows 100000 --only search                     # one part, of fewer

Vectors are those of `benchmarks/index.py`: "steep" and "flat", queries of the same kind and across, each without a
filter and with one that keeps 4 %. faiss is measured beside where it is installed. Processor seconds count: other
work on the machine moves clocks. The engine of --engine is opened with one thread in each worker.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from archive_figures import ORIGIN, make_rows, processor_s, tell
from archive_search import measure_search
from index import NEIGHBOURS, QUERIES, WIDTH, make_vectors

from alta_sdk import Matcher
from alta_sdk.archive.commit import commit_parts
from alta_sdk.archive.extra import require, require_archive
from alta_sdk.archive.manifest import Shard, join_loose, list_source
from alta_sdk.archive.parts import open_parts, pack_vectors
from alta_sdk.archive.run import Run, Where
from alta_sdk.archive.schema import ArchiveOrigin
from alta_sdk.archive.shard import ShardJob, embed_shard, open_matcher, read_study, tell_mode
from alta_sdk.archive.status import count_bytes
from alta_sdk.archive.table import Archive, take_vectors
from alta_sdk.archive.upkeep import erase_studies, optimize_archive
from alta_sdk.engine.vectors import Vector
from alta_sdk.study.key import SITE_KEY_VARIABLE, SiteKey

PARTS = ("throughput", "commit", "search", "upkeep")
MILLION = 1_000_000


def measure_throughput(engine: Path, studies: Path, folder: Path, rounds: int) -> None:
    """Embed the same studies by one worker and by two of each kind, in turn; print ratios of studies a second."""
    ways = {
        "one worker": Where("local", 1),
        "pool": Where("local", 2),
        "ray": Where("ray", 2),
        "dask": Where("dask", 2),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    costs: list[float] = []
    for number in range(rounds):
        for name, where in ways.items():
            run = make_run(engine, studies, folder / f"{name}-{number}.lance", where)
            run.check()
            runner = run.start()
            start, done = time.perf_counter(), []
            try:
                done = list(run.embed(runner, run.plan(runner)))
            finally:
                runner.close()
            count = sum(one.studies for one in done)
            rates[name].append(count / (time.perf_counter() - start))
            costs.append(sum(one.processor_s for one in done) / count)
            print(f"round {number}, {name}: {rates[name][-1]:.2f} studies/s", flush=True)
    best = {name: max(found) for name, found in rates.items()}
    for name in ("ray", "dask"):
        tell(f"{name}, of a pool's throughput", best[name] / best["pool"], ">= 0.95", best[name] >= 0.95 * best["pool"])
        share = best[name] / best["one worker"]
        tell(f"{name} with 2 workers, of one worker's", share, ">= 1.7", share >= 1.7)
    measure_overhead(make_run(engine, studies, folder / "overhead.lance", Where()))
    hours = np.median(costs) * MILLION / 3600
    print(
        f"{np.median(costs):.3f} processor seconds a study: EXTRAPOLATED, a million take {hours:,.0f} processor hours"
    )


def make_run(engine: Path, studies: Path, out: Path, where: Where) -> Run:
    """Return a run with a key of its own."""
    matcher = Matcher(engine, threads=1)
    manifest = matcher.engine.manifest
    key = out.with_name("site.key")
    if not os.path.isfile(key):
        key.write_text("0a" * 32 + "\n", encoding="ascii")
        key.chmod(0o600)
    site_key = SiteKey(bytes.fromhex("0a" * 32))
    width = manifest.sizes["embedding"]
    origin = ArchiveOrigin(manifest.sha256, tell_mode(matcher), manifest.intensity_profile, site_key.fingerprint, width)
    reading = {"intensity_profile": manifest.intensity_profile}
    job = ShardJob(str(out), origin, str(engine.absolute()), reading=reading)
    return Run(job, str(studies.absolute()), site_key, str(key), where, shard_studies=10)


def measure_overhead(run: Run) -> None:
    """Print what a shard costs beyond reading and embedding its studies."""
    os.environ[SITE_KEY_VARIABLE] = run.key_file
    listing = list_source(run.source, run.site_key)
    shard = Shard.of(join_loose(listing, [""] * len(listing.loose)), run.job.origin)
    found: dict[str, float] = {}
    matcher = Matcher(run.job.engine, threads=1)
    open_matcher(run.job)  # another one: each encodes every study once
    read_study(shard.entries[0], run.job.reading)
    for name in ("bare", "shard"):
        with processor_s(found, name):
            if name == "shard":
                embed_shard(run.job, shard)
            else:
                for entry in shard.entries:
                    matcher.embed(read_study(entry, run.job.reading))
    overhead = found["shard"] / found["bare"] - 1
    tell("a shard's cost beyond its studies", overhead, "<= 0.02", overhead <= 0.02)


def measure_commit(rows: int, folder: Path) -> None:
    """Print what committing so many rows costs, of writing them as Parquet, and the size of the archive."""
    parquet, found = require("pyarrow.parquet", "archive"), dict[str, float]()
    vectors = make_vectors("steep", rows)
    table = make_rows(vectors)
    with processor_s(found, "parquet"):
        parquet.write_table(table, folder / "rows.parquet", use_dictionary=False)
    out = folder / "commit.lance"
    write_parts(str(out), table)
    with processor_s(found, "commit"):
        commit_parts(str(out), ORIGIN)
    ratio = found["commit"] / found["parquet"]
    print(f"{rows:,} rows: Parquet {found['parquet']:.1f} s, commit {found['commit']:.1f} s of the processor")
    tell("a commit, of writing the rows as Parquet", ratio, "<= 3", ratio <= 3)
    with processor_s(found, "optimize"):
        optimize_archive(str(out))
    size = count_bytes(out) / vectors.nbytes
    print(f"index built and measured in {found['optimize']:.0f} s of the processor")
    tell("the archive with its index, of its vectors' size", size, "<= 2.1", size <= 2.1)
    with processor_s(found, "erase"):
        erase_studies(str(out), [(7).to_bytes(16, "big")])
    print(f"erasing one study: {found['erase']:.0f} s of the processor, {found['erase clock']:.0f} s")


def write_parts(out: str, table: Any) -> None:
    """Write rows as finished parts of a thousand studies."""
    pa, parquet = require("pyarrow", "archive"), require("pyarrow.parquet", "archive")
    store = open_parts(out)
    names = [one for one in table.schema.names if one != "shard"]
    for number, start in enumerate(range(0, len(table), 1000)):
        part = table.slice(start, 1000).select(names)
        packed = pa.array([pack_vectors(one) for one in take_vectors(part)], pa.binary(4 * WIDTH))
        part = part.set_column(names.index("vector"), pa.field("vector", packed.type, nullable=False), packed)
        part = part.add_column(0, pa.field("entry", pa.binary(16), nullable=False), part["key"])
        sink = pa.BufferOutputStream()
        parquet.write_table(part, sink, compression="none", use_dictionary=False, write_statistics=False)
        store.write(f"{number:032}.parquet", bytes(sink.getvalue()))


def measure_upkeep(folder: Path, appends: int, rows: int) -> None:
    """Append again and again, then optimize: print size and slow searches beside those of an archive made at once."""
    lance = require("lance", "archive")
    vectors = make_vectors("steep", appends * rows + QUERIES)
    queries, vectors = vectors[-QUERIES:], vectors[:-QUERIES]
    grown, fresh = folder / "grown.lance", folder / "fresh.lance"
    for number in range(appends):
        block = make_rows(vectors[number * rows : (number + 1) * rows], number * rows)
        lance.write_dataset(block, str(grown), mode="append" if number else "create")
    before = count_bytes(grown)
    optimize_archive(str(grown))
    lance.write_dataset(make_rows(vectors), str(fresh))
    optimize_archive(str(fresh))
    size = count_bytes(grown) / count_bytes(fresh)
    slow = {path: measure_p95(Archive(str(path)), queries) for path in (grown, fresh)}
    print(
        f"{appends} appends of {rows}: {before / 1e6:.0f} MB before, {count_bytes(grown) / 1e6:.0f} MB after optimize"
    )
    tell("size after optimize, of one made at once", size, "<= 1.2", size <= 1.2)
    tell("p95 of a search, of one made at once", slow[grown] / slow[fresh], "<= 1.5", slow[grown] <= 1.5 * slow[fresh])


def measure_p95(archive: Archive, queries: Vector) -> float:
    """Return the processor milliseconds that 95 of 100 searches stay below."""
    spent = []
    for query in queries:
        start = time.process_time()
        archive.search_vector(query, NEIGHBOURS)
        spent.append(1e3 * (time.process_time() - start))
    return float(np.percentile(spent, 95))


@click.command()
@click.option("--rows", default=MILLION, show_default=True)
@click.option("--only", "parts", multiple=True, default=PARTS, type=click.Choice(PARTS))
@click.option("--kind", "kinds", multiple=True, default=("steep", "flat"), type=click.Choice(["steep", "flat"]))
@click.option("--engine", type=click.Path(path_type=Path), help="For throughput.")
@click.option("--studies", type=click.Path(path_type=Path), help="For throughput: a folder of studies.")
@click.option("--rounds", default=2, show_default=True)
@click.option("--appends", default=1000, show_default=True)
def main(
    rows: int,
    parts: tuple[str, ...],
    kinds: tuple[str, ...],
    engine: Path | None,
    studies: Path | None,
    rounds: int,
    appends: int,
) -> None:
    """Print every figure beside its target."""
    require_archive()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "throughput" in parts and engine and studies:
            measure_throughput(engine, studies, folder, rounds)
        if "commit" in parts:
            measure_commit(rows, folder)
        for kind in kinds if "search" in parts else ():
            measure_search(kind, rows, folder)
        if "upkeep" in parts:
            measure_upkeep(folder, appends, 100)


if __name__ == "__main__":
    sys.exit(main())
