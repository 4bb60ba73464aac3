"""An index of reports: their vectors and opaque keys, without a word of their text."""

import logging
from collections.abc import Sequence

from ..dicom.files import PathLike
from ..engine.prompt_words import list_texts
from ..engine.vectors import to_unit_length
from ..matching.matcher import Matcher
from ..matching.ranking import cut_reports
from ..matching.unknown_words import check_reports
from ..study.key import SiteKey
from .search import IndexOrigin, ReportIndex

_log = logging.getLogger("alta_sdk")


def index_reports(path: PathLike, matcher: Matcher, reports: Sequence[str], site_key: SiteKey) -> ReportIndex:
    """Write an index of reports: row r is reports[r], its key a keyed hash of the text, which is not kept.

    Words that the engine does not know are counted and logged. Raises PromptError for reports that are empty, no text
    or of unknown words alone.
    """
    texts = list_texts(reports, "reports")
    read = cut_reports(matcher.engine, texts)
    for note in check_reports(matcher.engine, read)[1]:
        _log.warning(note)
    vectors = to_unit_length(matcher.engine.project_prompts(read))
    keys = [site_key.sign(b"report:" + report.encode()) for report in texts]
    origin = IndexOrigin("reports", matcher.engine.manifest.sha256, site_key=site_key.fingerprint)
    return ReportIndex.write(path, vectors, keys, origin)
