"""Let the service start with the machine: a systemd unit on Linux, a service of Windows by `sc.exe`.

First a plan, which can be shown; then it is carried out, by whoever may. The command is the same in both:
`alta serve --config F`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ServiceError
from ..files.atomic import new_file
from .database import error_text
from .settings import Settings
from .windows_service import NAME

RUN = "from alta_start import alta; alta()"
KEY = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\" + NAME
UNIT_FOLDER = Path("/etc/systemd/system")
COMMAND_S = 120
UNIT = """\
# Written by: alta service install
[Unit]
Description=alta-sdk: scores of chest radiographs, not for clinical use
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
User={user}
UMask=0077
Restart=on-failure
RestartSec=5
TimeoutStopSec=120
KillMode=mixed
{key}NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={state}

[Install]
WantedBy=multi-user.target
"""
# Where the configuration names no site key, it is made among the settings of the service's user: here.
OWN_SETTINGS = "StateDirectory=alta-sdk\nStateDirectoryMode=0700\nEnvironment=XDG_CONFIG_HOME=%S/alta-sdk\n"


@dataclass(frozen=True)
class Plan:
    """What is to be written, and what is to be run after it. owned: a folder to make for a user."""

    file: Path | None
    text: str
    commands: tuple[tuple[str, ...], ...]
    owned: Path | None = None
    user: str = ""

    def describe(self) -> Iterator[str]:
        """Yield what would be done, as a person would do it."""
        if self.file is not None:
            yield f"{self.file}:"
            yield from self.text.splitlines()
            yield ""
        for command in self.commands:
            yield subprocess.list2cmdline(command)

    def carry_out(self) -> Iterator[str]:
        """Do it, and yield what was done. Raises ServiceError, with what is missing."""
        try:
            if self.owned is not None:
                make_owned_folder(self.owned, self.user)
            if self.file is not None:
                with new_file(self.file) as temporary:
                    temporary.write_text(self.text, encoding="utf-8")
                yield f"wrote {self.file}"
        except OSError as error:
            raise ServiceError(
                f"unit cannot be written: {error_text(error)}; run this as root, or see --show"
            ) from error
        for command in self.commands:
            run_command(command)
            yield f"ran {subprocess.list2cmdline(command)}"


def plan_install(settings: Settings, config: Path, user: str, *, system: str = sys.platform) -> Plan:
    """Return what installs the service on this system. Raises ServiceError for one that has neither."""
    arguments = ("serve", "--config", str(config.absolute()))
    if system == "win32":
        return plan_windows((*find_base_python(), *arguments))
    if system.startswith("linux"):
        return plan_systemd((find_program(), *arguments), settings, user)
    raise ServiceError("this system has neither systemd nor sc.exe: let it run `alta serve --config FILE` at its start")


def find_program() -> str:
    """Return where the command `alta` is that belongs to this Python."""
    beside = shutil.which("alta", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("alta")
    if found is None:
        raise ServiceError("the command alta is not beside this Python: install alta-sdk there")
    return os.path.abspath(found)


def find_base_python() -> tuple[str, ...]:
    """Return what runs `alta` in one process: the program, and its environment's Python, start another one.

    The service manager of Windows listens to the process alone that it has started itself.
    """
    return getattr(sys, "_base_executable", sys.executable), "-c", RUN


def plan_systemd(command: Sequence[str], settings: Settings, user: str) -> Plan:
    """Return a unit, and what switches it on."""
    state = settings.state.absolute()
    text = UNIT.format(
        command=" ".join(quote_for_systemd(part) for part in command),
        user=user,
        key=OWN_SETTINGS if settings.site_key is None else "",
        state=quote_for_systemd(str(state)),
    )
    commands = (("systemctl", "daemon-reload"), ("systemctl", "enable", "--now", f"{NAME}.service"))
    return Plan(UNIT_FOLDER / f"{NAME}.service", text, commands, state, user)


def quote_for_systemd(text: str) -> str:
    """Return one word of a unit's line. Source: systemd.service(5), "Command lines"; systemd.syntax(7)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def plan_windows(command: Sequence[str]) -> Plan:
    """Return what makes a service of Windows: it starts with the machine, and again where it has failed."""
    path = subprocess.list2cmdline(command)
    launcher = f"__PYVENV_LAUNCHER__={sys.executable}"  # says to the base Python which environment it is in
    in_environment = ("reg.exe", "add", KEY, "/v", "Environment", "/t", "REG_MULTI_SZ", "/d", launcher, "/f")
    commands = (
        ("sc.exe", "create", NAME, "binPath=", path, "start=", "auto", "DisplayName=", "alta-sdk"),
        *((in_environment,) if sys.prefix != sys.base_prefix else ()),
        ("sc.exe", "failure", NAME, "reset=", "86400", "actions=", "restart/5000/restart/5000/restart/60000"),
        ("sc.exe", "start", NAME),
    )
    return Plan(None, "", commands)


def make_owned_folder(folder: Path, user: str) -> None:
    """Make the state folder, of a user's own. Raises ServiceError if there is no such user, OSError."""
    import pwd

    try:
        account = pwd.getpwnam(user)
    except KeyError as error:
        raise ServiceError("this machine has no such user: useradd --system NAME, or give another --user") from error
    is_new = not os.path.exists(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_new:
        os.chown(folder, account.pw_uid, account.pw_gid)


def run_command(command: Sequence[str]) -> None:
    """Run one command; raise ServiceError if it is not there, fails, or does not end."""
    shown = " ".join(command[:2])
    try:
        done = subprocess.run(command, capture_output=True, timeout=COMMAND_S, check=False)
    except FileNotFoundError as error:
        raise ServiceError(f"{command[0]} is not on this machine: see --show, and do it by hand") from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{shown} does not end: see --show, and do it by hand") from error
    if done.returncode:
        raise ServiceError(f"{shown} failed with code {done.returncode}: run this with the rights of an administrator")
