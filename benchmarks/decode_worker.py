"""What decoding in a worker process costs beside decoding in this one, for a whole and for a tiny radiograph.

    python benchmarks/decode_worker.py [--rounds 9]

A made-up radiograph of 2500 × 2048 pixels and 12 bits, lossless codings; medians of turns that alternate.
"""

import statistics
import time
from collections.abc import Callable

import click
import numpy as np
from pydicom import Dataset, FileMetaDataset, uid
from pydicom.pixels.decoders.base import get_decoder

from alta_sdk.cli.terminal import print_table
from alta_sdk.dicom import decoding
from alta_sdk.dicom.decoding import find_plugin
from alta_sdk.dicom.pixels import StoredPixels, decode_first_frame, read_pixels

SYNTAXES = (uid.JPEGLSLossless, uid.RLELossless, uid.JPEG2000Lossless)


def make_radiograph(rows: int, columns: int, syntax: uid.UID) -> tuple[Dataset, StoredPixels]:
    """Return a compressed image of smooth shades with noise, and its layout."""
    y, x = np.mgrid[0:rows, 0:columns]
    shades = 2000 + 800 * np.sin(x / 200) * np.cos(y / 170) + np.random.default_rng(0).normal(0, 20, x.shape)
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID = uid.ComputedRadiographyImageStorage, "1.2.3"
    header.Rows, header.Columns, header.SamplesPerPixel, header.PixelRepresentation = rows, columns, 1, 0
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.PhotometricInterpretation = "MONOCHROME2"
    header.PixelData = shades.clip(0, 4095).astype(np.uint16).tobytes()
    header.compress(syntax, generate_instance_uid=False)
    return header, read_pixels(header)


def measure(calls: tuple[Callable[[], object], ...], rounds: int) -> list[float]:
    """Return the median milliseconds of each call, run in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds + 1):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            taken.append(1000 * (time.perf_counter() - start))
    return [statistics.median(taken[1:]) for taken in times]  # the first warms up


@click.command()
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(min=1))
def main(rounds: int) -> None:
    """Print the table."""
    start = time.perf_counter()
    decoding._Worker.start().stop()
    started = 1000 * (time.perf_counter() - start)
    rows = []
    for syntax in SYNTAXES:
        for sides in ((2500, 2048), (64, 64)):
            header, stored = make_radiograph(*sides, syntax)
            plugin, decoder = find_plugin(str(syntax)), get_decoder(syntax)
            inside, worker = measure(
                (
                    lambda: decoder.as_array(header, index=0, decoding_plugin=plugin),  # noqa: B023  # called here
                    lambda: decode_first_frame(stored),  # noqa: B023
                ),
                rounds,
            )
            size = f"{sides[0]} × {sides[1]}"
            rows.append((syntax.name, size, f"{inside:.1f}", f"{worker:.1f}", f"{worker - inside:.1f}"))
    print_table(
        f"Milliseconds per radiograph; a worker starts in {started:.0f} ms, once",
        ["transfer syntax", "pixels", "in this process", "in a worker", "difference"],
        rows,
    )


if __name__ == "__main__":
    main()
