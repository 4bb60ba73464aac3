"""Small studies of many kinds, the commands that are run on them, and what is in an archive afterwards."""

import subprocess
import zipfile

import numpy as np
from click.testing import CliRunner
from PIL import Image

from alta_sdk.cli import main as alta

BUCKET = "radiographs"


def run(*arguments):
    result = CliRunner().invoke(alta, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def embed(source, out, engine, *more, code=1):
    """Run `alta embed`; the studies have some that cannot be read, so that it ends with 1. code: None for either."""
    result = run("embed", source, "--engine", engine, "--out", out, "--workers", 2, "--shard-studies", 6, *more)
    assert result.exit_code == code or code is None and result.exit_code in (0, 1), result.output
    return result


def run_shell(script, environment, **more):
    """Run a script of examples/archive; 1 is of studies that cannot be read."""
    done = subprocess.run(["bash", *script], env={**environment, **more}, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done


def read_table(out):
    """Return an archive's vectors by key, and refuse a key that is there twice."""
    import lance

    table = lance.dataset(str(out)).to_table()
    keys = [key.hex() for key in table["key"].to_pylist()]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, [np.array(one, dtype=np.float32) for one in table["vector"].to_pylist()], strict=True))


def read_remote(uri):
    from alta_sdk.archive.table import Archive

    table = Archive(uri).table.to_table(columns=["key", "vector"])
    keys = [key.hex() for key in table["key"].to_pylist()]
    assert len(set(keys)) == len(keys)
    vectors = [np.array(one, dtype=np.float32) for one in table["vector"].to_pylist()]
    return dict(zip(keys, vectors, strict=True))


def read_columns(out, *names):
    import lance

    return lance.dataset(str(out)).to_table(columns=["key", *names]).sort_by("key").to_pydict()


def make_picture(seed):
    """A picture that passes for a radiograph's pixels where any is taken."""
    grey = np.random.default_rng(seed).integers(0, 255, (40, 40), dtype=np.uint8)
    return Image.fromarray(grey).resize((240, 230), Image.Resampling.BICUBIC)


def write_studies(folder):
    for number in range(12):
        make_picture(number).save(folder / f"p{number:02}.png")
    (folder / "p99.png").write_bytes((folder / "p00.png").read_bytes())  # the same study twice
    write_dicom(folder / "d1.dcm", 1, 1)
    write_dicom(folder / "d2.dcm", 1, 2, ViewPosition="LL")
    write_dicom(folder / "d3.dcm", 2, 3, PatientSex="F", PatientBirthDate="19500607", StudyDate="20240606")
    (folder / "folder").mkdir()
    write_dicom(folder / "folder" / "a.dcm", 3, 4, PatientSex="M", PatientBirthDate="20000101")
    write_dicom(folder / "inner.dcm", 4, 5)
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.write(folder / "inner.dcm", "a.dcm")
    (folder / "inner.dcm").unlink()
    (folder / "b1.dcm").write_bytes(b"not a study")
    (folder / "b2.png").write_bytes((folder / "p01.png").read_bytes()[:300])
    (folder / "b3.dcm").write_bytes(b"")
    write_dicom(folder / "b4.dcm", 5, 6, BodyPartExamined="KNEE")
    (folder / "note.txt").write_text("not a study", encoding="utf-8")


READABLE, UNREADABLE = 17, 4  # of those, two are one study


def write_dicom(path, study, seed, **elements):
    from pydicom import Dataset, FileMetaDataset
    from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

    pixels = np.random.default_rng(seed).integers(0, 4096, (300, 280), dtype=np.uint16)
    header = Dataset()
    given = {
        "SOPClassUID": ComputedRadiographyImageStorage,
        "SOPInstanceUID": f"1.2.3.{study}.{seed}",
        "StudyInstanceUID": f"1.2.3.{study}",
        "PatientID": f"P{study}",
        "StudyDate": "20240501",
        "Modality": "CR",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "PA",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 300,
        "Columns": 280,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in (given | elements).items():
        setattr(header, keyword, value)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)


def connect(endpoint):
    import boto3

    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


def upload(endpoint, folder, prefix):
    client = connect(endpoint)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes())
    return f"s3://{BUCKET}/{prefix}"
