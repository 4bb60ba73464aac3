"""`alta rank … --index NAME.lance`: the studies of an archive that are most like one."""

from pathlib import Path

from ..archive.table import Archive
from ..engine.clock import tell_time
from ..matching.audit_log import note
from ..matching.embeddings import embed_study
from ..study.naming import StudyName
from .archive_search import Asked, describe, show
from .reading import Reading, say_notices
from .site_key import make_namer


def rank_archive(
    study: str, index: str, asked: Asked, reading: Reading, *, prior: str | None, find_prior: bool
) -> None:
    """Print the studies of an archive nearest to a study, of those that pass a filter."""
    archive = Archive(index)
    where = archive.parse_where(asked.where)
    matcher = reading.open_matcher()
    loaded = reading.read(study, matcher, prior=prior, find_prior=find_prior)
    namer = make_namer(asked.key_file, is_needed=asked.as_json, with_identifiers=asked.with_identifiers)
    embedding, origin = embed_study(matcher.engine, loaded, matcher.fusion_mode)
    result = archive.search(embedding, asked.count, where, exact=asked.exact)
    provenance = {**matcher.provenance, **origin, **describe(result)}
    note(matcher.audit, "ranked", provenance)
    say_notices(matcher, loaded.read_notes(loaded.slots))
    name = namer.name(1, Path(study), study=loaded) if asked.as_json else StudyName(1)
    show(result, {**provenance, "scored_at": tell_time()}, asked.as_json, name.as_dict())
