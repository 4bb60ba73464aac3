"""The tables of docs/dicom-conformance.md, from what the code registers, proposes and writes."""

import contextlib
import io
import tempfile
import tomllib
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import AE, evt

from alta_sdk.dicom.decoding import INSTALL
from alta_sdk.errors import ServiceError
from alta_sdk.service import finding_codes, syntaxes
from alta_sdk.service.calling import MAX_PDU_BYTES, call_peer
from alta_sdk.service.destinations import make_way
from alta_sdk.service.listener import make_node
from alta_sdk.service.prior_archives import Line, open_archive
from alta_sdk.service.prior_files import MAX_BYTES, MAX_FILES, PriorFiles
from alta_sdk.service.reception import IMPLEMENTATION_UID, MAX_DATASET_BYTES, Outcome
from alta_sdk.service.settings import Destination, DicomPeer, Receiving
from alta_sdk.service.structured_report import DISCLAIMER, write_report
from service.reports import SITE_KEY, make_content

WHEN = {
    Outcome.STORED: "file and row are on the disk; sent again unchanged, too",
    Outcome.OUT_OF_RESOURCES: "disk nearly full or failing, too many studies wait, service stops: send again later",
    Outcome.MISMATCH: "SOP class or instance of the request differ from the data set",
    Outcome.NOT_UNDERSTOOD: "the data set cannot be parsed, lacks a UID, or is too large",
    Outcome.NOT_SUPPORTED: "SOP class or transfer syntax is not taken",
}
EACH = "those that images are accepted in, each in a context of its own"


