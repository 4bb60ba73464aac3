"""How engines of each family are asked, and what their bundles state of licence and intended use."""

from dataclasses import replace

import pytest

from alta_export.describe import describe_family
from alta_export.families.registry import EXPORTS, find_export
from alta_sdk import ExportError
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.engine.label_sets import parse_label_sets, render_label_sets
from alta_sdk.engine.manifest_content import ALTA_CONTENT
from alta_sdk.matching.prompts import build_label_sets, make_pair, resolve_labels
from alta_training.families.alta import ALTA
from alta_training.families.registry import find_family


def find_asking(family):
    return find_family(family).asking


def test_altas_questions_are_as_they_were(bundle):
    sets = find_asking("alta").list_label_sets()
    assert sets == build_label_sets() and list(sets) == ["chexpert5", "rsna"]
    assert (bundle / "prompts.json").read_text(encoding="utf-8") == render_label_sets(sets)
    assert make_pair("edema") == make_pair("edema", find_asking("alta").prompt_pair)


def test_an_exported_engine_states_the_family_alta(bundle):
    manifest = open_bundle(bundle).manifest
    assert manifest.schema_version == 2
    assert {name: getattr(manifest, name) for name in ALTA_CONTENT} == dict(ALTA_CONTENT)
    assert (manifest.method, manifest.intended_use) == (ALTA.method, ALTA.intended_use)
    assert manifest.licence == "not stated in the checkpoint; published ALTA weights are CC BY-NC 4.0"


@pytest.mark.parametrize("family", EXPORTS)
def test_the_sets_of_a_family_can_be_asked(family):
    asking = find_asking(family)
    sets = parse_label_sets(render_label_sets(asking.list_label_sets()).encode())
    assert {"chexpert5", "rsna"} <= sets.keys()
    asked = resolve_labels(["edema"], sets, asking.prompt_pair)["edema"]
    assert (asked.positive[0], asked.negative[0]) == tuple(one.format("edema") for one in asking.prompt_pair)
    assert resolve_labels("rsna", sets)["pneumonia"] == make_pair("pneumonia", asking.prompt_pair)


def test_the_families_ask_as_published():
    assert find_asking("chexzero").prompt_pair == ("{}", "no {}")
    for family in ("biovil-t", "biovil"):
        ensemble = find_asking(family).list_label_sets()["rsna-ensemble"]["pneumonia"]
        assert len(ensemble.positive) == len(ensemble.negative) == 4
    reads_priors = [name for name in EXPORTS if "progression" in find_asking(name).list_label_sets()]
    assert reads_priors == ["biovil-t"]
    assert [name for name in EXPORTS if find_asking(name).logit_scale_note] == [
        *("biovil-t", "biovil", "chexzero"),
    ]
    with pytest.raises(ExportError, match="family is not known; there are: alta, biovil-t"):
        find_export("medsiglip")


def test_a_family_states_its_own_words():
    stated = describe_family(replace(find_family("chexzero"), method="CheXzero (2022)", intended_use="Research alone."))
    assert (stated["family"], stated["prompt_pair"]) == ("chexzero", ("{}", "no {}"))
    assert (stated["method"], stated["intended_use"]) == ("CheXzero (2022)", "Research alone.")
