"""The examples are run: the Slurm array and the Kubernetes job as the shell that they are, the Ray cluster for real."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from archive.studies import READABLE, read_table

EXAMPLES = ROOT / "examples" / "archive"


@pytest.fixture
def environment(studies, bundle, tmp_path):
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


def run_shell(script, environment, **more):
    done = subprocess.run(["bash", *script], env={**environment, **more}, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done


def test_a_slurm_array_embeds_everything(environment):
    for number in range(2):
        more = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": "2"}
        assert run_shell([str(EXAMPLES / "slurm.sh")], environment, **more).returncode == 0
    assert len(read_table(environment["ARCHIVE"])) == READABLE - 1


def test_a_kubernetes_job_embeds_everything(environment):
    job = yaml.safe_load((EXAMPLES / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    names = {one["name"] for one in container["env"]}
    assert set(re.findall(r"\$\{?([A-Z_]+)", container["args"][0])) - {"MORE", "JOB_COMPLETION_INDEX"} <= names
    for number in range(2):
        more = {"JOB_COMPLETION_INDEX": str(number), "PARTS": "2"}
        done = run_shell(["-c", container["args"][0]], environment, **more)
        assert done.returncode == 0, done.stderr
    assert len(read_table(environment["ARCHIVE"])) == READABLE - 1


def find_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.mark.skipif(os.environ.get("ALTA_RAY") != "1", reason="minutes long: set ALTA_RAY=1")
def test_a_ray_cluster_of_two_workers_embeds_everything(environment):
    more = {"PORT": find_port(), "CLIENT_PORT": find_port()}
    done = run_shell([str(EXAMPLES / "ray.sh")], environment, **more)
    assert "StudyError: 4 of 21" in done.stderr, done.stderr
    assert len(read_table(environment["ARCHIVE"])) == READABLE - 1
