"""`alta embed … --out NAME.lance`: an archive of many studies, embedded on this machine or on a cluster."""

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import click

from ..archive.extra import require_archive
from ..archive.object_store import is_remote
from ..archive.run import Plan, Run, Where
from ..archive.schema import ArchiveOrigin, check_labels
from ..archive.shard import ShardJob, ShardOutcome, tell_mode
from ..errors import EngineError
from ..files.targets import is_within, refuse_inputs
from ..matching.matcher import Matcher
from ..matching.prompts import Labels, resolve_labels
from ..study.key import find_site_key
from ..study.study import load_study
from .archive_options import ArchiveOptions
from .archive_progress import show_shards
from .reading import Reading, say_notices
from .site_key import open_key
from .terminal import print_facts, print_object, say


@dataclass(frozen=True)
class Report:
    """What became of a run."""

    plan: Plan
    outcomes: tuple[ShardOutcome, ...]
    new: int
    origin: ArchiveOrigin

    @property
    def dead(self) -> Mapping[str, int]:
        """The studies that could not be read, by the class of the error."""
        counts = Counter(self.plan.dead)
        for outcome in self.outcomes:
            counts.update(outcome.dead)
        return dict(counts)

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, ready for JSON."""
        return {
            "studies": self.plan.entries,
            "already_done": self.plan.done,
            "embedded": sum(one.studies for one in self.outcomes),
            "new_in_archive": self.new,
            "unreadable": dict(self.dead),
            "shards": len(self.outcomes),
            "processor_s": round(sum(one.processor_s for one in self.outcomes), 3),
            "engine": self.origin.engine,
            "fusion_mode": self.origin.mode,
            "labels": list(self.origin.labels),
        }


def embed_archive(
    source: str, out: str, key_file: str | None, as_json: bool, reading: Reading, options: ArchiveOptions
) -> None:
    """Embed every study of a source into an archive; exit with 1 if one could not be read."""
    require_archive()
    if not is_remote(out):
        if not is_remote(source):
            refuse_inputs(Path(out), (source, key_file, reading.engine), "archive", EngineError)
            if is_within(Path(out), Path(source)):
                raise EngineError("archive would lie among the studies that it is made of: give another --out")
        if not os.path.isdir(Path(out).absolute().parent):
            raise EngineError("folder of the archive does not exist: make it, or give another --out")
    matcher = reading.open_matcher()
    say_notices(matcher)
    run = make_run(source, out, key_file, reading, options, matcher)
    run.check()
    report = carry_out(run)
    if as_json:
        print_object(report.as_dict())
    else:
        show(report)
    if report.dead:
        count, total = sum(report.dead.values()), report.plan.entries
        say(f"StudyError: {count} of {total} studies could not be read; alta archive status counts them by class")
        sys.exit(1)


def make_run(
    source: str, out: str, key_file: str | None, reading: Reading, options: ArchiveOptions, matcher: Matcher
) -> Run:
    """Put together what a run is told."""
    labels: Labels | None = None if options.labels is None else parse_labels(options.labels)
    manifest = matcher.engine.manifest
    names = () if labels is None else tuple(resolve_labels(labels, matcher.engine.label_sets, manifest.prompt_pair))
    beside = Path() if is_remote(out) else Path(out).absolute().parent
    site_key = open_key(key_file, beside)
    origin = ArchiveOrigin(
        engine=manifest.sha256,
        mode=tell_mode(matcher),
        profile=matcher.intensity_profile,
        site_key=site_key.fingerprint,
        width=manifest.sizes["embedding"],
        labels=check_labels(names),
        has_dates=options.with_dates,
    )
    how = {name: getattr(reading, name) for name in signature(load_study).parameters if hasattr(reading, name)}
    job = ShardJob(
        archive=out if is_remote(out) else str(Path(out).absolute()),
        origin=origin,
        engine=str(Path(reading.engine).absolute()),
        threads=reading.threads or 1,
        trust=reading.trust and str(Path(reading.trust).absolute()),
        labels=labels,
        reading={**how, "intensity_profile": matcher.intensity_profile},
    )
    return Run(
        job=job,
        source=source if is_remote(source) else str(Path(source).absolute()),
        site_key=site_key,
        key_file=str(find_site_key(key_file, beside).absolute()),
        where=Where(options.on, options.workers or os.cpu_count() or 1, options.gpus_per_worker or 0.0),
        share=parse_share(options.shard),
        shard_studies=options.shard_studies,
        tries_dead_again=options.retry,
    )


def carry_out(run: Run) -> Report:
    """Embed what is not done, then commit; after an error or Ctrl-C finished parts wait for the next run."""
    runner = run.start()
    outcomes: list[ShardOutcome] = []
    try:
        plan = run.plan(runner)
        outcomes.extend(show_shards(run.embed(runner, plan), plan))
    finally:
        runner.close()
    return Report(plan, tuple(outcomes), run.commit(), run.job.origin)


def parse_labels(text: str) -> Labels:
    """Read --labels as `alta score` does."""
    from .score import parse_labels as parse

    return parse(text)


def parse_share(text: str | None) -> tuple[int, int]:
    """Read --shard: "3/64" is the third of 64, from 0 on, as Slurm and Kubernetes count."""
    if text is None:
        return 0, 1
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise click.UsageError("--shard is I/N, such as 3/64: this is part I of N, counted from 0")
    return int(found[1]), int(found[2])


def show(report: Report) -> None:
    """Print the counts."""
    content = report.as_dict()
    print_facts(
        "Archive",
        [
            ("studies", content["studies"]),
            ("done before", content["already_done"]),
            ("embedded now", content["embedded"]),
            ("new in the archive", content["new_in_archive"]),
            *((f"unreadable, {kind}", count) for kind, count in content["unreadable"].items()),
            *((("labels", ", ".join(content["labels"])),) if content["labels"] else ()),
            ("fusion mode", content["fusion_mode"]),
        ],
    )
