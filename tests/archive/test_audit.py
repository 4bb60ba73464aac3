"""What the commands leave behind and open: no connection beyond this machine, no file in the home folder."""

import os
import subprocess
import sys

import pytest

AUDIT = """
import ipaddress, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not ipaddress.ip_address(address[0]).is_loopback:
            sys.stderr.write(f"AUDIT {event} {address}\\n")
    if event == "socket.getaddrinfo" and arguments[0] not in ("localhost", "127.0.0.1", "::1", None):
        sys.stderr.write(f"AUDIT {event} {arguments[0]}\\n")
sys.addaudithook(refuse)
from alta_sdk.cli import main
main(sys.argv[1:])
"""


def audit_engine(engine, studies, bundle, folder):
    """Embed on an engine in a process that tells of every address; return what is left in its home folder."""
    home = folder / "home"
    home.mkdir()
    more = ["--on", engine, "--workers", 1, "--any-picture", "--key-file", folder / "site.key"]
    (folder / "site.key").write_text("0a" * 32 + "\n", encoding="ascii")
    (folder / "site.key").chmod(0o600)
    command = [sys.executable, "-c", AUDIT, "embed", studies, "--engine", bundle, "--out", folder / "a.lance", *more]
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("XDG_CONFIG_HOME", None)
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "StudyError" in done.stderr.splitlines()[-1], done.stderr
    assert "AUDIT" not in done.stderr, done.stderr
    assert "0a0a0a" not in done.stdout + done.stderr
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_nothing_but_loopback_and_no_file_in_the_home_folder(engine, studies, bundle, tmp_path):
    assert audit_engine(engine, studies, bundle, tmp_path) == set()
