"""Rank reports for a study, and search an index of studies by text and by study.

python examples/05_rank_reports.py build/demo.alta examples/data build/studies.index
"""

import sys
from pathlib import Path

from alta_sdk import IndexOrigin, Matcher, ReportIndex
from alta_sdk.study.key import identify_study, open_site_key

engine, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
matcher = Matcher(engine)
studies = sorted(folder.glob("*.jpg"))

reports = ["The lungs are clear.", "There is a pleural effusion on the left.", "Findings are those of pneumonia."]
ranking = matcher.rank(studies[0], reports)
print("reports, best first:", [(report.row, round(report.cosine, 3)) for report in ranking.reports])

# What `alta embed` does for a folder, in three lines: vectors, opaque keys, one file.
site_key, _ = open_site_key(None, out.parent)
keys = [site_key.sign(identify_study(study)) for study in studies]
origin = IndexOrigin("studies", matcher.engine.manifest.sha256, matcher.fusion_mode, site_key.fingerprint)
vectors = [embedding.vector for embedding in matcher.embed(studies)]
index = ReportIndex.write(out, vectors, keys, origin)

print("studies for a text:", [match.key[:8] for match in index.search_text("there is pneumonia", matcher, count=2)])
print("studies like the first:", [round(match.cosine, 3) for match in index.search(matcher.embed(studies[0]), count=2)])
