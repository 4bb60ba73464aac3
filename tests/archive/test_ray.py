"""Ray, all of it in this file: two clusters at once are more than a small machine starts in time."""

import socket

import pytest
from conftest import ROOT

from alta_sdk import RuntimeUnavailable
from alta_sdk.archive import clusters
from archive.studies import READABLE, read_table, run_shell
from archive.test_audit import audit_engine
from archive.test_engines import compare_cluster


def test_ray_that_is_started_here_gives_the_same_bits(studies, bundle, index, tmp_path):
    compare_cluster("ray", studies, bundle, index, tmp_path)


def test_nothing_but_loopback_and_no_file_in_the_home_folder_but_rays_token(studies, bundle, tmp_path):
    assert audit_engine("ray", studies, bundle, tmp_path) <= {".ray/auth_token"}


def find_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def test_the_example_of_a_cluster_of_two_workers_embeds_everything(environment):
    for _ in range(clusters.STARTS):  # `ray start`, and its server of clients, give up after 30 s: too soon when busy
        more = {"PORT": find_port(), "CLIENT_PORT": find_port()}
        done = run_shell([str(ROOT / "examples" / "archive" / "ray.sh")], environment, **more)
        if not any(late in done.stderr for late in ("timed out during startup", "Ray is not reached")):
            break
    assert "StudyError: 4 of 21" in done.stderr, done.stderr
    assert len(read_table(environment["ARCHIVE"])) == READABLE - 1


@pytest.mark.parametrize(("stated", "told"), [("1", True), ("0", False), (None, True)])
def test_a_head_tells_whether_it_reports_usage(stated, told, monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_USAGE_STATS_CONFIG_PATH", str(tmp_path / "none.json"))
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    if stated is not None:
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", stated)
    assert clusters._reports_usage() is told


def test_a_ray_that_has_moved_what_tells_it_counts_as_reporting(monkeypatch):
    def lack(name, extra):
        raise RuntimeUnavailable(name)

    monkeypatch.setattr(clusters, "require", lack)
    assert clusters._reports_usage() is False, "the environment of the tests says no"
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    assert clusters._reports_usage() is True
