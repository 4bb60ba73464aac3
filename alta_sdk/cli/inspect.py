"""`alta inspect`: the manifest for a person, and whether the files are what it says."""

from collections.abc import Mapping
from dataclasses import asdict

import click

from ..engine.bundle import PROMPTS, Bundle, open_bundle, read_signature
from ..engine.card import ModelCard, has_card, read_card
from ..engine.label_sets import LabelSet, parse_label_sets
from ..engine.manifest import Manifest
from ..engine.manifest_content import ALTA
from ..engine.signature import choose_trust, read_signer
from ..engine.trial import try_engine
from ..errors import EngineError
from .doctor import fail_unless_passed, show_drifts
from .option_groups import json_option, trust_option
from .terminal import fail_in_one_line, print_facts, print_line, print_object, print_table


@click.command()
@click.argument("engine", metavar="NAME.alta", type=click.Path())
@click.option("--verify", is_flag=True, help="Also run its whole self-test, in a process of its own, under limits.")
@click.option("--card", is_flag=True, help="Print the model card alone: Markdown, or what --json gives of it.")
@trust_option
@json_option("Print the manifest, or the model card, as one JSON object.")
@fail_in_one_line
def inspect(engine: str, verify: bool, card: bool, trust: str | None, as_json: bool) -> None:
    """Show what an engine is, its label sets, and verify the hash of every file.

    Hashes prove that nothing was damaged; who made the engine, only a signature proves (--trust). Exits with 1 if a
    file is missing or was changed.
    """
    if card and verify:
        raise click.UsageError("--card prints the card alone: leave --verify out")
    bundle = open_bundle(engine, trusted=choose_trust(trust))
    if card:
        show_card(require_card(bundle), as_json)
        return
    manifest, signed = bundle.manifest, describe_signature(bundle)
    sets = parse_label_sets(bundle.read(PROMPTS))
    drifts = try_engine(engine, trust) if verify else []
    if as_json:
        content = asdict(manifest)
        content["manifest_version"] = content.pop("schema_version")  # that of this output is another
        content |= {"sha256": manifest.sha256, "verified": True, "signature": signed}
        content["label_sets"] = {name: list(labels) for name, labels in sets.items()}
        if verify:
            content["self_test"] = [asdict(drift) for drift in drifts]
        print_object(content)
    else:
        show_bundle(manifest, signed, sets)
        if verify:
            show_drifts(drifts)
    fail_unless_passed(drifts)


def require_card(bundle: Bundle) -> ModelCard:
    """Return an engine's model card; raise EngineError if it has none."""
    found = read_card(bundle)
    if found is None:
        raise EngineError("engine has no model card: export it again, with the model's own beside it or by --card")
    return found


def show_card(card: ModelCard, as_json: bool) -> None:
    """Print a card: its Markdown line by line, each spelled, or its content as one JSON object."""
    if as_json:
        print_object(card.content)
        return
    for line in card.text.removesuffix("\n").split("\n"):
        print_line(line)


def describe_signature(bundle: Bundle) -> str:
    """Say who signed an engine, as far as this machine can tell."""
    if bundle.signed_by is not None:
        return f"by the trusted key {bundle.signed_by}"
    signature = read_signature(bundle.folder)
    if signature is None:
        return "none"
    return f"not checked (--trust); it says by the key {read_signer(signature)['key']}"


def show_bundle(manifest: Manifest, signed: str, sets: Mapping[str, LabelSet]) -> None:
    """Print the fields that a person decides by, the label sets, and the files."""
    show_manifest(manifest, signed)
    print_facts("Label sets (--labels)", [(name, ", ".join(labels)) for name, labels in sets.items()] or [("none", "")])
    print_table(
        "Files, all verified",
        ["file", "bytes", "sha256"],
        [(f.name, f.size, f.sha256) for f in manifest.files],
    )


def show_manifest(manifest: Manifest, signed: str) -> None:
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
            ("signature", signed),
            *((("model card", "alta inspect NAME.alta --card"),) if has_card(manifest) else ()),
            ("schema", manifest.schema_version),
            ("fusion mode", manifest.fusion_mode),
            ("logit scale", f"{manifest.logit_scale:.4f}"),
            *((("logit scale is", manifest.logit_scale_note),) if manifest.logit_scale_note else ()),
            *(describe_family(manifest) if manifest.family != ALTA else ()),
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


def describe_family(manifest: Manifest) -> list[tuple[str, str]]:
    """Say in what an engine differs from those of the family alta."""
    return [
        ("family", manifest.family),
        ("fusion modes", ", ".join(manifest.fusion_modes)),
        ("radiographs read", ", ".join(manifest.slots).replace("_", " ")),
        ("prompts", f"{manifest.prompt_rule}, averaged {manifest.prompt_average}"),
        ("a label asks", " / ".join(manifest.prompt_pair)),
        ("heat maps", manifest.patch_match),
    ]


def _lines(name: str, value: object) -> list[tuple[str, str]]:
    """Give a plain value one line, and a nested one a line for each of its entries."""
    if isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
        return [(name, ", ".join(f"{key.replace('_', ' ')} {_shown(one)}" for key, one in i.items())) for i in value]
    if not isinstance(value, dict):
        return [(name, _shown(value))]
    if all(isinstance(item, int) for item in value.values()):  # operator counts, limits: short enough for one line
        return [(name, ", ".join(f"{key.replace('_', ' ')} {_shown(item)}" for key, item in value.items()))]
    return [line for key, item in value.items() for line in _lines(f"{name}, {key.replace('_', ' ')}", item)]


def _shown(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.9g}"
