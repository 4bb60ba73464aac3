"""`alta locate`: a study and a phrase in, a heat map on the radiograph out."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import click

from ..dicom.secondary_capture import is_capture
from ..engine.manifest_content import PHRASE, WORDS
from ..files.targets import check_target, is_same_file, is_within
from ..locate.heatmap import Heatmap
from ..locate.overlay import check_picture_name, is_png
from ..study.naming import StudyName
from ..study.slots import Slot
from .last_steps import take_every_step
from .option_groups import FILE, json_option, overwrite_option
from .reading import Reading, check_one_way, find_prior_option, prior_option, reading_options, say_notices
from .site_key import key_file_option, make_namer
from .terminal import fail_in_one_line, print_facts, print_object, title_run

LOCAL_COSINE = {
    WORDS: "of its words with the patches they look at",
    PHRASE: "of the phrase with the most similar place",
}


@click.command()
@click.argument("study", metavar="STUDY", type=click.Path())
@click.option("--phrase", required=True, help='What to look for: "left lower lobe opacity".')
@click.option("--output", type=FILE, help="PNG to write: the radiograph with the heat map on it.")
@click.option("--dicom", type=FILE, help="DICOM secondary capture to write, without identifiers.")
@click.option(
    "--with-identifiers",
    is_flag=True,
    help="File the DICOM under the patient and study of the radiograph; name path and study in --json: patient data.",
)
@key_file_option
@prior_option
@find_prior_option
@click.option("--with-phrase", is_flag=True, help="Write the phrase into the pictures.")
@click.option(
    "--slot",
    type=click.Choice([slot.name.lower() for slot in Slot]),
    default=Slot.FRONTAL.name.lower(),
    show_default=True,
    help="Which radiograph of the study to draw on.",
)
@overwrite_option("files that are")
@json_option()
@reading_options
@fail_in_one_line
def locate(
    study: str,
    phrase: str,
    output: Path | None,
    dicom: Path | None,
    with_identifiers: bool,
    key_file: str | None,
    with_phrase: bool,
    slot: str,
    prior: str | None,
    find_prior: bool,
    overwrite: bool,
    as_json: bool,
    reading: Reading,
) -> None:
    """Show where on the radiograph of STUDY a phrase matches.

    A STUDY is a DICOM file, a folder or a zip of one study, or a JPEG or PNG radiograph. Not for clinical use:
    the map shows what the model compares, not where a finding is.
    """
    if output is not None and dicom is not None and is_same_file(output, dicom):
        raise click.UsageError("--output and --dicom are one file: give two")
    if with_identifiers and dicom is None and not as_json:
        raise click.UsageError("--with-identifiers goes with --dicom or --json: nothing else can carry identifiers")
    check_one_way(prior, find_prior)
    if output is not None:
        check_picture_name(output)
    for path, is_ours in ((output, is_png), (dicom, is_capture)):
        if path is not None:
            inputs = list_inputs(path, (study, prior, key_file, reading.engine))
            check_target(path, "heat map", overwrite=overwrite, is_ours=is_ours, inputs=inputs)
    matcher = reading.open_matcher()
    namer = make_namer(key_file, is_needed=as_json, with_identifiers=with_identifiers)
    loaded = reading.read(study, matcher, prior=prior, find_prior=find_prior)
    heatmap = matcher.locate(loaded, phrase, slot=Slot[slot.upper()])
    caption = phrase if with_phrase else ""
    say_notices(matcher, (*heatmap.provenance["prompt_reading"], *heatmap.provenance["reading"]))
    take_every_step(
        partial(heatmap.save_png, output, caption=caption, overwrite=overwrite) if output else None,
        partial(heatmap.save_dicom, dicom, caption=caption, with_identifiers=with_identifiers, overwrite=overwrite)
        if dicom
        else None,
        lambda: print_map(heatmap, namer.name(1, Path(study), study=loaded)) if as_json else show_heatmap(heatmap),
    )


def list_inputs(output: Path, read: Iterable[str | None]) -> list[str | Path | None]:
    """Return what is read; with it a file that is there already, in a folder that is read as one study."""
    given: list[str | Path | None] = list(read)
    is_read = os.path.exists(output) and any(is_within(output, Path(path)) for path in read if path is not None)
    return [*given, output] if is_read else given


def print_map(heatmap: Heatmap, name: StudyName) -> None:
    """Print one JSON object: which study, and the map without its pictures."""
    print_object({**name.as_dict(), **heatmap.as_dict()})


def show_heatmap(heatmap: Heatmap) -> None:
    """Print the cosines, the range of the map and its highest place."""
    origin = heatmap.provenance
    height, width = heatmap.values.shape
    low, high = heatmap.limits
    print_facts(
        title_run(origin),
        [
            ("cosine", f"{heatmap.cosine:.3f} (of the study with the phrase)"),
            ("local cosine", f"{heatmap.local_cosine:.3f} ({LOCAL_COSINE[origin.get('patch_match', WORDS)]})"),
            ("cosines of patches", f"{low:.3f} to {high:.3f} over {heatmap.patches.size} patches"),
            ("highest at", f"row {heatmap.peak[0]}, column {heatmap.peak[1]} of {height} × {width} pixels"),
        ],
    )
