"""docs/dicom-conformance.md says what the code registers, proposes and writes.

ALTA_WRITE_DOCS=1 in the environment writes its tables anew.
"""

import io
import os
import re
from dataclasses import replace

import pytest
from conftest import ROOT
from pydicom import dcmread

from alta_sdk.service.commitment import Commitments
from alta_sdk.service.heat_map import write_heat_map
from alta_sdk.service.receiver import Receiver
from alta_sdk.service.settings import Destination
from alta_sdk.service.syntaxes import list_storage_classes
from service import conformance
from service.fixtures import open_side
from service.reports import SITE_KEY, make_content
from service.test_heat_map import make_map

DOCUMENT = ROOT / "docs" / "dicom-conformance.md"
TABLE = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.S)


def ask_commitment(side, peer):
    side.commitments.request(Destination("pacs", peer, wants_commitment=True), ())


def answer_commitment(side, peer):
    asked = Commitments(replace(side.settings, peers=(peer,)), side.store, side.deliveries)
    asked._answer(peer.ae_title, ())


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    report = conformance.write_sample()
    content = make_content()
    capture = dcmread(io.BytesIO(write_heat_map(content, make_map(), "pneumonia", SITE_KEY).data))
    with open_side(tmp_path_factory.mktemp("state") / "state", receiving={"allow_for_processing": True}) as side:
        receiver = Receiver(side.settings, side.reception, side.commitments)
        accepted = conformance.list_accepted(receiver)
        classes = (str(report.SOPClassUID), str(capture.SOPClassUID))
        proposed = conformance.list_proposed(
            [
                ("`--check`", conformance.verify),
                ("results", lambda peer: conformance.deliver(peer, *classes)),
                ("asking for commitment", lambda peer: ask_commitment(side, peer)),
                ("answering for commitment", lambda peer: answer_commitment(side, peer)),
                ("priors", conformance.ask_for_priors),
            ]
        )
    return {
        "entity": conformance.list_entity(),
        "accepted": accepted,
        "syntaxes": conformance.list_syntaxes(),
        "proposed": proposed,
        "statuses": conformance.list_statuses(),
        "objects": conformance.list_objects(report, capture),
        "template": conformance.list_template(report),
        "findings": conformance.list_findings(),
    }


def test_the_document_is_what_the_code_does(tables):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert {name for _, name, _, _ in TABLE.findall(text)} == tables.keys()
    written = TABLE.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[4]}", text)
    if os.environ.get("ALTA_WRITE_DOCS"):
        DOCUMENT.write_text(written, encoding="utf-8")
    assert text == written, "run this test with ALTA_WRITE_DOCS=1"


def test_no_report_and_no_capture_is_accepted(tables):
    assert "SR" not in tables["accepted"]
    assert "Secondary" not in tables["accepted"]
    assert len(list_storage_classes()) == 2
