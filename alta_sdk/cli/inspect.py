"""`alta inspect`: the manifest for a person, and whether the files are what it says."""

from dataclasses import asdict

import click

from ..engine.bundle import open_bundle
from ..engine.manifest import Manifest
from .option_groups import json_option
from .terminal import fail_in_one_line, print_facts, print_object, print_table


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path())
@json_option("Print the manifest as one JSON object.")
@fail_in_one_line
def inspect(engine: str, as_json: bool) -> None:
    """Show what an engine is and verify the hash of every file.

    Exits with 1 if a file is missing or was changed.
    """
    manifest = open_bundle(engine).manifest
    if as_json:
        print_object({**asdict(manifest), "sha256": manifest.sha256, "verified": True})
        return
    show_manifest(manifest)
    print_table(
        "Files, all verified",
        ["file", "bytes", "sha256"],
        [(f.name, f.size, f.sha256) for f in manifest.files],
    )


def show_manifest(manifest: Manifest) -> None:
    """Print the fields that a person decides by."""
    print_facts(
        f"Engine {manifest.name}",
        [
            ("use", manifest.intended_use),
            ("licence", manifest.licence),
            ("training data", manifest.training_data),
            *(("notice", notice) for notice in manifest.notices),
            ("method", manifest.method),
            ("exported", f"{manifest.created} by alta-sdk {manifest.sdk_version}"),
            ("engine sha256", manifest.sha256),
            ("schema", manifest.schema_version),
            ("fusion mode", manifest.fusion_mode),
            ("logit scale", f"{manifest.logit_scale:.4f}"),
            *((name.replace("_", " "), value) for name, value in manifest.source.items()),
        ],
    )
    sections = {
        "Sizes": manifest.sizes,
        "Preprocessing": manifest.preprocessing,
        "Runtime and precision": manifest.engine,
        "Merging": manifest.merging,
        "Verification against the PyTorch towers": manifest.verification,
    }
    for title, section in sections.items():
        print_facts(title, [pair for name, value in section.items() for pair in _lines(name.replace("_", " "), value)])


def _lines(name: str, value: object) -> list[tuple[str, str]]:
    """Give a plain value one line, and a nested one a line for each of its entries."""
    if not isinstance(value, dict):
        return [(name, _shown(value))]
    if all(isinstance(item, int) for item in value.values()):  # operator counts, limits: short enough for one line
        return [(name, ", ".join(f"{key.replace('_', ' ')} {_shown(item)}" for key, item in value.items()))]
    return [line for key, item in value.items() for line in _lines(f"{name}, {key.replace('_', ' ')}", item)]


def _shown(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.9g}"
