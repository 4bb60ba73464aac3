"""A process that dies costs its task another try; a study that ends each process is found and left out."""

import pytest

from alta_sdk import EngineError
from alta_sdk.archive import drive
from alta_sdk.archive.commit import commit_parts
from alta_sdk.archive.drive import TaskLost, embed_all, look_at_all
from alta_sdk.archive.looking import Slice
from alta_sdk.archive.manifest import Entry, Shard, split_shards
from alta_sdk.archive.on_local import LocalRunner
from alta_sdk.archive.parts import CRASH, open_parts, read_dead, read_ledger
from alta_sdk.archive.schema import ArchiveOrigin
from alta_sdk.archive.shard import ShardJob
from alta_sdk.study.key import SiteKey
from archive.crashing import KILLER, crash_on_one, embed_without_engine, make_identity
from archive.studies import read_table

SITE_KEY = SiteKey(b"k" * 32)
ORIGIN = ArchiveOrigin("engine", "frontal", "published-v1", SITE_KEY.fingerprint, 8)


def make_entries(count):
    return [Entry((f"/nowhere/{number}.png",), make_identity(number)) for number in range(count)]


@pytest.fixture
def job(tmp_path):
    return ShardJob(str(tmp_path / "a.lance"), ORIGIN, "engine")


class Here:
    """Runs each call at once; of a shard named in `losses` so many calls are lost."""

    in_flight = 3

    def __init__(self, losses=()):
        self.losses = dict(losses)
        self.most = self.calls = 0
        self._waiting = {}

    def submit(self, function, *arguments):
        self.calls += 1
        self._waiting[self.calls] = (function, arguments)
        self.most = max(self.most, len(self._waiting))
        return self.calls

    def wait(self, tickets):
        return tickets[-1]

    def take(self, ticket):
        function, arguments = self._waiting.pop(ticket)
        name = arguments[1].name if arguments else "nothing"
        if self.losses.get(name, 0):
            self.losses[name] -= 1
            raise TaskLost
        return function(*arguments)

    def close(self):
        pass


def test_a_study_that_ends_its_process_each_time_is_alone_in_the_end(job, monkeypatch, tmp_path):
    monkeypatch.setattr(drive, "embed_shard", crash_on_one)
    entries = make_entries(99)
    entries.insert(37, Entry(("/nowhere/killer.png",), KILLER))
    shards = split_shards(entries, ORIGIN, lambda _: False, size=50)
    runner = LocalRunner(2, {})
    outcomes = list(embed_all(runner, job, shards, SITE_KEY))
    runner.close()
    assert (sum(one.studies for one in outcomes), [one.dead for one in outcomes if one.dead]) == (99, [{CRASH: 1}])
    # The shard of 50 six times, a half of each size once (25, 12 or 13, …), the study alone six times.
    assert len((tmp_path / "a.lance.crashes").read_bytes()) <= 6 + 5 + 6
    assert commit_parts(job.archive, ORIGIN) == 99
    assert read_table(job.archive).keys() == {make_identity(number).hex() for number in range(99)}
    (dead,) = read_dead(open_parts(job.archive))
    assert (dead.entry, dead.error) == (KILLER, CRASH)
    done = read_ledger(open_parts(job.archive))
    assert split_shards(entries, ORIGIN, done.__contains__, size=50) == []


def test_a_task_that_was_lost_five_times_is_still_run(job, monkeypatch):
    monkeypatch.setattr(drive, "embed_shard", embed_without_engine)
    shards = split_shards(make_entries(20), ORIGIN, lambda _: False, size=5)
    runner = Here({shards[1].name: 5})
    outcomes = list(embed_all(runner, job, shards, SITE_KEY))
    assert {one.name for one in outcomes} == {one.name for one in shards} and runner.calls == 4 + 5
    assert runner.most <= runner.in_flight, "no more are submitted than that"


def test_a_cluster_that_is_lost_is_no_studys_fault(job, monkeypatch):
    monkeypatch.setattr(drive, "embed_shard", embed_without_engine)
    shards = split_shards(make_entries(20), ORIGIN, lambda _: False, size=5)
    lost = Here({"nothing": 99, **{shard.name: 99 for shard in shards[1:]}})
    with pytest.raises(EngineError, match="what runs the tasks has died"):
        list(embed_all(lost, job, shards, SITE_KEY))
    with pytest.raises(EngineError, match="what runs the tasks has died"):
        look_at_all(Here({"slice": 99, "nothing": 99}), job, [Slice("slice", tuple(make_entries(3)))])
    store = open_parts(job.archive)
    assert read_dead(store) == []
    left = split_shards(make_entries(20), ORIGIN, read_ledger(store).__contains__, size=5)
    assert list(embed_all(Here(), job, left, SITE_KEY)) and commit_parts(job.archive, ORIGIN) == 20


def test_what_a_task_raises_ends_the_run(job, monkeypatch):
    def fail(job, shard):
        raise ValueError("of the store")

    monkeypatch.setattr(drive, "embed_shard", fail)
    with pytest.raises(ValueError, match="of the store"):
        list(embed_all(Here(), job, [Shard.of(make_entries(2), ORIGIN)], SITE_KEY))


def test_loose_files_that_end_each_process_are_told(job):
    lost = Slice("slice", tuple(make_entries(3)))
    with pytest.raises(TaskLost):
        look_at_all(Here({"slice": 99}), job, [lost])
