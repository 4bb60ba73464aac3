"""The heat map of a finding as a secondary capture, filed with its study: the same object however often it is made.

The writer is that of `alta locate --save-dicom`, in every install: highdicom's 27 MB are more than the thin one may
have, its class for captures fixes what ours states (BurnedInAnnotation, ConversionType, no PatientOrientation), and
two writers of one thing would have to agree for ever.
"""

from pydicom.uid import SecondaryCaptureImageStorage

from ..dicom.secondary_capture import encode_secondary_capture
from ..locate.heatmap import Heatmap
from ..locate.overlay import DISCLAIMER
from ..study.key import SiteKey
from .finding_codes import to_one_line
from .report_content import EncodedObject, ReportContent
from .uids import derive_uid


def write_heat_map(content: ReportContent, heatmap: Heatmap, label: str, site_key: SiteKey) -> EncodedObject:
    """Write the heat map of a label on the current frontal radiograph of a revision. Raises DicomError."""
    engine = str(content.result.provenance["engine_sha256"])
    image = content.images[0]
    sop_uid = derive_uid(site_key, "heat map", content.study_key, content.revision, engine, label, *image.list_parts())
    series_uid = derive_uid(site_key, "heat maps", content.study_key, engine)
    told = to_one_line(label)
    series: dict[str, str | int] = {
        "SOPInstanceUID": sop_uid,
        "SeriesInstanceUID": series_uid,
        "InstanceNumber": content.revision,
    }
    data = encode_secondary_capture(
        heatmap.picture(caption=told), heatmap.describe(), f"{DISCLAIMER}. {told}", image.elements, series
    )
    return EncodedObject(str(SecondaryCaptureImageStorage), sop_uid, series_uid, data)
