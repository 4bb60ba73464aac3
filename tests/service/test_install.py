"""The service starts with the machine: a unit that systemd can read, a service that Windows can run."""

import ctypes
import shlex
import subprocess
from configparser import RawConfigParser
from dataclasses import replace
from pathlib import Path

import pytest

from alta_sdk.errors import ServiceError
from alta_sdk.service import install, windows_service
from alta_sdk.service.install import Plan, plan_install, plan_systemd, quote_for_systemd
from service.fixtures import make_settings


@pytest.fixture
def settings(tmp_path):
    return make_settings(tmp_path / "state")


def read_unit(text):
    unit = RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read_string(text)
    return unit["Service"]


def test_the_unit_starts_the_command_as_the_user_and_lets_it_write_its_state_alone(settings, tmp_path):
    plan = plan_systemd(("/opt/a b/alta", "serve", "--config", "/etc/alta/service.toml"), settings, "alta")
    service = read_unit(plan.text)
    assert shlex.split(service["ExecStart"]) == ["/opt/a b/alta", "serve", "--config", "/etc/alta/service.toml"]
    assert service["User"] == "alta" and service["ReadWritePaths"] == f'"{tmp_path / "state"}"'
    assert service["ProtectSystem"] == "strict" and service["UMask"] == "0077"
    assert "XDG_CONFIG_HOME" in plan.text
    with_key = plan_systemd(("alta",), replace(settings, site_key=tmp_path / "site.key"), "alta")
    assert "XDG_CONFIG_HOME" not in with_key.text


def test_what_systemd_would_read_as_its_own_is_quoted():
    assert quote_for_systemd('50% of "$HOME" \\ x') == '"50%% of \\"$$HOME\\" \\\\ x"'


def test_the_plan_is_shown_as_it_would_be_done(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(install, "find_program", lambda: "/opt/alta")
    shown = list(plan_install(settings, tmp_path / "service.toml", "alta", system="linux").describe())
    assert shown[0] == "/etc/systemd/system/alta.service:" and "[Install]" in shown
    assert shown[-2:] == ["systemctl daemon-reload", "systemctl enable --now alta.service"]


def test_windows_gets_a_service_that_is_one_process_in_the_same_environment(settings, monkeypatch):
    monkeypatch.setattr(install.sys, "_base_executable", r"C:\Program Files\python.exe", raising=False)
    monkeypatch.setattr(install.sys, "executable", r"D:\venv\python.exe")
    monkeypatch.setattr(install.sys, "base_prefix", "elsewhere")
    plan = plan_install(settings, Path("/a b/service.toml"), "alta", system="win32")
    create, environment, failure, start = plan.commands
    assert create[:4] == ("sc.exe", "create", "alta", "binPath=") and create[5:7] == ("start=", "auto")
    run = '"from alta_start import alta; alta()"'
    assert create[4] == rf'"C:\Program Files\python.exe" -c {run} serve --config "/a b/service.toml"'
    assert environment[-2] == r"__PYVENV_LAUNCHER__=D:\venv\python.exe"
    assert failure[1] == "failure" and start[1] == "start"


def test_another_system_is_told_how_to_do_without(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(install, "find_program", lambda: "/opt/alta")
    with pytest.raises(ServiceError, match="neither systemd nor sc.exe"):
        plan_install(settings, tmp_path / "service.toml", "alta", system="darwin")


def test_a_plan_that_is_carried_out_writes_the_file_and_runs_the_commands(tmp_path, monkeypatch):
    ran = []

    def run(command, **_):
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    plan = Plan(tmp_path / "alta.service", "[Unit]\n", (("systemctl", "daemon-reload"),))
    assert list(plan.carry_out()) == [f"wrote {tmp_path / 'alta.service'}", "ran systemctl daemon-reload"]
    assert (tmp_path / "alta.service").read_text() == "[Unit]\n" and ran == [("systemctl", "daemon-reload")]


def test_what_cannot_be_installed_is_told_in_one_line(tmp_path):
    for plan, told in (
        (Plan(tmp_path / "absent" / "x", "", ()), "run this as root"),
        (Plan(None, "", (("no-such-program-of-alta", "x"),)), "is not on this machine"),
        (Plan(None, "", (("false", "x"),)), "failed with code 1"),
        (Plan(tmp_path / "x", "", (), tmp_path / "state", "no-such-user-of-alta"), "no such user"),
    ):
        with pytest.raises(ServiceError, match=told):
            list(plan.carry_out())
    assert not (tmp_path / "state").exists() and not (tmp_path / "x").exists()


def test_the_command_is_the_one_beside_this_python(monkeypatch, tmp_path):
    program = tmp_path / "alta"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(install.sys, "executable", str(tmp_path / "python"))
    assert Path(install.find_program()) == program


class FakeManager:
    """The service manager of Windows, as far as a service sees it. controls: what it tells the service."""

    def __init__(self, controls=(), is_there=True):
        self.controls, self.is_there, self.states, self.answers = list(controls), is_there, [], []

    def StartServiceCtrlDispatcherW(self, table):
        if not self.is_there:
            return 0
        assert table[0].name == "alta" and table[1].name is None
        windows_service._MAIN(table[0].main)(0, None)
        return 1

    def RegisterServiceCtrlHandlerExW(self, name, handler, context):
        self.handler = handler
        return 7

    def SetServiceStatus(self, handle, status):
        assert handle == 7
        found = ctypes.cast(status, ctypes.POINTER(windows_service.Status)).contents
        self.states.append((found.state, found.exit_code))
        return 1

    def tell(self):
        while self.controls:
            self.answers.append(self.handler(self.controls.pop(0), 0, None, None))


def run_managed(manager, fault=None):
    stopped = []

    def serve(on_start):
        if fault:
            raise fault
        on_start()
        manager.tell()

    run = windows_service.ManagedRun(serve, lambda: stopped.append(True), manager)
    return run, run.start(), stopped


def test_the_manager_of_windows_is_told_how_the_service_stands():
    manager = FakeManager([windows_service.INTERROGATE, 99, windows_service.STOP])
    run, was_run, stopped = run_managed(manager)
    pending, running, stopping = (
        getattr(windows_service, name) for name in ("START_PENDING", "RUNNING", "STOP_PENDING")
    )
    assert was_run and stopped == [True] and run.error is None
    assert manager.states == [(pending, 0), (running, 0), (stopping, 0), (windows_service.STOPPED, 0)]
    assert manager.answers == [0, windows_service.NOT_IMPLEMENTED, 0]


def test_a_service_that_fails_under_the_manager_says_so_and_the_error_comes_out():
    manager = FakeManager()
    run, _, _ = run_managed(manager, ServiceError("port is taken"))
    assert manager.states[-1] == (windows_service.STOPPED, windows_service.SERVICE_SPECIFIC)
    assert str(run.error) == "port is taken"


def test_on_a_console_the_service_runs_as_anywhere():
    assert run_managed(FakeManager(is_there=False))[1] is False
    assert windows_service.run_under_manager(lambda on_start: None, lambda: None) is False
