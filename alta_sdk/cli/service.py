"""`alta service`: what is asked of a service, whether it runs just now or not."""

import getpass
from datetime import datetime
from pathlib import Path

import click

from .option_groups import json_option
from .serve import config_option, open_settings
from .terminal import fail_in_one_line, print_facts, print_line, print_object, print_table

ANSWER_S = 300.0  # opening engines anew may take minutes
SHOWN = 20

key_option = click.option("--study", "key", required=True, metavar="KEY", help="The study's key, as status shows it.")


@click.group()
def service() -> None:
    """Look after a service: its state, single studies, its engines, its installation."""


@service.command()
@config_option
@json_option()
@fail_in_one_line
def status(config: Path, as_json: bool) -> None:
    """Show how many studies are where, what waits for whom, and which studies need somebody."""
    from ..service.status import read_status

    found = read_status(open_settings(config, must_exist=False))
    if as_json:
        print_object(found)
        return
    print_facts(
        "Service",
        [
            ("state", "runs" if found["runs"] else "does not run"),
            *((f"studies {state}", count) for state, count in found["studies"].items()),
            ("answers to commitment", found["commitments_waiting"]),
            ("disk free", f"{found['disk_free_mib']} MiB"),
        ],
    )
    for name, counts in found["deliveries"].items():
        print_line(f"  to {name}: {', '.join(f'{count} {state}' for state, count in counts.items())}")
    if found["troubled"]:
        rows = [(one["key"], one["state"], show_time(one["changed_at"]), one["reason"]) for one in found["troubled"]]
        print_table("Studies that need somebody", ["study", "state", "since", "why"], rows[:SHOWN])
        if len(rows) > SHOWN:
            print_line(f"and {len(rows) - SHOWN} more: --json lists them")


@service.command()
@config_option
@key_option
@fail_in_one_line
def retry(config: Path, key: str) -> None:
    """Score a study again that was refused or has failed."""
    order(config, "retry", key)


@service.command()
@config_option
@key_option
@fail_in_one_line
def erase(config: Path, key: str) -> None:
    """Remove every trace of a study from this machine; what was delivered stays where it is."""
    order(config, "erase", key)


@service.command()
@config_option
@fail_in_one_line
def reload(config: Path) -> None:
    """Open the engines anew, with the thresholds beside them; those before stay if one of them cannot be."""
    order(config, "reload", "")


@service.command()
@config_option
@click.option("--user", default="alta", show_default=True, help="Whom the service runs as (Linux).")
@click.option("--show", is_flag=True, help="Print what would be done, and do nothing.")
@fail_in_one_line
def install(config: Path, user: str, show: bool) -> None:
    """Let the service start with this machine: a systemd unit, or a service of Windows."""
    from ..service.install import plan_install

    plan = plan_install(open_settings(config), config, user)
    for line in plan.describe() if show else plan.carry_out():
        print_line(line)


@service.command("hash-password")
@fail_in_one_line
def hash_password() -> None:
    """Ask for a password, twice, and print the line that [web.users] keeps of it."""
    from ..service.web.login import hash_password as make_hash

    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    print_line(make_hash(password))


def order(config: Path, verb: str, argument: str) -> None:
    """Have something done, by the service if it runs, else here; print what came of it."""
    from ..service.commanding import command_service

    settings = open_settings(config, must_exist=False)
    answer = command_service(settings, verb, argument, name_actor(), most_seconds=ANSWER_S)
    print_line(answer)


def name_actor() -> str:
    """Return whom the audit names."""
    try:
        return f"command of {getpass.getuser()}"
    except (KeyError, OSError):  # an account without a name
        return "command"


def show_time(seconds: float) -> str:
    """Return a time of the queue as people read it."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
