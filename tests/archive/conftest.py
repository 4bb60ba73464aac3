"""Archives of small studies by a small engine, and an object store on loopback."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from archive.studies import BUCKET, connect, embed, run, write_studies

PACKAGES = ("lance", "pyarrow", "ray", "distributed", "moto", "boto3")
ABSENT = [name for name in PACKAGES if importlib.util.find_spec(name) is None]


def pytest_collection_modifyitems(items):
    """Without the packages of the extras all are skipped, which is a failure on CI (tests/conftest.py)."""
    for item in items if ABSENT else ():
        if Path(__file__).parent in Path(item.fspath).parents:
            item.add_marker(pytest.mark.skip(reason=f"packages of an archive absent: {', '.join(ABSENT)}"))


@pytest.fixture(scope="session")
def site_key_file(tmp_path_factory):
    """One site key for all processes of a test run: archives that one of them made are used by the others."""
    key = tmp_path_factory.mktemp("site") / "alta-site.key"
    key.write_text("5a" * 32 + "\n")
    key.chmod(0o600)
    return str(key)


@pytest.fixture(scope="module", autouse=True)
def quiet_clusters(site_key_file):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("LANCE_LOG", "error")
        patch.setenv("ALTA_SITE_KEY", site_key_file)
        yield


@pytest.fixture(scope="session")
def studies(make_once):
    """Pictures, loose DICOM files of which two are one study, a folder, a zip, a twin; and four that cannot be read."""
    return make_once("studies-of-an-archive", write_studies)


@pytest.fixture(scope="session")
def index(make_once, studies, bundle, site_key_file):
    """What `alta embed` makes of the same studies: the vectors by key."""

    def make(folder):
        out = ["--out", folder / "a.index", "--key-file", site_key_file]
        result = run("embed", studies, "--engine", bundle, *out, "--any-picture")
        assert result.exit_code == 1, result.output

    from alta_sdk import ReportIndex

    opened = ReportIndex.open(make_once("index-of-an-archive", make) / "a.index")
    return dict(zip(opened.keys, opened.vectors_by_row(), strict=True))


@pytest.fixture(scope="session")
def archive(make_once, studies, bundle, site_key_file):
    """An archive of the studies, made on this machine; tests that change it copy it first."""

    def make(folder):
        labels = ["--labels", "edema, pleural effusion", "--key-file", site_key_file]
        embed(studies, folder / "a.lance", bundle, "--any-picture", *labels)

    return make_once("archive", make) / "a.lance"


@pytest.fixture
def own_archive(archive, tmp_path):
    """A copy of the archive."""
    import shutil

    for end in ("", ".parts"):
        shutil.copytree(f"{archive}{end}", tmp_path / f"a.lance{end}")
    return tmp_path / "a.lance"


@pytest.fixture(scope="module")
def store():
    """A store with an empty bucket, on loopback; the environment has its address and credentials."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    endpoint = f"http://127.0.0.1:{port}"
    names = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "SECRETACCESSKEYID",
        "AWS_SECRET_ACCESS_KEY": "SECRETSECRETKEY",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        patch.delenv("HTTP_PROXY", raising=False)
        for _ in range(600):
            try:
                urllib.request.urlopen(endpoint, timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        connect(endpoint).create_bucket(Bucket=BUCKET)
        yield endpoint
    process.kill()
    process.wait()


@pytest.fixture
def environment(studies, bundle, tmp_path):
    """What the examples in examples/archive are told."""
    (tmp_path / "site.key").write_text("0b" * 32 + "\n", encoding="ascii")
    (tmp_path / "site.key").chmod(0o600)
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SOURCE": str(studies),
        "ENGINE": str(bundle),
        "ARCHIVE": str(tmp_path / "a.lance"),
        "ALTA_SITE_KEY": str(tmp_path / "site.key"),
        "MORE": "--any-picture --shard-studies 4 --workers 1",
    }
