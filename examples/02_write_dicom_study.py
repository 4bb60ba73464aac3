"""Write a DICOM study from a JPEG radiograph, as a detector would send it. The patient is made up.

python examples/02_write_dicom_study.py examples/data/00001299_000.jpg build/demo/study [DATE]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
date = sys.argv[3] if len(sys.argv) > 3 else "20260101"
# 12 bits stored in 16, low values bright: what many detectors send
stored = 4095 - (np.asarray(Image.open(source, formats=("JPEG", "PNG")).convert("L")).astype(np.uint16) << 4)

study = Dataset()
study.SOPClassUID = DigitalXRayImageStorageForPresentation
study.PatientName, study.PatientID = "Demo^Patient", "DEMO"
study.Modality, study.BodyPartExamined, study.ViewPosition = "DX", "CHEST", "PA"
study.PresentationIntentType, study.StudyDate, study.StudyTime = "FOR PRESENTATION", date, "120000"
for number, keyword in enumerate(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")):
    setattr(study, keyword, generate_uid(entropy_srcs=[source.name, str(number)]))
study.SamplesPerPixel, study.PhotometricInterpretation = 1, "MONOCHROME1"
study.Rows, study.Columns = stored.shape
study.BitsAllocated, study.BitsStored, study.HighBit, study.PixelRepresentation = 16, 12, 11, 0
study.PixelData = stored.tobytes()
study.file_meta = FileMetaDataset()
study.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
folder.mkdir(parents=True, exist_ok=True)
study.save_as(folder / "frontal.dcm", enforce_file_format=True)
print(f"DICOM study of one frontal radiograph: {folder}")
