"""Whatever bytes lie in a bundle, opening it gives an engine or an error of ours."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alta_sdk import AltaError
from alta_sdk.dicom.image import read_image
from alta_sdk.engine.manifest import parse_manifest
from alta_sdk.matching.prompts import clean_report_text

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=400))
def test_any_bytes_as_a_manifest(data):
    refuse(parse_manifest, data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    key=st.sampled_from(
        [
            *("files", "fusion_mode", "logit_scale", "notices", "schema_version", "sha256"),
            *("family", "graphs", "head", "fusion_modes", "slots", "prompt_rule", "prompt_average", "prompt_pair"),
            *("patch_match", "logit_scale_note"),
        ]
    ),
    value=json_values,
)
def test_any_value_in_a_field_of_a_manifest(bundle, key, value):
    import json

    content = json.loads((bundle / "manifest.json").read_bytes())
    if content[key] != value:
        refuse(parse_manifest, json.dumps({**content, key: value}).encode())


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_dicom_mark(data):
    try:
        read_image(b"\0" * 128 + b"DICM" + data)
    except AltaError:
        pass


@given(st.text(max_size=200))
def test_cleaning_keeps_words_alone(text):
    cleaned = clean_report_text(text)
    assert clean_report_text(cleaned) in (cleaned, "")


def refuse(parse, data):
    try:
        parse(data)
    except AltaError:
        return
    raise AssertionError("accepted")
