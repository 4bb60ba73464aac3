"""Files that a person asks for: whole or not at all, and never over another."""

import pytest

from alta_sdk import AltaError
from alta_sdk.files.targets import check_target, write_target


def test_files_are_written_whole_and_replace_nothing(tmp_path, monkeypatch):
    target = tmp_path / "out.csv"
    write_target(target, "ä\n".encode(), "report", overwrite=False)
    assert target.read_bytes() == "ä\n".encode()
    with pytest.raises(AltaError, match="exists"):
        write_target(target, b"b", "report", overwrite=False)
    write_target(target, b"b", "report", overwrite=True)
    with pytest.raises(AltaError, match="folder of the report does not exist"):
        check_target(tmp_path / "absent" / "out.csv", "report", overwrite=False)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("alta_sdk.files.atomic.os.replace", fail)
    with pytest.raises(AltaError, match="No space left"):
        write_target(target, b"c", "report", overwrite=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["b"]
