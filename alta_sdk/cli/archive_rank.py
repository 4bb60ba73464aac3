"""`alta rank … --index NAME.lance`: the studies of an archive that are most like one."""

from ..archive.table import Archive
from .archive_search import describe, show
from .reading import Reading, say_notices


def rank_archive(
    study: str,
    index: str,
    where: str | None,
    count: int,
    exact: bool,
    as_json: bool,
    reading: Reading,
    *,
    prior: str | None,
    find_prior: bool,
) -> None:
    """Print the studies of an archive nearest to a study, of those that pass a filter."""
    archive = Archive(index)
    filter = archive.parse_where(where)
    matcher = reading.open_matcher()
    loaded = reading.read(study, matcher, prior=prior, find_prior=find_prior)
    embedding = matcher.embed(loaded)
    result = archive.search(embedding, count, filter, exact=exact)
    say_notices(matcher, loaded.read_notes(loaded.slots))
    show(result, {**matcher.provenance, "fusion_mode": embedding.mode, **describe(result)}, as_json)
