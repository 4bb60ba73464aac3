"""Train ALTA's adapters. This version of alta-sdk exports and runs trained checkpoints; it does not train yet."""

import click

from alta_sdk import AltaError
from alta_sdk.terminal import fail_in_one_line


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@fail_in_one_line
def main() -> None:
    """Train adapters inside the frozen towers (not in this version).

    Training is planned for a later version of alta-sdk. Until then, export a checkpoint that was trained
    elsewhere in the published format: alta-export --checkpoint ALTA.pth --text-model FOLDER --output
    NAME.alta
    """
    raise AltaError("training is not part of this version; export a trained checkpoint with alta-export")


if __name__ == "__main__":
    main()
