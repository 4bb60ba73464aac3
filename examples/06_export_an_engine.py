"""Export the demo model from Python in half precision, and read what the drift gate measured.

python examples/06_export_an_engine.py build/half.alta
"""

import sys
from contextlib import nullcontext
from pathlib import Path

from alta_export.demo_model import find_inputs
from alta_export.options import ExportOptions
from alta_export.pipeline import export_engine

# The demo model; of your own: checkpoint, text-model folder, output.
options = ExportOptions(*find_inputs(None, None, Path(sys.argv[1])), precision="fp16", overwrite=True)
report = export_engine(options, lambda stage: nullcontext(print(f"{stage} ...")))

manifest = report.manifest
print("adapters merged:", manifest.merging["image_before"], "to", manifest.merging["image_after"])
for drift in report.drifts:
    print(f"{drift.output}: worst cosine with PyTorch {drift.worst_cosine:.8f} in FP32, before half precision")
gate = manifest.verification["gate"]
print("in half precision, on", gate["held_out"])
print("worst cosine:", gate["image_worst_cosine"], "beyond the limits:", gate["beyond_limits"] or "nothing")
times = manifest.engine["milliseconds_per_radiograph"]
print("milliseconds:", {name: round(value, 1) for name, value in times.items()})
print("engine", manifest.sha256[:12], "at", report.path.name, "is ready for alta score --engine")
