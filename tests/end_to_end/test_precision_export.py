"""alta-export in lower precision, from the command line: calibrated, gated, scored by both runtimes."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DATA_DIR, write_radiographs

from alta_export import gate
from alta_export.cli import main as alta_export
from alta_export.verify import make_radiographs
from alta_runtimes import openvino_session
from alta_sdk import Matcher
from alta_sdk.cli import main as alta
from alta_sdk.engine.bundle import open_bundle
from alta_sdk.errors import RuntimeUnavailable
from alta_training.data.labelled import read_labelled
from alta_training.evaluation.encoders import BundleEncoder
from alta_training.evaluation.zero_shot import evaluate_labelled

METADATA = DATA_DIR / "nih_cxr" / "metadata.csv"
AUC_LOSS = 0.005  # the gate's own limit


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory):
    return write_radiographs(tmp_path_factory.mktemp("radiographs"), make_radiographs(24, 240)[:, 0])


@pytest.fixture(scope="module")
def black(tmp_path_factory):
    return write_radiographs(tmp_path_factory.mktemp("black"), np.zeros((20, 240, 240), np.uint8))


@pytest.fixture(scope="module")
def export(checkpoint_folder, tmp_path_factory):
    def run(*options, name="engine"):
        output = tmp_path_factory.mktemp("exported") / f"{name}.alta"
        source = ["--checkpoint", checkpoint_folder / "model.safetensors"]
        arguments = [str(part) for part in (*source, "--output", output, *options)]
        return CliRunner().invoke(alta_export, arguments), output

    return run


@pytest.fixture(scope="module")
def int8(export, radiographs):
    result, output = export("--precision", "int8", "--calibration", radiographs, "--intensity-profile", "mimic-jpg-v1")
    assert result.exit_code == 0, result.stderr
    return result, output


def test_int8_engine_says_what_it_is_and_what_it_costs(int8, radiographs):
    result, output = int8
    manifest = open_bundle(output).manifest
    assert manifest.engine["precision"] == "int8"
    calibration = manifest.engine["calibration"]
    assert (calibration["method"], calibration["radiographs"], calibration["prompts"]) == ("minmax", 20, 96)
    assert calibration["smoothed_image_norms"] in (0, 3) and calibration["smoothed_text_norms"] in (0, 2)
    assert manifest.preprocessing["intensity_profile"] == "mimic-jpg-v1"
    for graph in ("image", "text"):
        told = manifest.engine[f"{graph}_precision"]
        assert told["achieved"]["int8"] + len(told["kept_in_fp32"]) == sum(told["achieved"].values())
        assert told["achieved"]["int8"] > 0
    measured = manifest.verification["gate"]
    assert measured["beyond_limits"] == [] and not measured["drift_accepted"] and measured["radiographs"] == 4
    assert 0.97 <= measured["image_worst_cosine"] < 1
    assert set(manifest.engine["milliseconds_per_radiograph"]) == {"fp32", "int8"}
    assert "Drift from FP32 on 4 radiographs" in result.stdout
    assert (measured["evidence"], measured["patients"], measured["decisions"]) == ("few", None, 24)
    (notice,) = [one for one in manifest.notices if one.startswith("DRIFT MEASURED ON 4 RADIOGRAPHS")]
    assert notice in result.stderr and "asks for 32 held-out radiographs" in result.stderr
    everything = result.output + "".join(p.read_text("utf-8", "replace") for p in output.iterdir())
    assert "DOE" not in everything and str(radiographs) not in everything


def test_int8_scores_are_close_to_fp32_in_both_runtimes(int8, bundle, radiographs):
    studies = sorted(radiographs.iterdir())[:4]
    labels = ["pneumonia", "edema"]
    reference = Matcher(bundle).zero_shot(studies, labels)
    for runtime in ("onnxruntime", "openvino"):
        matcher = Matcher(int8[1], runtime=runtime)
        for one, other in zip(reference, matcher.zero_shot(studies, labels), strict=True):
            for label in labels:
                assert one.scores[label] == pytest.approx(other.scores[label], abs=0.1)
            assert other.provenance["runtime"].startswith(runtime)
            assert other.provenance["runtime_reason"] == "asked for"
            assert other.provenance["precision"] == "int8"
            assert any(told.startswith("DRIFT MEASURED ON 4 RADIOGRAPHS") for told in other.provenance["notices"])


def test_int8_engine_draws_heat_maps_with_patches_in_fp32(int8, bundle, radiographs):
    study = sorted(radiographs.iterdir())[0]
    reference = Matcher(bundle).locate(study, "edema")
    for runtime in ("onnxruntime", "openvino"):
        matcher = Matcher(int8[1], runtime=runtime)
        heatmap = matcher.locate(study, "edema")
        np.testing.assert_allclose(heatmap.patches, reference.patches, atol=0.1)
        assert heatmap.provenance["precision"] == "int8" and heatmap.provenance["patch_graph_precision"] == "fp32"
        local = matcher.engine.manifest.engine["local_heads"]
        assert local["limits"]["min_cosine"] < local["drift"]["worst_cosine"] < 1


def test_the_usually_fastest_runtime_is_chosen_and_the_reason_told(bundle, monkeypatch):
    assert Matcher(bundle).engine.provenance["runtime_reason"] == "usually the fastest of those that work here"
    assert Matcher(bundle).engine.provenance["runtime"].startswith("openvino")
    gone = replace(openvino_session.is_available(), version=None, devices=(), reason="not installed: get it")
    monkeypatch.setattr(openvino_session, "is_available", lambda: gone)
    provenance = Matcher(bundle).engine.provenance
    assert provenance["runtime"].startswith("onnxruntime")
    assert provenance["runtime_reason"] == "usually the fastest of those that work here; openvino not installed: get it"
    with pytest.raises(RuntimeUnavailable, match="openvino does not work here: not installed: get it"):
        Matcher(bundle, runtime="openvino")


def test_an_openvino_engine_opens_with_openvino(export):
    result, output = export("--engine", "openvino")
    assert result.exit_code == 0, result.stderr
    engine = Matcher(output).engine
    assert engine.provenance["runtime"].startswith("openvino")
    assert engine.provenance["runtime_reason"] == "the engine was exported for it"


def test_bf16_is_refused_where_the_cpu_has_none_and_works_where_it_does(export):
    result, output = export("--precision", "bf16")
    if has_bf16():
        assert result.exit_code == 0, result.stderr
        assert open_bundle(output).manifest.engine["image_precision"]["achieved"]["bf16"] > 0
    else:
        assert result.exit_code == 1 and not output.exists()
        assert result.stderr.splitlines()[-1].startswith("RuntimeUnavailable: openvino: this CPU has no BF16")


def has_bf16():
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_int8_bf16_is_refused_where_the_cpu_has_no_bf16_and_is_asked_for_by_name_where_it_has(export, radiographs):
    result, output = export("--precision", "int8-bf16", "--calibration", radiographs)
    if not has_bf16():
        assert result.exit_code == 1 and not output.exists()
        assert result.stderr.splitlines()[-1].startswith("RuntimeUnavailable: openvino: this CPU has no BF16")
        return
    assert result.exit_code == 0, result.stderr
    manifest = open_bundle(output).manifest
    assert manifest.engine["precision"] == "int8-bf16"
    assert "int8" in manifest.engine["image_precision"]["achieved"]
    assert manifest.verification["gate"]["image_worst_cosine"] >= 0.97
    with Matcher(output) as matcher:
        assert matcher.provenance["runtime"].startswith("openvino")
        assert matcher.provenance["precision"] == "int8-bf16"
    with pytest.raises(RuntimeUnavailable, match="onnxruntime does not compute bf16"):
        Matcher(output, runtime="onnxruntime")


def test_an_int8_bf16_engine_does_not_open_where_the_cpu_has_no_bf16(export, radiographs, monkeypatch):
    if not has_bf16():
        pytest.skip("no BF16: there is no such engine here")
    _, output = export("--precision", "int8-bf16", "--calibration", radiographs)
    core = openvino_session._share_core()

    class Core:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

        def __getattr__(self, name):
            return getattr(core, name)

    monkeypatch.setattr(openvino_session, "_share_core", Core)
    with pytest.raises(RuntimeUnavailable, match="this CPU has no BF16 arithmetic; export FP32 or INT8"):
        Matcher(output)


def test_int8_bf16_is_not_for_tensorrt(export, radiographs):
    result, output = export(
        "--engine", "trt", "--defer-build", "--precision", "int8-bf16", "--calibration", radiographs
    )
    assert result.exit_code == 1 and not output.exists()
    assert "--engine trt --precision int8-bf16 is not supported" in result.stderr


def test_fp16_engine_is_smaller_and_within_its_limits(export, bundle):
    result, output = export("--precision", "fp16")
    assert result.exit_code == 0, result.stderr
    manifest = open_bundle(output).manifest
    assert manifest.engine["image_precision"]["achieved"].keys() == {"fp16"}
    assert manifest.verification["gate"]["image_worst_cosine"] >= 0.999
    assert manifest.verification["gate"]["held_out"].startswith("synthetic")
    assert manifest.verification["gate"]["evidence"] == "synthetic" and "16 synthetic images" in manifest.notices[-2]
    assert manifest.notices[-2].startswith("DRIFT NOT MEASURED ON RADIOGRAPHS")
    assert (output / "image.onnx").stat().st_size < (bundle / "image.onnx").stat().st_size


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A table of 40 radiographs of 20 patients, every second with the finding."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "images").mkdir()
    names = [
        path.name for path in sorted(write_radiographs(folder / "images", make_radiographs(40, 240)[:, 0]).iterdir())
    ]
    rows = [f"{name},ROE_{i // 2:02},{'Pneumonia' if i % 4 < 2 else 'No Finding'}" for i, name in enumerate(names)]
    (folder / "table.csv").write_text("\n".join(["image,patient,findings", *rows]) + "\n", encoding="utf-8")
    return folder / "table.csv"


def test_enough_radiographs_are_counted_with_their_patients_and_need_no_notice(export, labelled):
    result, output = export("--precision", "fp16", "--held-out", labelled)
    assert result.exit_code == 0, result.stderr
    manifest = open_bundle(output).manifest
    assert not any("DRIFT" in notice for notice in manifest.notices)
    told = manifest.verification["gate"]
    assert (told["evidence"], told["radiographs"], told["patients"], told["decisions"]) == ("enough", 40, 20, 240)
    assert told["auc_loss_low"] <= told["auc_loss"] <= told["auc_loss_high"]
    assert told["auc_loss"] == told["auc_reference"] - told["auc_engine"]
    assert (told["limits"]["flipped_share"], told["limits"]["score_shift"], told["limits"]["radiographs"]) == (
        0.01, 0.05, 32,
    )  # fmt: skip
    assert "Drift from FP32 on 40 radiographs (40 studies; 20 patients)" in result.stdout
    for said in ("largest shift of a score", "flipped decisions", "AUC loss (95 % interval by patient)"):
        assert said in result.stdout
    everything = result.output + (output / "manifest.json").read_text("utf-8")
    assert "ROE" not in everything and "DOE" not in everything


def test_held_out_radiographs_that_were_calibrated_on_are_refused(export, labelled):
    result, output = export("--precision", "int8", "--calibration", labelled, "--held-out", labelled)
    assert result.exit_code == 1 and not output.exists()
    told = result.stderr.splitlines()[-1]
    assert told.startswith("CalibrationError: 20 of 20 patients of --held-out are in --calibration, too")


def test_scores_that_move_too_far_are_refused_and_the_counts_told(export, labelled, monkeypatch):
    monkeypatch.setitem(gate.LIMITS, "fp16", gate.GateLimits(0.9, 0.9, score_shift=-1.0))
    result, output = export("--precision", "fp16", "--held-out", labelled)
    assert result.exit_code == 1 and not output.exists()
    told = result.stderr.splitlines()[-1]
    assert told.startswith("ExportError: fp16 engine drifts beyond the limits: largest shift of a score ")
    assert "measured on 40 radiographs of 20 patients; most sensitive layers" in told


def test_calibration_is_reused(export, radiographs, tmp_path, int8, monkeypatch):
    # Scores of random weights lie at 0.5, where one in twenty flips on the synthetic images that the second one is
    # judged by: refused as it should be, and not what is tested here.
    monkeypatch.setitem(gate.LIMITS, "int8", replace(gate.LIMITS["int8"], flipped_share=1.0))
    cache = tmp_path / "calibration.json"
    first, one = export("--precision", "int8", "--calibration", radiographs, "--calibration-cache", cache)
    assert first.exit_code == 0 and cache.is_file(), first.stderr
    second, other = export("--precision", "int8", "--calibration-cache", cache)
    assert second.exit_code == 0, second.stderr
    assert (one / "image.onnx").read_bytes() == (other / "image.onnx").read_bytes()
    assert cache.read_bytes() == (other / "calibration.json").read_bytes()
    content = json.loads(cache.read_text("utf-8"))
    cache.write_text(json.dumps({**content, "checkpoint_sha256": "0" * 64}), encoding="utf-8")
    third, _ = export("--precision", "int8", "--calibration-cache", cache)
    assert third.exit_code == 1 and "another checkpoint" in third.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "CalibrationError: INT8 needs --calibration FOLDER|CSV"),
        (("--calibration", "nowhere"), "CalibrationError: --calibration not found"),
        (("--calibration-cache", "nowhere.json"), "CalibrationError: nowhere.json not found"),
    ],
)
def test_int8_without_data_is_refused(export, options, message):
    result, output = export("--precision", "int8", *options)
    assert result.exit_code == 1 and message in result.stderr and not output.exists()
    assert len([line for line in result.stderr.splitlines() if "Error" in line]) == 1


@pytest.mark.parametrize("as_held_out", [False, True])
def test_black_radiographs_are_refused(export, black, radiographs, as_held_out):
    shown, held = (radiographs, black) if as_held_out else (black, radiographs)
    result, output = export("--precision", "int8", "--calibration", shown, "--held-out", held)
    assert result.exit_code == 1 and not output.exists()
    named = "--held-out" if as_held_out else "--calibration"
    assert f"20 of 20 radiographs of {named} are blank" in result.stderr


def test_copies_of_one_radiograph_cannot_show_a_drift(export, tmp_path):
    same = write_radiographs(tmp_path, np.repeat(make_radiographs(1, 240)[0], 20, axis=0))
    result, output = export("--precision", "int8", "--calibration", same)
    assert result.exit_code == 1 and not output.exists()
    assert "CalibrationError: the held-out radiographs are all alike" in result.stderr


def test_drift_beyond_the_limits_is_refused_unless_accepted(export, radiographs, monkeypatch):
    monkeypatch.setitem(gate.LIMITS, "int8", gate.GateLimits(1.1, 1.1))  # no engine reaches it
    options = ("--precision", "int8", "--calibration", radiographs)
    refused, output = export(*options)
    assert refused.exit_code == 1 and not output.exists()
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("ExportError: int8 engine drifts beyond the limits: image mean") and "--accept-drift" in last
    assert "most sensitive layers" in last
    accepted, output = export(*options, "--accept-drift")
    assert accepted.exit_code == 0, accepted.stderr
    manifest = open_bundle(output).manifest
    assert manifest.verification["gate"]["drift_accepted"] and manifest.verification["gate"]["beyond_limits"]
    assert "blocks.0.fc1" in manifest.engine["image_precision"]["sensitivity"]
    assert "DRIFT ACCEPTED" in manifest.notices[-2]
    shown = CliRunner().invoke(alta, ["inspect", str(output)])
    assert "DRIFT ACCEPTED" in " ".join(shown.stdout.split())


HELD_OUT = ["--held-out", METADATA, "--held-out-split", "val"]


def test_the_demo_model_keeps_its_auc(data_dir, tmp_path):
    output = tmp_path / "demo.alta"
    arguments = [str(part) for part in ("--precision", "fp16", "--output", output, *HELD_OUT)]
    result = CliRunner().invoke(alta_export, arguments)
    assert result.exit_code == 0, result.stderr
    told = open_bundle(output).manifest.verification["gate"]
    radiographs = read_labelled(METADATA, split="val", finding="Pneumonia")
    for runtime in ("onnxruntime", "openvino"):
        encoder = BundleEncoder(Matcher(output, fusion_mode="frontal", runtime=runtime))
        figures = evaluate_labelled(encoder, radiographs, "Pneumonia")
        assert told["auc_reference"] - figures["auc"] <= AUC_LOSS


def test_int8_of_the_demo_model_stays_within_the_limits(data_dir, tmp_path):
    calibration = ["--calibration", METADATA, "--calibration-split", "train", "--calibration-samples", "100"]
    output = tmp_path / "demo.alta"
    arguments = [str(part) for part in ("--precision", "int8", "--output", output, *calibration, *HELD_OUT)]
    result = CliRunner().invoke(alta_export, arguments)
    assert result.exit_code == 0, result.stderr
    told = open_bundle(output).manifest.verification["gate"]
    assert told["auc_reference"] - told["auc_engine"] <= AUC_LOSS
