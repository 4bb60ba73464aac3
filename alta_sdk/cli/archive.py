"""`alta archive`: what is asked of an archive of studies, NAME.lance, that `alta embed` made."""

from pathlib import Path

import click

from .archive_search import search
from .option_groups import COUNT, FILE, json_option, overwrite_option
from .terminal import fail_in_one_line, print_facts, print_object, print_table, say

archive_argument = click.argument("archive", metavar="NAME.lance", type=click.Path())


@click.group()
def archive() -> None:
    """Look after an archive of studies: its state, its index, single studies, copies. Needs alta-sdk[archive]."""


@archive.command()
@archive_argument
@json_option()
@fail_in_one_line
def status(archive: str, as_json: bool) -> None:
    """Show how many studies are there, what waits, what could not be read, and what a search reads."""
    from ..archive.status import read_status

    found = read_status(archive)
    if as_json:
        print_object(found)
        return
    probes = found["probes"]
    shown = {
        "studies": found["studies"],
        "erased": found["erased"],
        **{f"unreadable, {kind}": count for kind, count in found["unreadable"].items()},
        "parts not committed": found["parts_waiting"],
        "size": "in a store" if found["bytes"] is None else f"{found['bytes'] / 1e6:.1f} MB",
        "fragments, versions": f"{found['fragments']}, {found['versions']}",
        "search": describe_search(probes),
        "labels": ", ".join(found["labels"]) or "none",
        "fusion mode": found["fusion_mode"],
    }
    print_facts("Archive", shown.items())


def describe_search(probes: dict[str, object] | None) -> str:
    """Say what a search reads."""
    if probes is None:
        return "every study"
    parts = {"without a filter": probes["plain"], "with one": probes["filtered"]}
    return ", ".join(
        f"{probes['cells'] if n is None else n} of {probes['cells']} cells {how}" for how, n in parts.items()
    )


@archive.command()
@archive_argument
@json_option()
@fail_in_one_line
def optimize(archive: str, as_json: bool) -> None:
    """Merge small files, build the index of a large archive, measure what a search must read, drop old versions."""
    from ..archive.upkeep import optimize_archive

    probes = optimize_archive(archive)
    found = None if probes is None else vars(probes)
    if as_json:
        print_object({"probes": found})
    else:
        print_facts("Archive", [("search", describe_search(found))])


@archive.command()
@archive_argument
@click.option(
    "--key", "keys", multiple=True, required=True, help="A study's key, as alta prints it; may be given again."
)
@json_option()
@fail_in_one_line
def erase(archive: str, keys: tuple[str, ...], as_json: bool) -> None:
    """Remove studies from the archive, its index and every older version, and never take them in again."""
    from ..archive.upkeep import erase_studies, parse_key

    count = erase_studies(archive, [parse_key(key) for key in keys])
    if as_json:
        print_object({"erased": count, "asked": len(keys)})
    else:
        print_facts("Archive", [("erased", count), ("not in it, and kept out from now on", len(keys) - count)])


@archive.command()
@archive_argument
@click.option("--out", required=True, type=FILE, help="The Parquet file to write.")
@click.option("--where", metavar="FILTER", help="Only studies such as age >= 60 and view = 'PA'.")
@click.option("--without-vectors", is_flag=True, help="Leave the vectors out.")
@overwrite_option("a Parquet file that is", "")
@fail_in_one_line
def export(archive: str, out: Path, where: str | None, without_vectors: bool, overwrite: bool) -> None:
    """Write the archive as one Parquet file, which other stores of vectors load."""
    from ..archive.export import export_archive, is_parquet
    from ..archive.table import Archive
    from ..files.targets import check_target

    check_target(out, "export", overwrite=overwrite, is_ours=is_parquet, inputs=(archive,))
    opened = Archive(archive)
    count = export_archive(opened, out, opened.parse_where(where), with_vectors=not without_vectors)
    say(f"wrote {count} studies")


@archive.command()
@archive_argument
@click.option("--least", type=click.FloatRange(0.9, 1), default=0.9999, show_default=True, help="The lowest cosine.")
@json_option()
@fail_in_one_line
def duplicates(archive: str, least: float, as_json: bool) -> None:
    """List studies that are under two keys: their vectors are the same, or nearly so."""
    from dataclasses import asdict

    from ..archive.quality import find_twins
    from ..archive.table import Archive

    twins = find_twins(Archive(archive), least)
    if as_json:
        print_object({"duplicates": [asdict(twin) for twin in twins]})
        return
    rows = [(twin.key, twin.other, f"{twin.cosine:.6f}", "yes" if twin.is_same else "no") for twin in twins]
    print_table(f"{len(twins)} pairs", ["key", "other key", "cosine", "to the last bit"], rows)


@archive.command()
@archive_argument
@click.option("--top", "count", type=COUNT, default=20, show_default=True, help="How many to show.")
@json_option()
@fail_in_one_line
def outliers(archive: str, count: int, as_json: bool) -> None:
    """List the studies that are least like any other: probably no chest radiographs."""
    from dataclasses import asdict

    from ..archive.quality import find_outliers
    from ..archive.table import Archive

    found = find_outliers(Archive(archive), count)
    if as_json:
        print_object({"outliers": [asdict(one) for one in found]})
        return
    rows = [(one.key, f"{one.cosine:.4f}") for one in found]
    print_table("Least like any other", ["key", "cosine of the nearest"], rows)


archive.add_command(search)
