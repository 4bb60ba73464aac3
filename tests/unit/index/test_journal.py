"""The journal of `alta embed`: SQLite that outlives kills, is held by one process, and refuses what is not its own."""

import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from alta_sdk import EngineError
from alta_sdk.index import journal as journals
from alta_sdk.index.journal import open_journal
from alta_sdk.index.search import IndexOrigin

ORIGIN = IndexOrigin("studies", "engine", "frontal")
KEYS = [bytes([number]) * 16 for number in range(6)]
VECTORS = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)


class Stopped(Exception):
    """Stands for whatever ends a run early."""


def begin(path, count, *, origin=ORIGIN, width=8):
    """Write some studies down and stop; return what was there before."""
    with pytest.raises(Stopped), open_journal(path, origin, width) as journal:
        before = dict(journal.done)
        for number in range(count):
            journal.add(KEYS[number], VECTORS[number] if number % 3 else None)
        raise Stopped
    return before


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.index.journal"


def test_what_is_written_down_is_there_again_to_the_last_bit_and_gone_at_the_end(path):
    assert begin(path, 4) == {}
    with open_journal(path, ORIGIN, 8) as journal:
        assert sorted(journal.done) == KEYS[:4]
        for number in range(4):
            found = journal.done[KEYS[number]]
            assert found is None if number % 3 == 0 else found.tobytes() == VECTORS[number].tobytes()
    assert not list(path.parent.iterdir())


def test_it_is_a_database_with_a_write_ahead_log_that_is_flushed(path):
    with pytest.raises(Stopped), open_journal(path, ORIGIN, 8) as journal:
        database = journal._database
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
        journal.add(KEYS[0], VECTORS[0])
        assert {entry.name for entry in path.parent.iterdir()} == {path.name, f"{path.name}-wal"}
        raise Stopped
    with sqlite3.connect(path) as found:
        assert found.execute("SELECT count(*) FROM studies").fetchone() == (1,)
    found.close()


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_a_killed_run_loses_no_study_that_was_written_down(path):
    code = (
        "import os, signal, sys, numpy as np; from alta_sdk.index.journal import open_journal;"
        "from alta_sdk.index.search import IndexOrigin; from pathlib import Path\n"
        "with open_journal(Path(sys.argv[1]), IndexOrigin('studies', 'engine', 'frontal'), 8) as journal:\n"
        "    for number in range(5): journal.add(bytes([number]) * 16, np.full(8, number, np.float32))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], check=False)
    assert done.returncode == -signal.SIGKILL
    with open_journal(path, ORIGIN, 8) as journal:
        assert {key: vector[0] for key, vector in journal.done.items()} == {KEYS[n]: n for n in range(5)}


def test_one_holds_it_and_a_second_is_refused_at_once(path):
    with open_journal(path, ORIGIN, 8) as journal:
        for _ in range(2):
            with pytest.raises(EngineError, match="another process"), open_journal(path, ORIGIN, 8):
                pass
        journal.add(KEYS[0], VECTORS[0])  # it is still held, and still writes
        code = (
            "import sys; from pathlib import Path; from alta_sdk.index.journal import open_journal;"
            "from alta_sdk.index.search import IndexOrigin\n"
            "with open_journal(Path(sys.argv[1]), IndexOrigin('studies', 'engine', 'frontal'), 8): pass"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "another process is writing this index" in done.stderr
    assert not path.exists()


def test_the_journal_of_another_run_stays_and_is_refused(path):
    begin(path, 2)
    before = path.read_bytes()
    for origin, width in ((IndexOrigin("studies", "other", "frontal"), 8), (ORIGIN, 16)):
        with pytest.raises(EngineError, match="unfinished run"), open_journal(path, origin, width):
            pass
    assert path.read_bytes() == before
    assert len(begin(path, 0)) == 2


@pytest.mark.parametrize("content", [b"ALTAJNL\x01" + b"x" * 60, b"The thesis.", b"SQLite format 3\0", b"\0" * 5000])
def test_what_is_no_journal_stays_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"unfinished run|damaged|cannot be written"), open_journal(path, ORIGIN, 8):
        pass
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "marks",
    [
        "",
        "PRAGMA journal_mode = WAL",
        "PRAGMA application_id = 1196444487",  # GeoPackage
        "PRAGMA user_version = 1",
        f"PRAGMA application_id = {journals.APPLICATION_ID}; PRAGMA user_version = 2",
    ],
    ids=["plain", "with a log", "marked", "of a version", "a journal of another version"],
)
def test_a_database_of_somebody_else_stays_as_it_is(path, marks):
    database = sqlite3.connect(path)
    database.executescript(f"{marks}; CREATE TABLE patients (name TEXT); INSERT INTO patients VALUES ('Jane');")
    database.close()
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(EngineError, match="unfinished run"), open_journal(path, ORIGIN, 8):
            pass
        assert path.read_bytes() == before and [entry.name for entry in path.parent.iterdir()] == [path.name]
    database = sqlite3.connect(path)
    assert database.execute("SELECT name FROM patients").fetchall() == [("Jane",)]
    database.close()


