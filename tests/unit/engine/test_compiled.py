"""`alta engine compile`: graphs compiled on this machine lie beside the engine, sealed, and are used where they fit."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from schemas import check_output

from alta_runtimes import openvino_session
from alta_sdk import Engine, EngineError, IntegrityError, Matcher
from alta_sdk.cli import main
from alta_sdk.engine import compiled

pytest.importorskip("openvino")


@pytest.fixture
def engine(bundle, tmp_path, monkeypatch):
    """A copy of an engine, for a user who has no site key yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.delenv("ALTA_SITE_KEY", raising=False)
    return shutil.copytree(bundle, tmp_path / "chest.alta")


def run(engine, *options):
    return CliRunner().invoke(main, ["engine", "compile", str(engine), *options])


@pytest.fixture
def form(engine):
    result = run(engine)
    assert result.exit_code == 0, result.stderr
    return engine.with_name("chest.alta.compiled")


@pytest.fixture
def imports(monkeypatch):
    """How each graph was opened by OpenVINO: True for one that was compiled before."""
    opened = []
    made = openvino_session.OpenvinoSession.__init__

    def note(self, graph, name, threads, compute, compiled=None, streams=1):
        opened.append(compiled is not None)
        made(self, graph, name, threads, compute, compiled, streams)

    monkeypatch.setattr(openvino_session.OpenvinoSession, "__init__", note)
    return opened


def open_engine(path):
    return Engine.open(path, runtime="openvino", threads=1)


def test_it_is_used_and_computes_the_same(engine, form, imports, radiograph_path):
    pixels, slot = np.full((1, 1, 224, 224), 90, np.uint8), np.zeros(1, np.int64)
    prompts = ["a phrase that is in no label set"]
    with open_engine(engine) as with_form:
        size = with_form.geometry.crop_px
        pixels = pixels[:, :, :size, :size]
        assert with_form.runtime_reason == "asked for; its compiled form"
        answers = with_form.encode_pixels(pixels, slot), with_form.project_prompts(prompts)
    assert imports == [True, True]
    shutil.rmtree(form)
    with open_engine(engine) as without:
        assert without.runtime_reason == "asked for"
        for ours, theirs in zip(
            answers, (without.encode_pixels(pixels, slot), without.project_prompts(prompts)), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)


def test_an_engine_whose_name_leaves_no_room_for_another_opens(engine):
    with open_engine(engine.rename(engine.with_name("n" * 250))) as opened:
        assert opened.runtime_reason == "asked for"


def test_nothing_but_the_command_writes_it(engine, radiograph_path):
    with Matcher(engine, runtime="openvino") as matcher:
        matcher.zero_shot(radiograph_path, "chexpert5")
    assert not engine.with_name("chest.alta.compiled").exists()


@pytest.mark.parametrize("what", ["version", "processor", "instruction_sets", "engine_sha256"])
def test_one_for_another_machine_or_engine_is_passed_over_and_told(engine, form, imports, what, monkeypatch):
    here = compiled.describe_here
    other = {"instruction_sets": ["avx2"]}.get(what, "ab" * 32)
    monkeypatch.setattr(compiled, "describe_here", lambda manifest: {**here(manifest), what: other})
    with open_engine(engine) as opened:
        assert opened.runtime_reason.endswith(f"it is for another {what.replace('_', ' ')}")
    assert imports == [False]


def test_one_of_another_site_is_passed_over_and_told(engine, form, imports, tmp_path):
    key = next((tmp_path / "settings").rglob("alta-site.key"))
    key.write_text("ab" * 32 + "\n")
    with open_engine(engine) as opened:
        assert "does not bear this site's seal" in opened.runtime_reason
    key.unlink()
    with open_engine(engine) as opened:
        assert "no site key here" in opened.runtime_reason
    assert imports == [False, False] and not key.exists()


def test_what_a_stranger_lists_anew_is_not_used(engine, form, imports):
    content = json.loads((form / "compiled.json").read_text())
    (form / "image.onnx.blob").write_bytes(b"other")
    graph = content["graphs"]["image.onnx"]
    graph["size"], graph["sha256"] = 5, compiled.BundleFile.of("x", b"other").sha256
    (form / "compiled.json").write_text(json.dumps(content))
    with open_engine(engine) as opened:
        assert "does not bear this site's seal" in opened.runtime_reason
    assert imports == [False]


@pytest.mark.parametrize("name", ["image.onnx.blob", "compiled.json"])
@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"", lambda data: None])
def test_a_damaged_one_is_refused_with_what_to_do(engine, form, name, damage):
    data = damage((form / name).read_bytes())
    (form / name).unlink()
    if data is not None:
        (form / name).write_bytes(data)
    with pytest.raises(IntegrityError, match="make it again with alta engine compile --overwrite, or remove it"):
        open_engine(engine)


def test_it_is_replaced_only_when_asked_and_never_with_what_is_not_its_own(engine, form):
    assert run(engine).stderr.splitlines()[-1] == "EngineError: chest.alta.compiled exists: replace it with --overwrite"
    assert run(engine, "--overwrite").exit_code == 0
    (form / "notes.txt").write_text("mine")
    result = run(engine, "--overwrite")
    assert result.exit_code == 1 and "not, or not only" in result.stderr
    assert (form / "notes.txt").read_text() == "mine"


def test_no_option_seals_it_with_a_key_that_nobody_looks_for(engine, tmp_path):
    (tmp_path / "other.key").write_text("ab" * 32 + "\n")
    (tmp_path / "other.key").chmod(0o600)
    assert run(engine, "--key-file", str(tmp_path / "other.key")).exit_code == 2
    assert not engine.with_name("chest.alta.compiled").exists()


def test_what_a_stranger_lists_deletes_no_file_elsewhere(engine, form):
    victim = engine.with_name("mine.blob")
    victim.write_bytes(b"mine")
    content = json.loads((form / "compiled.json").read_text())
    content["graphs"]["../mine"] = content["graphs"]["image.onnx"]
    (form / "compiled.json").write_text(json.dumps(content))
    result = run(engine, "--overwrite")
    assert result.exit_code == 1 and "not, or not only" in result.stderr
    assert victim.read_bytes() == b"mine"


def test_onnxruntime_does_not_look_at_it(engine, form):
    (form / "compiled.json").write_text("no form")
    with Engine.open(engine, runtime="onnxruntime", threads=1) as opened:
        assert opened.runtime_reason == "asked for"


def test_a_machine_without_openvino_is_told(engine, monkeypatch):
    from alta_runtimes import RuntimeInfo

    gone = RuntimeInfo("openvino", None, (), "not installed: get it")
    monkeypatch.setattr(openvino_session, "is_available", lambda: gone)
    result = run(engine)
    assert result.exit_code == 1 and result.stderr == "RuntimeUnavailable: openvino is not installed: get it\n"
    assert not engine.with_name("chest.alta.compiled").exists()


def test_its_answer_is_one_json_object(engine):
    told = check_output("engine-compile", run(engine, "--json").stdout)
    assert told["compiled"] == "chest.alta.compiled" and told["runtime_reason"] == "asked for; its compiled form"
    assert told["bytes"] == sum(file.stat().st_size for file in engine.with_name("chest.alta.compiled").iterdir())


def test_the_form_lies_beside_the_engine_that_a_link_names(engine, form, tmp_path, imports):
    (tmp_path / "link.alta").symlink_to(engine)
    with open_engine(tmp_path / "link.alta") as opened:
        assert opened.runtime_reason == "asked for; its compiled form"
    with pytest.raises(EngineError):
        opened.project_prompts(["closed"])
