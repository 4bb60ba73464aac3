"""Scores as a DICOM structured report: Comprehensive 3D SR, TID 1500, one measurement group a label.

It says what was scored, by which engine and how, and that it is a score: the softmax of two cosines is no
probability. Present or absent is said only where the site calibrated a threshold, which is told with it. The report
is preliminary and unverified. highdicom writes the content; of the patient and the study it gets nothing, since it
quotes what it finds odd in warnings and logs: those elements are put in behind it, in UTF-8.

ReportContent → EncodedObject. Source: DICOM PS3.3 A.35.13, PS3.16 TID 1500, 1501, 4019.
"""

import io
import logging
from collections.abc import Sequence
from typing import Any

from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian

from .._version import __version__
from ..dicom.elements import IDENTIFIERS
from ..dicom.filing import Filing
from ..errors import ServiceError
from ..study.key import SiteKey
from .finding_codes import PRIVATE_SCHEME, FindingCode, find_code, to_one_line
from .report_content import EncodedObject, ReportContent
from .uids import derive_uid

_their_log = logging.getLogger("highdicom")  # it tells UIDs and names
_their_log.propagate = False
_their_log.setLevel(logging.CRITICAL + 1)

DISCLAIMER = "NOT FOR CLINICAL USE"
SERIES_DESCRIPTION = f"ALTA scores - {DISCLAIMER}"
SERIES_NUMBER = 9002  # far from those of a detector; heat maps have 9001
MANUFACTURER = "alta-sdk"
NO_PROBABILITY = "Each score is between 0 and 1 and is no probability: it is comparable with this engine's own alone."
TITLE = Code("126000", "DCM", "Imaging Measurement Report")
PROCEDURE = Code("399208008", "SCT", "Plain chest X-ray")
CHEST = Code("816094009", "SCT", "Chest")
DEVICE = sr.CodedConcept("121007", "DCM", "Device")
COMMENT = Code("121106", "DCM", "Comment")
FAMILY = Code("123110", "DCM", "Artificial Intelligence")
SCORE = Code("246262008", "SCT", "Score")
NO_UNITS = Code("1", "UCUM", "no units")
PRESENCE = Code("121052", "DCM", "Presence of property")
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")


def write_report(content: ReportContent, site_key: SiteKey) -> EncodedObject:
    """Write the report of a revision; the same content gives the same UIDs on one site.

    Raises ServiceError if it cannot be written.
    """
    engine = str(content.result.provenance["engine_sha256"])
    filed = [part for image in content.images for part in image.list_parts()]
    sop_uid = derive_uid(site_key, "report", content.study_key, content.revision, engine, *filed)
    series_uid = derive_uid(site_key, "reports", content.study_key, engine)
    try:
        report = _make_report(content, site_key, sop_uid, series_uid)
        _file_with(report, content.images[0])
        file = io.BytesIO()
        report.save_as(file, enforce_file_format=True)
    except Exception as error:  # highdicom and pydicom quote values
        raise ServiceError("report cannot be written: what is to be in it is not valid DICOM") from error
    return EncodedObject(str(Comprehensive3DSRStorage), sop_uid, series_uid, file.getvalue())


def read_scores(data: bytes) -> dict[str, float]:
    """Return the scores of a report by label, as another program would read them; raise ServiceError if it cannot."""
    try:
        report: Any = sr.srread(io.BytesIO(data))
        groups = report.content.get_image_measurement_groups()
        return {group.tracking_identifier: group.get_measurements()[0].value for group in groups}
    except Exception as error:  # highdicom and pydicom quote values
        raise ServiceError("report cannot be read back: it is damaged, or no report of alta-sdk") from error


def _make_report(content: ReportContent, site_key: SiteKey, sop_uid: str, series_uid: str) -> Dataset:
    codes = {label: find_code(label) for label in content.result.scores}
    report: Dataset = sr.Comprehensive3DSR(
        evidence=[_make_evidence(image) for image in content.images],
        content=_make_document(content, codes, site_key)[0],
        series_instance_uid=series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=sop_uid,
        instance_number=content.revision,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number=site_key.fingerprint,
        series_description=SERIES_DESCRIPTION,
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=_make_previous(content),
        coding_schemes=_name_schemes(codes),
        content_date=content.scored_at.date(),
        content_time=content.scored_at.time(),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        specific_character_set="ISO_IR 192",
    )
    return report


