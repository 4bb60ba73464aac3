"""From the files that are named to the published towers, and to what an engine of their family is to be."""

from dataclasses import dataclass, replace

from alta_sdk.dicom.intensity import check_profile
from alta_sdk.engine.manifest_content import ALTA
from alta_sdk.errors import ExportError
from alta_training.families.checkpoint import PROFILE, Checkpoint
from alta_training.families.family import Family, Towers
from alta_training.families.reading import GivenFiles, RecognisedCheckpoint, recognise_files
from alta_training.families.registry import find_family

from .demo_model import find_text_model
from .families.family_export import FamilyExport
from .families.registry import find_export
from .options import ExportOptions, choose_profile


@dataclass(frozen=True, eq=False)
class Source:
    """What an export starts from: a checkpoint, its towers, and what is known of their family."""

    checkpoint: Checkpoint
    towers: Towers
    family: Family
    export: FamilyExport


def read_source(options: ExportOptions) -> tuple[Source, ExportOptions]:
    """Read a checkpoint and what goes with it; return the options, too, with what the family decides filled in.

    Raises CheckpointError for files that are not a whole checkpoint of one family, ExportError for options that do
    not fit it.
    """
    found = recognise_files(
        GivenFiles(
            options.checkpoint,
            options.text_model,
            options.tokenizer,
            options.image_heads,
            options.text_heads,
            options.preprocessing,
        )
    )
    check_supported(options, found.family)
    require_text_model(found)
    towers = found.read()
    family = find_family(towers.family)  # one reader may read several families, which only the options tell apart
    export = find_export(family.name)
    export.check(towers)
    profile = choose_profile(
        options.intensity_profile, found.checkpoint.metadata.get(PROFILE), towers.intensity_profile
    )
    settled = replace(
        options, intensity_profile=check_profile(profile), fusion_mode=choose_mode(options.fusion_mode, towers)
    )
    return Source(found.checkpoint, towers, family, export), settled


def require_text_model(found: RecognisedCheckpoint) -> None:
    """Raise ExportError for ALTA without a text model; other families say themselves what they lack."""
    if found.family.name == ALTA and found.folder is None:
        find_text_model(found.given.checkpoint)


def check_supported(options: ExportOptions, family: Family) -> None:
    """Raise ExportError for an engine or a precision that this version does not write for a family."""
    export = find_export(family.name)
    for name, known in (("engine", export.engines), ("precision", export.precisions)):
        asked = getattr(options, name)
        if asked not in known:
            raise ExportError(
                f"--{name} {asked} is not supported for {family.title} by this version; choose {' or '.join(known)}"
            )


def choose_mode(asked: str | None, towers: Towers) -> str:
    """Return the engine's fusion mode; raise ExportError for one that its family has not."""
    if asked is not None and asked not in towers.fusion_modes:
        raise ExportError(
            f"--fusion-mode {asked} is none of the family {towers.family}: choose {' or '.join(towers.fusion_modes)}"
        )
    return asked or towers.default_fusion_mode
