"""What the fuzzer starts from: the files that pydicom ships, and chest radiographs in every coding."""

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom import Dataset, FileMetaDataset, uid
from pydicom.encaps import encapsulate

MAX_SEED_BYTES = 1 << 19
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
# What a message may say: codes of small sets, never the free text of a header.
CODES = ("Modality", "BodyPartExamined", "PhotometricInterpretation", "SpecificCharacterSet", "ViewPosition")
CODES += ("SOPClassUID", "TransferSyntaxUID", "MediaStorageSOPClassUID", "ImageType", "PatientOrientation")
CODES += ("PresentationIntentType", "PresentationLUTShape")
TEXT_VR = frozenset({"AE", "AS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UT"})
MIN_MARK = 5  # characters: shorter values turn up in any sentence


@dataclass(frozen=True)
class Seed:
    """A whole file; marks: its header values that may not appear in a message."""

    name: str
    data: bytes
    marks: tuple[str, ...]


@cache
def load_pictures() -> list[Seed]:
    """Return JPEG and PNG radiographs of every mode, in a fixed order."""
    rows, columns = np.mgrid[0:192, 0:160]
    grey = Image.fromarray(((rows * columns) % 251).astype(np.uint8))
    files = [(f"{mode}.png", _encode(grey.convert(mode), "PNG")) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    files += [(f"{mode}.jpg", _encode(grey.convert(mode), "JPEG")) for mode in ("L", "RGB", "CMYK")]
    files += [("progressive.jpg", _encode(grey.convert("RGB"), "JPEG", progressive=True))]
    return [Seed(name, data, ()) for name, data in files]


def _encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


@cache
def load_seeds() -> list[Seed]:
    """Return every DICOM seed, in a fixed order."""
    shipped = ((path.name, path.read_bytes()) for path in sorted(SHIPPED.glob("*.dcm")))
    files = [*((name, data) for name, data in shipped if len(data) <= MAX_SEED_BYTES), *_chest_files()]
    return [Seed(name, data, _find_marks(data)) for name, data in files]


@cache
def load_bomb() -> Seed:
    """Return a deflated file that inflates to more than may be."""
    grey = np.ones((64, 64), np.uint16)
    header = chest_header(grey)
    return Seed("deflated_bomb", deflate(header, padding=150 << 20), _find_marks(save(header)))


def _find_marks(data: bytes) -> tuple[str, ...]:
    marks: set[str] = set()

    def collect(dataset: Dataset, element: pydicom.DataElement) -> None:
        if element.VR in TEXT_VR and element.keyword not in CODES and element.VM:
            values = [element.value] if element.VM == 1 else element.value
            marks.update(str(value) for value in values if len(str(value)) >= MIN_MARK)

    try:
        pydicom.dcmread(io.BytesIO(data), force=True).walk(collect)
    except Exception:  # a seed that pydicom itself cannot read to the end
        pass
    return tuple(sorted(marks))


def chest_header(pixels: np.ndarray, **elements: object) -> Dataset:
    """Return a CR chest radiograph with marked identifiers; keyword arguments set elements."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    header.SOPClassUID = uid.ComputedRadiographyImageStorage
    header.SOPInstanceUID, header.StudyInstanceUID = "1.2.826.77.1", "1.2.826.77.2"
    header.PatientName, header.PatientID, header.PatientBirthDate = "QUIXLEY^ZORA", "ID-QX7741", "19511123"
    header.StudyDate, header.AccessionNumber, header.InstitutionName = "20240501", "ACC-QX9", "Quixley Infirmary"
    header.Modality, header.BodyPartExamined, header.ViewPosition = "CR", "CHEST", "PA"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1 if pixels.ndim == 2 else 3, "MONOCHROME2"
    header.Rows, header.Columns = pixels.shape[:2]
    header.BitsAllocated = 8 * pixels.itemsize
    header.BitsStored, header.HighBit = (12, 11) if pixels.itemsize == 2 else (8, 7)
    header.PixelRepresentation = 0
    header.PixelData = pixels.tobytes()
    if pixels.ndim == 3:
        header.PhotometricInterpretation, header.PlanarConfiguration = "RGB", 0
    for keyword, value in elements.items():
        setattr(header, keyword, value)
    return header


def save(header: Dataset) -> bytes:
    """Return the file of a data set, in its own transfer syntax."""
    out = io.BytesIO()
    header.save_as(out, enforce_file_format=True)
    return out.getvalue()


def lut_item(entries: np.ndarray, bits: int, first: int = 0) -> Dataset:
    """Return an item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 65536, first, bits])
    item.add_new("LUTData", "US", entries.tolist())
    item.ModalityLUTType = "US"
    return item