def _make_document(content: ReportContent, codes: dict[str, FindingCode], site_key: SiteKey) -> sr.MeasurementReport:
    provenance = content.result.provenance
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derive_uid(site_key, "device"),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=str(provenance["engine"]),
        serial_number=site_key.fingerprint,
    )
    document = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=sr.ObserverContext(DEVICE, device)),
        procedure_reported=PROCEDURE,
        imaging_measurements=[_make_group(label, code, content, site_key) for label, code in codes.items()],
        title=TITLE,
    )
    contains = sr.RelationshipTypeValues.CONTAINS
    for text in _list_comments(content):
        document[0].ContentSequence.append(sr.TextContentItem(COMMENT, to_one_line(text), contains))
    return document


def _make_group(
    label: str, code: FindingCode, content: ReportContent, site_key: SiteKey
) -> sr.MeasurementsAndQualitativeEvaluations:
    provenance = content.result.provenance
    decision = content.result.decisions.get(label)
    parameters = [
        f"fusion mode: {provenance['fusion_mode']}",
        f"precision: {provenance['precision']}",
        f"runtime: {provenance['runtime']}",
        f"logit scale: {provenance['logit_scale']:g}",
        *([] if decision is None else [f"threshold: {decision.threshold!r}"]),
        DISCLAIMER,
    ]
    said = [] if decision is None else [sr.QualitativeEvaluation(PRESENCE, PRESENT if decision.is_above else ABSENT)]
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derive_uid(site_key, "finding", content.study_key, label), identifier=to_one_line(label)
        ),
        finding_type=Code(code.value, code.scheme, code.meaning),
        finding_sites=[sr.FindingSite(CHEST)],
        algorithm_id=sr.AlgorithmIdentification(
            name=str(provenance["engine"]),
            version=str(provenance["engine_sha256"]),
            parameters=parameters,
            family=FAMILY,
            manufacturer=MANUFACTURER,
        ),
        measurements=[sr.Measurement(SCORE, float(content.result.scores[label]), NO_UNITS)],
        qualitative_evaluations=said,
        source_images=[sr.SourceImageForMeasurementGroup(one.sop_class, one.sop_uid) for one in content.images],
    )


def _list_comments(content: ReportContent) -> list[str]:
    """Return what a reader must be told: of reports, of this engine, of this study."""
    told = content.result.provenance
    notices: Sequence[Any] = (*told.get("notices", ()), *told.get("reading", ()), *content.notices)
    left_out = sorted({keyword for image in content.images for keyword in image.left_out})
    empty = [f"{', '.join(left_out)} of an image is not valid DICOM and was left out"] if left_out else []
    revised = [f"Revision {content.revision}: it takes the place of the report before."] if content.revision > 1 else []
    return [f"{DISCLAIMER}. {NO_PROBABILITY}", *revised, *(str(one) for one in notices), *empty]


def _name_schemes(codes: dict[str, FindingCode]) -> list[CodingSchemeIdentificationItem] | None:
    """Say what scheme 99ALTA is, where a label has a code of it."""
    if all(code.scheme != PRIVATE_SCHEME for code in codes.values()):
        return None
    item = CodingSchemeIdentificationItem(
        PRIVATE_SCHEME, name="alta-sdk labels, by their SHA-256", responsible_organization=MANUFACTURER
    )
    return [item]


def _make_previous(content: ReportContent) -> list[Dataset] | None:
    if content.predecessor is None:
        return None
    before = Dataset()
    before.SOPClassUID, before.SOPInstanceUID = content.predecessor.sop_class, content.predecessor.sop_uid
    before.StudyInstanceUID, before.SeriesInstanceUID = content.images[0].study_uid, content.predecessor.series_uid
    return [before]


def _make_evidence(image: Filing) -> Dataset:
    """Return what highdicom sees of an image: its UIDs, and the elements that it asks for, empty."""
    evidence = Dataset()
    evidence.SOPClassUID, evidence.SOPInstanceUID = image.sop_class, image.sop_uid
    evidence.StudyInstanceUID, evidence.SeriesInstanceUID = image.study_uid, image.series_uid
    for keyword in IDENTIFIERS:
        if keyword not in ("StudyInstanceUID", "IssuerOfPatientID"):
            setattr(evidence, keyword, "")
    return evidence


def _file_with(report: Dataset, image: Filing) -> None:
    """Put the patient and the study of an image into a report."""
    for keyword, value in image.elements.items():
        setattr(report, keyword, value)
