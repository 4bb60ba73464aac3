"""`alta keygen`: a key pair that engines are signed and checked with."""

import os
from pathlib import Path

import click

from ..engine.signature import describe_public_key, make_key_pair
from ..errors import AltaError
from ..files.new_files import create_file
from .option_groups import FILE
from .terminal import fail_in_one_line, print_facts

PUBLIC = ".pub"


@click.command()
@click.argument("file", metavar="FILE", type=FILE)
@fail_in_one_line
def keygen(file: Path) -> None:
    """Make a key pair: FILE, the private key, which signs engines, and FILE.pub, which sites trust.

    Keep FILE secret and in one place; give FILE.pub to whoever opens the engines, by a way that they trust. Neither
    file is ever replaced. Ed25519, in PEM.
    """
    public_file = file.with_name(file.name + PUBLIC)
    for path, what in ((public_file, "public key"), (file, "private key")):
        if os.path.lexists(path):
            raise AltaError(f"file of the {what} exists: a key is never replaced; give another name")
    private, public = make_key_pair()
    write_key(file, private, "private key", 0o600)
    try:
        write_key(public_file, public, "public key", 0o644)
    except AltaError:
        file.unlink(missing_ok=True)  # half a pair is of no use, and would have to be removed by hand
        raise
    print_facts(
        "Key pair",
        [("fingerprint", describe_public_key(public)), ("private key", file.name), ("public key", public_file.name)],
    )


def write_key(path: Path, data: bytes, what: str, mode: int) -> None:
    """Write a new key file, whole or not at all; raise AltaError if the name is taken or the disk refuses it."""
    try:
        create_file(path, data, mode)
    except FileExistsError as error:
        raise AltaError(f"file of the {what} exists: a key is never replaced; give another name") from error
    except OSError as error:
        raise AltaError(f"{what} cannot be written: {error.strerror or type(error).__name__}") from error