def _chest_files() -> Iterator[tuple[str, bytes]]:
    rows, columns = np.mgrid[0:96, 0:80]
    grey12 = ((rows * columns) % 4096).astype(np.uint16)
    grey8 = (grey12 >> 4).astype(np.uint8)
    colour = np.stack([grey8, grey8, 255 - grey8], axis=2)
    ramp = np.linspace(0, 4095, 4096).astype(np.uint16)
    native = {
        "cr": chest_header(grey12),
        "monochrome1": chest_header(grey12, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
        "high_bit": chest_header(grey12 << 4, HighBit=15),
        "signed": chest_header(grey12.astype(np.int16) - 2048, PixelRepresentation=1, PixelPaddingValue=-2000),
        "window": chest_header(grey12, WindowCenter=[2000, 100], WindowWidth=[3000, 50], RescaleSlope=2),
        "sigmoid": chest_header(grey12, WindowCenter=2000, WindowWidth=3000, VOILUTFunction="SIGMOID"),
        "voi_lut": chest_header(grey12, VOILUTSequence=[lut_item(ramp, 12)]),
        "modality_lut": chest_header(grey12, ModalityLUTSequence=[lut_item(ramp[::-1], 12)]),
        "capture": chest_header(colour, Modality="OT"),
        "frames": chest_header(grey12, NumberOfFrames=3, PixelData=grey12.tobytes() * 3),
    }
    for name, header in native.items():
        yield name, save(header)
    yield "bare", save(native["cr"])[132:]
    for syntax in (uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless):
        for name, pixels in (("grey", grey12), ("colour", colour)):
            header = chest_header(pixels)
            header.compress(syntax, generate_instance_uid=False)
            yield f"{syntax.keyword}_{name}", save(header)
    yield "JPEGBaseline_grey", save(_jpeg(grey8))
    yield "JPEGBaseline_colour", save(_jpeg(colour))
    yield "deflated", deflate(native["voi_lut"])


def _jpeg(pixels: np.ndarray) -> Dataset:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    header = chest_header(pixels, PixelData=encapsulate([out.getvalue()]))
    header.file_meta.TransferSyntaxUID = uid.JPEGBaseline8Bit
    header["PixelData"].is_undefined_length = True
    if pixels.ndim == 3:
        header.PhotometricInterpretation = "YBR_FULL_422"
    return header


def deflate(header: Dataset, padding: int = 0) -> bytes:
    """Return the deflated file of a data set; padding: zeros after it, which deflate to a thousandth."""
    plain = save(header)
    file = io.BytesIO(plain)
    pydicom.filereader.read_preamble(file, force=False)
    pydicom.filereader.read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag.group != 2)
    start = file.tell()
    old, new = (str(one).encode() for one in (uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian))
    meta = plain[:start].replace(b"\x14\x00" + old + b"\0", b"\x16\x00" + new)
    meta = meta[:140] + (int.from_bytes(meta[140:144], "little") + 2).to_bytes(4, "little") + meta[144:]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    parts = [packer.compress(plain[start:])]
    for _ in range(padding >> 20):
        parts.append(packer.compress(bytes(1 << 20)))
    return meta + b"".join([*parts, packer.flush()])