def test_a_database_of_somebody_else_that_is_open_or_was_killed_stays_as_it_is(path, tmp_path):
    own = tmp_path / "theirs"
    database = sqlite3.connect(own)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE patients (name TEXT)")
    for end in ("", "-wal"):  # as a kill leaves them: the table is in the log alone
        path.with_name(path.name + end).write_bytes(own.with_name(own.name + end).read_bytes())
    killed = {entry: entry.read_bytes() for entry in (path, path.with_name(f"{path.name}-wal"))}
    for place in (path, own):
        with pytest.raises(EngineError, match="unfinished run"), open_journal(place, ORIGIN, 8):
            pass
    assert {entry: entry.read_bytes() for entry in killed} == killed
    database.execute("INSERT INTO patients VALUES ('Jane')")
    database.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a pipe"])
def test_what_is_no_file_is_no_journal_and_is_not_waited_for(path, kind, make_special, run_in_time):
    make_special(kind, path)

    def refuse():
        with pytest.raises(EngineError, match="unfinished run"), open_journal(path, ORIGIN, 8):
            pass

    run_in_time(refuse)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "n" * 300])
def test_a_name_that_no_file_can_have_is_told(path, name):
    with pytest.raises(EngineError, match="index cannot be written"), open_journal(path.with_name(name), ORIGIN, 8):
        pass


def test_a_row_that_the_disk_damaged_is_embedded_again(path):
    begin(path, 3)
    database = sqlite3.connect(path)
    with database:
        database.execute("UPDATE studies SET vector = ? WHERE key = ?", (VECTORS[5].tobytes(), KEYS[1]))
    database.close()
    assert sorted(begin(path, 0)) == [KEYS[0], KEYS[2]]


def test_a_disk_that_is_full_costs_the_last_study_alone(path, monkeypatch):
    hold = journals._hold

    def hold_on_a_small_disk(database):
        hold(database)
        database.execute("PRAGMA max_page_count = 4")

    with monkeypatch.context() as small:
        small.setattr(journals, "_hold", hold_on_a_small_disk)
        with pytest.raises(EngineError, match="journal of the index cannot be written: .*full"):
            with open_journal(path, ORIGIN, 4000) as journal:
                for number in range(6):
                    journal.add(KEYS[number], np.zeros(4000, dtype=np.float32))
    with open_journal(path, ORIGIN, 4000) as journal:
        done = len(journal.done)
        journal.add(KEYS[5], np.zeros(4000, dtype=np.float32))
    assert done < 6


def test_a_run_that_wrote_nothing_down_leaves_nothing(path):
    begin(path, 0)
    assert not list(path.parent.iterdir())
