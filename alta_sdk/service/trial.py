"""A report of a made-up picture: that everything it takes works, and is loaded before the first study comes.

highdicom and pydicom build tables at the first report, which takes a second that no patient should wait.
"""

from collections.abc import Mapping
from datetime import datetime

from ..dicom.filing import Filing
from ..study.key import SiteKey
from .engines import OpenEngine, make_trial_study
from .report_content import ReportContent
from .syntaxes import COMPUTED_RADIOGRAPHY
from .uids import derive_uid


def write_trial_report(engine: OpenEngine) -> tuple[Mapping[str, float], bytes]:
    """Score a made-up picture; return its scores and the report's file."""
    from .structured_report import write_report

    study = make_trial_study(engine.matcher.engine.manifest.intensity_profile)
    result = engine.matcher.zero_shot(study, engine.labels)
    key = SiteKey(bytes(32))
    instance, series, own = (derive_uid(key, "check", part) for part in ("instance", "series", "study"))
    image = Filing(COMPUTED_RADIOGRAPHY, instance, series, own, elements={})
    encoded = write_report(ReportContent("check", 1, (image,), result, datetime.now().astimezone()), key)
    return result.scores, encoded.data
