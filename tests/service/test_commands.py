"""`alta serve` and `alta service` as a person runs them."""

import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from pydicom import dcmread
from schemas import check_output

from alta_sdk.cli import main
from service.fixtures import make_radiograph, write_image
from service.kill_service import name_destination, write_config
from service.peers import find_free_port, start_storescp, store, wait_for_port, wait_until

ALTA = (sys.executable, "-c", "from alta_start import alta; alta()")


@pytest.fixture
def make_config(tmp_path, bundle):
    """Write a service.toml; more: what is added to it."""
    return lambda more="", port=0: write_config(tmp_path, bundle, port, more)


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_command_serves_until_it_is_told_to_stop(make_config, tmp_path):
    port = find_free_port()
    with start_storescp(tmp_path / "pacs") as peer:
        config = make_config(name_destination("pacs", "STORESCP", peer.port), port)
        with open(tmp_path / "log", "wb") as log:
            process = subprocess.Popen([*ALTA, "serve", "--config", str(config)], stdout=log, stderr=log)
        try:
            wait_for_port(port, process)
            assert store(port, write_image(tmp_path / "image.dcm", make_radiograph())).returncode == 0
            (file,) = wait_until(lambda: [one for one in peer.folder.iterdir() if one.suffix != ".tmp"], "a report")
            found = check_output("service-status", run("service", "status", "--config", config, "--json").stdout)
            assert found["runs"] and found["schema_version"] == 1
            reloaded = run("service", "reload", "--config", config)
            assert reloaded.exit_code == 0 and "chest " in reloaded.stdout
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(120)
    assert code == 0
    assert dcmread(file).Modality == "SR"
    log = (tmp_path / "log").read_text()
    assert "service stops" in log and "Traceback" not in log and make_radiograph().PatientID not in log


def test_a_configuration_with_faults_prints_a_line_for_each(make_config):
    config = make_config('[[destinations]]\nhost = "x"\nprt = 5\n')
    for command in (("serve",), ("serve", "--check"), ("service", "status")):
        done = run(*command, "--config", config)
        lines = done.stderr.splitlines()
        assert done.exit_code == 1 and lines[-1].startswith("ServiceError: configuration has 4 faults")
        assert all(line.startswith("configuration, line ") for line in lines[:-1]) and len(lines) == 5


def test_check_prints_a_screen_and_fails_if_something_does(make_config):
    done = run("serve", "--check", "--config", make_config())
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) <= 20 and all(one.startswith("ok") for one in done.stdout.splitlines())
    more = name_destination("pacs", "PACS", find_free_port())
    done = run("serve", "--check", "--json", "--config", make_config(more))
    found = check_output("serve", done.stdout)
    assert done.exit_code == 1 and not found["ok"]
    assert [one["name"] for one in found["checks"] if not one["ok"]] == ["destination pacs"]


def test_status_before_anything_was_served_says_so(make_config):
    done = run("service", "status", "--config", make_config())
    assert done.exit_code == 1 and "no service has run here" in done.stderr


def test_status_is_a_table_for_people(make_config, tmp_path):
    config, port = make_config(), find_free_port()
    config = make_config(port=port)
    process = subprocess.Popen([*ALTA, "serve", "--config", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        store(port, write_image(tmp_path / "image.dcm", make_radiograph(view="LL")))

        def read():
            shown = run("service", "status", "--config", config, "--json")
            return check_output("service-status", shown.stdout)["troubled"]

        (one,) = wait_until(read, "a refused study")
        shown = run("service", "status", "--config", config)
        assert one["key"] in shown.stdout and "no usable frontal" in shown.stdout
        assert run("service", "erase", "--config", config, "--study", one["key"]).stdout == "study is erased\n"
        again = run("service", "retry", "--config", config, "--study", one["key"])
        assert again.exit_code == 1 and "no study has this key" in again.stderr
    finally:
        process.terminate()
        process.wait(120)


def test_install_shows_what_it_would_do(make_config):
    if not sys.platform.startswith("linux"):
        pytest.skip("systemd is of Linux")
    done = run("service", "install", "--show", "--config", make_config())
    assert done.exit_code == 0 and "ExecStart=" in done.stdout and "systemctl daemon-reload" in done.stdout


def test_a_password_is_asked_for_twice_and_its_hash_printed():
    done = CliRunner().invoke(
        main, ["service", "hash-password"], input="correct horse battery\ncorrect horse battery\n"
    )
    assert done.exit_code == 0 and done.stdout.splitlines()[-1].startswith("scrypt:")
    assert CliRunner().invoke(main, ["service", "hash-password"], input="short\nshort\n").exit_code == 1


def test_json_without_check_is_wrong_usage(make_config):
    assert run("serve", "--json", "--config", make_config()).exit_code == 2


def test_the_command_does_not_import_the_service(tmp_path):
    code = "import sys, alta_sdk.cli; sys.exit(any(one.startswith('alta_sdk.service') for one in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0
