"""The file of state: what opens, what is refused, and what is left of what was deleted."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from alta_sdk.errors import ServiceError
from alta_sdk.service.database import APPLICATION_ID, FILE_NAME, VERSION, Database


def note(database, text):
    with database.write() as cursor:
        cursor.execute("INSERT INTO audit (at, actor, action, study_key, detail) VALUES (0, 'a', 'b', 'c', ?)", (text,))


def read_notes(database):
    return [row["detail"] for row in database.read("SELECT detail FROM audit ORDER BY id")]


def test_what_was_written_is_there_when_the_file_is_opened_again(tmp_path):
    with Database(tmp_path) as database:
        note(database, "x")
    with Database(tmp_path) as database:
        assert read_notes(database) == ["x"]


def test_it_is_flushed_at_every_commit_and_overwrites_what_is_deleted(tmp_path):
    with Database(tmp_path) as database:
        found = {
            name: database.read(f"PRAGMA {name}")[0][0]
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys", "application_id")
        }
    full = 2
    assert found == {
        "journal_mode": "wal",
        "synchronous": full,
        "secure_delete": 1,
        "foreign_keys": 1,
        "application_id": APPLICATION_ID,
    }


@pytest.mark.skipif(os.name == "nt", reason="POSIX alone has modes")
def test_it_is_its_owners_alone(tmp_path):
    with Database(tmp_path) as database:
        note(database, "x")
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def test_a_block_that_fails_writes_nothing(tmp_path):
    with Database(tmp_path) as database:
        with pytest.raises(ZeroDivisionError), database.write() as cursor:
            cursor.execute("INSERT INTO audit (at, actor, action, study_key, detail) VALUES (0, '', '', '', 'x')")
            raise ZeroDivisionError
        assert read_notes(database) == []


def test_threads_write_one_after_another(tmp_path):
    with Database(tmp_path) as database:
        threads = [
            threading.Thread(target=lambda: [note(database, str(number)) for number in range(20)]) for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(read_notes(database)) == 100


def test_two_processes_share_it(tmp_path):
    program = (
        "import sys; from pathlib import Path; from alta_sdk.service.audit import Audit;"
        "from alta_sdk.service.database import Database\n"
        "with Database(Path(sys.argv[1])) as database:\n"
        "    for number in range(20): Audit(database).note('other', 'x')\n"
    )
    with Database(tmp_path) as database:
        other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
        for number in range(20):
            note(database, str(number))
        assert other.wait(120) == 0
        assert len(read_notes(database)) == 40


def test_two_processes_that_make_it_at_once_make_one(tmp_path):
    program = (
        "import sys; from pathlib import Path; from alta_sdk.service.database import Database;"
        "Database(Path(sys.argv[1])).close()"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(120) for process in both] == [0] * 4
    with Database(tmp_path) as database:
        note(database, "x")


def test_nothing_deleted_is_left_in_the_file_or_its_log(tmp_path):
    secret = "1.2.826.0.1.3680043.8.498.4711"
    with Database(tmp_path) as database:
        for _ in range(50):
            note(database, secret)
        assert is_in_files(secret, tmp_path)
        with database.write() as cursor:
            cursor.execute("DELETE FROM audit")
        database.empty_log()
        assert not is_in_files(secret, tmp_path)
        note(database, "still usable")


def is_in_files(secret, folder):
    return any(secret.encode() in path.read_bytes() for path in folder.iterdir())


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(ServiceError, match="cannot be read: file is not a database"):
        Database(tmp_path)


def test_a_database_of_something_else_is_refused_and_stays_as_it_was(tmp_path):
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(ServiceError, match="is of version 0"):
        Database(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME)
    assert [row[0] for row in other.execute("SELECT name FROM sqlite_master")] == ["theirs"]
    other.close()


def test_a_queue_of_another_version_is_refused(tmp_path):
    with Database(tmp_path) as database:
        database.read(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(ServiceError, match=f"is of version {VERSION + 1}, not {VERSION}"):
        Database(tmp_path)


def test_a_folder_that_is_not_there_is_told_without_its_path(tmp_path):
    with pytest.raises(ServiceError, match=r"cannot be opened: No such file or directory; check \[service\] state"):
        Database(tmp_path / "secret" / "path")
    with pytest.raises(ServiceError) as error:
        Database(tmp_path / "secret" / "path")
    assert "secret" not in str(error.value)


def test_closing_twice_does_nothing(tmp_path):
    database = Database(tmp_path)
    database.close()
    database.close()
