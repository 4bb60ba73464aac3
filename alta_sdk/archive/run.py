"""A whole run: list, look at loose files, embed what is not done, commit; each step goes on where it was stopped."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..errors import EngineError
from ..study.key import SITE_KEY_VARIABLE, SiteKey
from .commit import commit_parts, open_or_make, writing
from .drive import Runner, TaskLost, embed_all, look_at_all
from .looking import split_slices
from .manifest import SHARD_STUDIES, Entry, Shard, join_loose, list_source, split_shards
from .on_dask import DaskRunner
from .on_local import LocalRunner
from .on_ray import RayRunner
from .parts import forget_dead, open_parts, read_ledger, read_look
from .shard import ShardJob, ShardOutcome
from .table import open_table
from .upkeep import needs_upkeep, optimize_archive

ENGINES = ("local", "ray", "dask")


@dataclass(frozen=True)
class Where:
    """What runs the tasks. address: local, ray, dask, ray://host:port or dask://host:port."""

    address: str = "local"
    workers: int = 1
    gpus_per_worker: float = 0.0

    def check(self) -> None:
        """Raise EngineError for an address of no engine, and a GPU where none is shared out."""
        engine = self.address.partition("://")[0]
        if engine not in ENGINES or (engine == "local" and self.address != engine):
            raise EngineError("--on is local, ray, dask, ray://host:port or dask://host:port")
        if self.gpus_per_worker and engine != "ray":
            raise EngineError("--gpus-per-worker goes with Ray, which shares GPUs out")

    def start(self, environment: Mapping[str, str]) -> Runner:
        """Start or join it; raises EngineError, RuntimeUnavailable."""
        if self.address.startswith("ray"):
            return RayRunner(self.address, self.workers, self.gpus_per_worker, environment)
        if self.address.startswith("dask"):
            return DaskRunner(self.address, self.workers, environment)
        return LocalRunner(self.workers, environment)


@dataclass(frozen=True)
class Plan:
    """What a run has to do.

    entries: all of the source. done: how many of them earlier runs did; dead: those of them that could not be read, by
    the class of the error. shards: what is left of this process's share.
    """

    entries: int
    done: int
    dead: Mapping[str, int]
    shards: tuple[Shard, ...] = field(repr=False)

    @property
    def studies(self) -> int:
        """The studies that are left."""
        return sum(len(shard.entries) for shard in self.shards)


@dataclass(frozen=True)
class Run:
    """One run of `alta embed` into an archive. share: (i, n), the i-th of n processes that share the work, from 0."""

    job: ShardJob
    source: str
    site_key: SiteKey
    key_file: str
    where: Where = field(default_factory=Where)
    share: tuple[int, int] = (0, 1)
    shard_studies: int = SHARD_STUDIES
    tries_dead_again: bool = False

    def check(self) -> None:
        """Raise EngineError for an archive of another origin, or where nothing can be written: before any work."""
        self.where.check()
        with writing(self.job.archive):
            open_or_make(self.job.archive, self.job.origin)

    def start(self) -> Runner:
        """Start what runs the tasks; every process of it reads the site key from its environment's file."""
        return self.where.start({SITE_KEY_VARIABLE: self.key_file})

    def plan(self, runner: Runner) -> Plan:
        """List the source, put loose files together, and leave out what is done."""
        store = open_parts(self.job.archive)
        if self.tries_dead_again:
            forget_dead(store)
        entries = self.list_entries(runner)
        ledger = read_ledger(store)
        shards = split_shards(entries, self.job.origin, ledger.__contains__, size=self.shard_studies, share=self.share)
        done = [entry.identity for entry in entries if entry.identity in ledger]
        dead = Counter(ledger.dead[identity] for identity in done if identity in ledger.dead)
        return Plan(len(entries), len(done), dict(dead), tuple(shards))

    def list_entries(self, runner: Runner) -> tuple[Entry, ...]:
        """Return every study of the source; headers of loose files are read by tasks."""
        listing = list_source(self.source, self.site_key)
        slices = split_slices(listing.loose)
        store = open_parts(self.job.archive)
        known = {one.name: read_look(store, one.name) for one in slices}
        try:
            known |= look_at_all(runner, self.job, [one for one in slices if known[one.name] is None])
        except TaskLost as error:
            raise EngineError(
                "a process dies whenever it looks at certain loose files: put each study into a folder of its own"
            ) from error
        return join_loose(listing, [group for one in slices for group in known[one.name] or ()])

    def embed(self, runner: Runner, plan: Plan) -> Iterator[ShardOutcome]:
        """Embed what is left; yield what became of each shard."""
        return embed_all(runner, self.job, plan.shards, self.site_key)

    def commit(self) -> int:
        """Bring finished parts into the archive; return how many studies are new. A whole run cares for the index."""
        new = commit_parts(self.job.archive, self.job.origin)
        if self.share == (0, 1) and needs_upkeep(open_table(self.job.archive)):
            optimize_archive(self.job.archive)
        return new
