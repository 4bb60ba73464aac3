"""Train a tiny model on the four sample radiographs: pretraining, then alignment. It learns nothing of use.

python examples/01_train_a_model.py build/tiny
"""

import csv
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
RADIOGRAPHS = sorted((REPOSITORY / "examples" / "data").glob("*.jpg"))
REPORTS = ["There is pneumonia.", "The lungs are clear.", "No acute finding.", "There is an opacity in the left lung."]
TOWER = {"width": 32, "depth": 1, "heads": 2, "patch_px": 32, "vocabulary": 600, "max_tokens": 64}
TOWER |= {"decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2, "text_width": 32, "text_depth": 1}

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
with (folder / "train.csv").open("w", encoding="utf-8", newline="") as table:
    writer = csv.writer(table)
    # The published columns; -1: the study lacks this radiograph.
    writer.writerow(["image_path", "auxview_image_path", "last_image_path", "last_auxview_image_path", "report"])
    writer.writerows([path, -1, -1, -1, report] for path, report in zip(RADIOGRAPHS, REPORTS, strict=True))


def train(command: str, output: str, *more: str) -> None:
    """Run one of the training commands on the table."""
    given = ["--data", str(folder / "train.csv"), "--output", str(folder / output), *more]
    for setting in ("batch=4", "epochs=3", "schedule_epochs=3", "warmup_epochs=1"):
        given += ["--set", setting]
    subprocess.run([sys.executable, str(REPOSITORY / "training" / f"{command}.py"), *given], check=True)


train("pretrain", "pretrained", *(f"--set=tower.{name}={value}" for name, value in (TOWER | {"text_heads": 2}).items()))
train("fit", "aligned", "--backbone", str(folder / "pretrained" / "last.safetensors"))
print(f"Export it: alta-export --checkpoint {folder / 'aligned' / 'last.safetensors'} --output {folder / 'tiny.alta'}")
