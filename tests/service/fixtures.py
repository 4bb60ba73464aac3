"""Images to send and a receiving side to send them to."""

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from alta_sdk.service.audit import Audit
from alta_sdk.service.commitment import Commitments
from alta_sdk.service.completion import Completion
from alta_sdk.service.database import Database
from alta_sdk.service.delivery_store import DeliveryStore
from alta_sdk.service.job_store import JobStore
from alta_sdk.service.receiver import Receiver
from alta_sdk.service.reception import Reception
from alta_sdk.service.records import Instance, Result, ResultObject
from alta_sdk.service.settings import EngineChoice, Receiving, Settings
from alta_sdk.service.spool import Spool
from alta_sdk.study.key import SiteKey, identify_uid

SITE_KEY = SiteKey(bytes(range(32)))
NAME, PATIENT_ID, ACCESSION = "Secretperson^Ida", "PID-4711-SECRET", "ACC-0815-SECRET"


def make_radiograph(*, study_uid=None, sop_uid=None, series_uid=None, sop_class=None, size=64, view="PA", **elements):
    """Return the data set of a chest radiograph with identifiers that must appear nowhere."""
    image = Dataset()
    image.SOPClassUID = sop_class or ComputedRadiographyImageStorage
    image.SOPInstanceUID = sop_uid or generate_uid()
    image.StudyInstanceUID = study_uid or generate_uid()
    image.SeriesInstanceUID = series_uid or generate_uid()
    image.PatientName, image.PatientID, image.AccessionNumber = NAME, PATIENT_ID, ACCESSION
    image.PatientBirthDate, image.PatientSex = "19500102", "F"
    image.StudyDate, image.StudyTime = "20260102", "101500"
    image.StudyID, image.ReferringPhysicianName, image.InstanceNumber = "1", "", "1"
    image.SeriesNumber = "1"
    image.Modality, image.BodyPartExamined, image.ViewPosition = "CR", "CHEST", view
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = size, size
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    pixels = np.random.default_rng(size).integers(0, 4096, (size, size), dtype=np.uint16)
    image.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(image, keyword, value)
    return image


def encode(image):
    """Return a data set as it goes over the network, explicit and little endian."""
    from pynetdicom.dsutils import encode as encode_dataset

    return encode_dataset(image, False, True)


def write_image(path, image, syntax=ExplicitVRLittleEndian):
    """Write a data set as a file; return the path."""
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = syntax
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, image, enforce_file_format=True)
    return path


def read_dataset_bytes(path):
    """Return what follows the file meta information of a DICOM file."""
    data = Path(path).read_bytes()
    assert data[128:132] == b"DICM"
    length = int.from_bytes(data[140:144], "little")  # FileMetaInformationGroupLength comes first
    return data[144 + length :]


def key_of(study_uid):
    return SITE_KEY.sign(identify_uid(str(study_uid))).hex()


def add_scored(side, objects, destinations, *, key="k", study_uid="1.2.3"):
    """Bring a study into the queue that has been scored to some objects: (SOP class, SOP instance) pairs."""
    uid = generate_uid()
    side.store.add_instance(
        Instance(uid, ComputedRadiographyImageStorage, uid, study_uid, key, "1.2", "00", 1, f"{uid}.dcm", "SENDER", 1.0)
    )
    side.store.complete_study(key)
    job = side.store.begin_scoring()
    made = tuple(ResultObject(sop_uid, sop_class, "sr", f"{sop_uid}.dcm") for sop_class, sop_uid in objects)
    result = Result(key, job.revision, "chest", "hash", {}, made, time.time())
    assert side.store.finish_scoring(result, destinations)


@dataclass
class Side:
    """A receiving side without scoring."""

    settings: Settings
    database: Database
    store: JobStore
    deliveries: DeliveryStore
    spool: Spool
    audit: Audit
    reception: Reception
    commitments: Commitments
    completion: Completion
    receiver: Receiver

    @property
    def port(self):
        return self.receiver.port


def make_settings(state, *, receiving=None, **options):
    """Return settings on loopback, on a port of the system's choice, without a reserve."""
    engine = EngineChoice("chest", Path("chest.alta"), "chexpert5")
    base = Receiving("ALTA", 0, calling_ae_titles=("SENDER", "ORTHANC"), reserve_mib=0, maximum_associations=8)
    return Settings(Path(state), replace(base, **(receiving or {})), (engine,), **{"quiet_seconds": 0.3, **options})


@contextlib.contextmanager
def open_side(state, *, settings=None, **options):
    """Receive into a folder."""
    settings = settings or make_settings(state, **options)
    Path(state).mkdir(parents=True, exist_ok=True)
    with Database(Path(state)) as database:
        store, deliveries, audit = JobStore(database), DeliveryStore(database), Audit(database)
        spool = Spool(Path(state) / "spool")
        reception = Reception(settings, store, spool, SITE_KEY, audit)
        commitments = Commitments(settings, store, deliveries)
        completion = Completion(settings, store)
        reception.on_arrival = completion.touch
        receiver = Receiver(settings, reception, commitments)
        side = Side(settings, database, store, deliveries, spool, audit, reception, commitments, completion, receiver)
        completion.start()
        commitments.start()
        receiver.start()
        try:
            yield side
        finally:
            receiver.stop(2.0)
            commitments.stop()
            completion.stop()
