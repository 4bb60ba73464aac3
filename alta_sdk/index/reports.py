"""An index of reports: their vectors and opaque keys, without a word of their text."""

from collections.abc import Sequence

from ..dicom.files import PathLike
from ..matching.matcher import Matcher
from ..matching.ranking import cut_reports
from ..study.key import SiteKey
from .search import IndexOrigin, ReportIndex


def index_reports(path: PathLike, matcher: Matcher, reports: Sequence[str], site_key: SiteKey) -> ReportIndex:
    """Write an index of reports: row r is reports[r], its key a keyed hash of the text, which is not kept."""
    vectors = matcher.embed_text(cut_reports(matcher.engine, reports))
    keys = [site_key.sign(b"report:" + report.encode()) for report in reports]
    origin = IndexOrigin("reports", matcher.engine.manifest.sha256, site_key=site_key.fingerprint)
    return ReportIndex.write(path, vectors, keys, origin)
