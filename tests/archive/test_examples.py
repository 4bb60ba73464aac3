"""The examples are run: the Slurm array and the Kubernetes job as the shell that they are (Ray: test_ray.py)."""

import re

import yaml
from conftest import ROOT

from archive.studies import READABLE, read_table, run_shell

EXAMPLES = ROOT / "examples" / "archive"


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
