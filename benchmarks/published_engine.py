"""Export engines of the published size with random weights, to measure load time and memory with `alta bench`.

Calibrated on synthetic images: speed, load time and memory do not depend on the weights; scores mean nothing.

    python benchmarks/published_engine.py build/published [--precision fp32 --precision int8] [--tune]
    alta bench build/published/fp32.alta --compare build/published/int8.alta --plot speed.png
"""

import contextlib
import tempfile
from pathlib import Path

import click
from PIL import Image
from published_size import SEED, published_sizes

from alta_export.options import PRECISIONS, ExportOptions
from alta_export.pipeline import export_engine
from alta_export.verify import make_radiographs
from alta_sdk.cli.terminal import fail_in_one_line, say
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import save_checkpoint

CALIBRATED_ON = 20


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), default=("fp32", "int8"))
@click.option("--tune", is_flag=True, help="Measure which runtime is fastest here, as alta-export --tune.")
@fail_in_one_line
def main(folder: Path, precisions: tuple[str, ...], tune: bool) -> None:
    """Write FOLDER/PRECISION.alta for each precision."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as source:
        checkpoint, images = Path(source) / "published.safetensors", Path(source) / "images"
        model = make_random_model(published_sizes(), SEED)
        save_checkpoint(model, checkpoint, {"notice": "RANDOM WEIGHTS: for speed alone."})
        write_text_model(Path(source) / "text-model", model.sizes.text.config)
        images.mkdir()
        for number, image in enumerate(make_radiographs(CALIBRATED_ON, 256)):
            Image.fromarray(image[0]).save(images / f"{number:02}.png")
        for precision in precisions:
            options = ExportOptions(
                checkpoint,
                Path(source) / "text-model",
                folder / f"{precision}.alta",
                precision=precision,
                calibration=images if precision == "int8" else None,
                overwrite=True,
                accept_drift=True,
                tune=tune,
            )
            export_engine(options, lambda _: contextlib.nullcontext())
            say(f"written: {precision}.alta")


if __name__ == "__main__":
    main()
