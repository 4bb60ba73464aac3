"""Reports to check: a chest radiograph as a source, and what an engine says of it."""

from datetime import datetime

import numpy as np
from fuzz.seeds import chest_header, save

from alta_sdk.dicom.filing import read_filing
from alta_sdk.matching.results import ZeroShotResult
from alta_sdk.matching.thresholds import decide
from alta_sdk.service.report_content import ReportContent
from alta_sdk.study.key import SiteKey

SITE_KEY = SiteKey(b"the site of these tests alone...")
PIXELS = (np.arange(64 * 48).reshape(64, 48) % 4096).astype(np.uint16)
PROVENANCE = {
    "engine": "chest",
    "engine_sha256": "5a" * 32,
    "precision": "fp32",
    "runtime": "onnxruntime 1.29.0",
    "fusion_mode": "frontal",
    "logit_scale": 14.285714,
    "notices": ["made of random weights"],
    "reading": ["frontal: image has 2 frames: the first was read"],
}
MARKS = ("QUIXLEY", "QX7741", "19511123", "ACC-QX9")  # of chest_header


def make_source(**elements):
    """Return a radiograph's file; keyword arguments set elements, None removes one."""
    header = chest_header(PIXELS, SeriesInstanceUID="1.2.826.77.3", SeriesNumber=1, InstanceNumber=1)
    for keyword, value in elements.items():
        if value is None:
            if keyword in header:
                delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    return save(header)


def make_content(source=None, scores=None, limits=None, **fields):
    """Return the content of a report on a source, which is a radiograph's file or several."""
    sources = [make_source()] if source is None else [source] if isinstance(source, bytes) else source
    scores = {"pneumonia": 0.8123456789012345, "lung lesion": 1e-9} if scores is None else scores
    result = ZeroShotResult(scores, PROVENANCE, decide(scores, limits or {}))
    given = {"study_key": "0f" * 16, "revision": 1, "scored_at": datetime(2026, 11, 26, 11, 3, 2)}
    return ReportContent(images=tuple(read_filing(one) for one in sources), result=result, **{**given, **fields})