def table(header, rows):
    """Return rows as Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def name_uid(uid):
    return UID(uid).name.replace("|", "/")


def list_entity():
    defaults, node = Receiving("ALTA", 11112), make_node("ALTA")
    return table(
        ["", "value"],
        [
            ["AE title", "`[receiving] ae_title`, called and calling"],
            ["application context", "1.2.840.10008.3.1.1.1"],
            ["implementation class UID, of associations", node.implementation_class_uid],
            ["implementation version name, of associations", node.implementation_version_name],
            ["implementation class UID, of files as received", IMPLEMENTATION_UID],
            ["maximum PDU, received", f"`maximum_pdu`, {defaults.maximum_pdu:,} bytes by default"],
            ["maximum PDU, stated to peers that are called", f"{MAX_PDU_BYTES:,} bytes"],
            ["associations at once, received", f"`maximum_associations`, {defaults.maximum_associations} by default"],
            ["idle time", f"`idle_seconds`, {defaults.idle_seconds:g} s by default"],
            ["largest data set", f"{MAX_DATASET_BYTES >> 20} MiB"],
            ["retrieved for a study, at most", f"{MAX_FILES} images, {MAX_BYTES >> 20} MiB together"],
        ],
    )


def describe_roles(context):
    return "SCU and SCP" if context.scu_role and context.scp_role else "SCP"


def list_accepted(receiver):
    """What the receiver registers with its network library."""
    rows = []
    for context in receiver._make_node().supported_contexts:
        is_image = "Image Storage" in name_uid(context.abstract_syntax)
        shown = "all of the next table" if is_image else ", ".join(map(name_uid, context.transfer_syntax))
        option = "with `allow_for_processing`" if "Processing" in name_uid(context.abstract_syntax) else "always"
        rows.append(
            [name_uid(context.abstract_syntax), context.abstract_syntax, describe_roles(context), shown, option]
        )
    return table(["SOP class", "UID", "roles", "transfer syntaxes", "when"], rows)


def list_syntaxes():
    rows = []
    for uid in syntaxes.list_syntaxes():
        needs = INSTALL.get(uid, "").replace("pip install ", "`pip install ", 1).replace("]'", "]'`", 1)
        rows.append([name_uid(uid), uid, needs or "every install"])
    return table(["transfer syntax", "UID", "decoder"], rows)


@contextlib.contextmanager
def record_proposals():
    """A node that accepts nothing of use: yields how to call it, and what was proposed to it."""
    node, found = AE("RECORDER"), []
    node.add_supported_context("1.2.3")

    def record(event):
        roles = event.assoc.requestor.role_selection
        for context in event.assoc.requestor.requested_contexts:
            uid = str(context.abstract_syntax)
            found.append((uid, tuple(map(str, context.transfer_syntax)), _name_role(roles.get(uid))))

    server = node.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_REQUESTED, record)])
    try:
        yield DicomPeer("RECORDER", "127.0.0.1", server.server_address[1], timeout_seconds=20.0), found
    finally:
        server.shutdown()


def _name_role(selected):
    if selected is None:
        return "SCU"
    return " and ".join(name for name, is_so in (("SCU", selected.scu_role), ("SCP", selected.scp_role)) if is_so)


def list_proposed(askers):
    """Say what is proposed. askers: (purpose, call) pairs; a call asks for an association with a peer."""
    rows = []
    for purpose, ask in askers:
        with record_proposals() as (peer, found), contextlib.suppress(ServiceError):
            ask(peer)
        assert found, purpose
        for uid, role in dict.fromkeys((uid, role) for uid, _, role in found):
            proposed = [one for other, one, _ in found if other == uid]
            shown = ", ".join(map(name_uid, proposed[0])) if len(proposed) == 1 else EACH
            rows.append([purpose, name_uid(uid), uid, shown, role])
    return table(["for", "SOP class", "UID", "transfer syntaxes", "role"], rows)


def deliver(peer, *sop_classes):
    with make_way(Destination("pacs", peer), "ALTA").open(sop_classes):
        pass


def verify(peer):
    with call_peer("ALTA", peer, ((syntaxes.VERIFICATION, syntaxes.COMMAND_SYNTAXES),)):
        pass


def ask_for_priors(peer):
    with tempfile.TemporaryDirectory() as folder:
        with open_archive(peer, "ALTA", 20.0, Line(), PriorFiles(Path(folder))):
            pass


def list_statuses():
    rows = [[f"0x{one:04X}", one.name.replace("_", " ").lower(), told] for one, told in WHEN.items()]
    assert WHEN.keys() == set(Outcome)
    return table(["status", "meaning", "when"], rows)


def write_sample():
    """A report with everything that one may hold."""
    content = make_content(limits={"pneumonia": 0.5}, notices=("no earlier study was found",))
    return dcmread(io.BytesIO(write_report(content, SITE_KEY).data))


def list_objects(*objects):
    keywords = ("SOPClassUID", "Modality", "SeriesNumber", "SeriesDescription", "Manufacturer")
    rows = [[name_uid(one.SOPClassUID), *(one.get(keyword, "") for keyword in keywords)] for one in objects]
    return table(["SOP class", "UID", "modality", "series number", "series description", "manufacturer"], rows)


def list_template(report):
    """The content tree, equal rows once."""
    rows = list(dict.fromkeys(_walk(report, 0)))
    return table(["level", "relationship", "type", "concept name", "value"], rows)


def _walk(item, depth):
    (concept,) = item.ConceptNameCodeSequence
    name = f"{concept.CodeMeaning} ({concept.CodeValue}, {concept.CodingSchemeDesignator})"
    yield (">" * depth or "root", item.get("RelationshipType", "").lower(), item.ValueType, name, _describe_value(item))
    for child in item.get("ContentSequence", ()):
        if child.get("ConceptNameCodeSequence"):
            yield from _walk(child, depth + 1)


def _describe_value(item):
    if item.ValueType == "CODE":
        code = item.ConceptCodeSequence[0]
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Finding":
            return "see the codes of findings"
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Presence of property":
            return "52101004 or 272519000, SCT: present or absent"
        return f"{code.CodeValue}, {code.CodingSchemeDesignator}: {code.CodeMeaning}"
    if item.ValueType == "NUM":
        return f"0 to 1, unit {item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue} (UCUM)"
    if item.ValueType == "TEXT":
        return _TEXTS.get(item.ConceptNameCodeSequence[0].CodeMeaning, "text")
    return {"CONTAINER": "", "UIDREF": "2.25 and a keyed hash", "IMAGE": "each scored image"}.get(item.ValueType, "")


_TEXTS = {
    "Tracking Identifier": "the label",
    "Algorithm Name": "the engine's name",
    "Algorithm Version": "the engine's SHA-256",
    "Algorithm Parameters": f"fusion mode, precision, runtime, logit scale, threshold, {DISCLAIMER}: one item each",
    "Comment": "what a reader must be told: one item each",
    "Device Observer Serial Number": "fingerprint of the site key",
    "Device Observer Model Name": "the engine's name",
}


def list_findings():
    text = Path(finding_codes.__file__).with_name("finding_codes.toml").read_text(encoding="utf-8")
    rows = [[row["code"], "SCT", row["meaning"], ", ".join(row["names"])] for row in tomllib.loads(text)["finding"]]
    return table(["code", "scheme", "meaning", "labels"], rows)
