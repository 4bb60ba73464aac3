"""Show where on a radiograph a phrase matches: a heat map on its own pixels. Not where a finding is.

python examples/04_locate_a_phrase.py build/demo.alta build/demo/study build/demo
"""

import sys
from pathlib import Path

import numpy as np

from alta_sdk import Matcher, Study

engine, path, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
matcher = Matcher(engine)
study = Study.from_dicom(path)

heatmaps = {phrase: matcher.locate(study, phrase) for phrase in ("enlarged heart", "left lower lobe opacity")}
for phrase, heatmap in heatmaps.items():
    print(f"{phrase}: cosine {heatmap.cosine:.3f}, local {heatmap.local_cosine:.3f}, highest at {heatmap.peak}")

height, width = heatmap.values.shape  # the radiograph's own pixels, NaN where the model did not see
print(f"{width} × {height} pixels, of which the model saw {100 * np.isfinite(heatmap.values).mean():.0f} %")

# The same limits make two maps comparable: each one's own would stretch it to full colour.
limits = min(h.limits[0] for h in heatmaps.values()), max(h.limits[1] for h in heatmaps.values())
for number, (phrase, heatmap) in enumerate(heatmaps.items(), start=1):
    heatmap.save_png(folder / f"heat-{number}.png", limits=limits, caption=phrase, overwrite=True)
heatmap.save_dicom(folder / "heat.dcm", overwrite=True)  # without identifiers, for an archive
print("written: heat-1.png, heat-2.png, heat.dcm")
for notice in matcher.engine.manifest.notices:
    print(notice)
