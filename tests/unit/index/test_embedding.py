"""`alta embed`: one index from a folder, the same after any interruption, and nothing told of anybody."""

import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from schemas import check_output

from alta_sdk import EngineError, Matcher, ReportIndex
from alta_sdk.cli import main
from alta_sdk.index.embedding import embed_folder, list_entries
from alta_sdk.study.key import SiteKey
from alta_sdk.study.study import load_study

SITE = SiteKey(b"s" * 32)


@pytest.fixture
def folder(tmp_path, make_dicom):
    """Five studies: a DICOM folder, a file of the same study, two images, and something unreadable."""
    root = tmp_path / "DOE_JANE_FOLDER"
    make_dicom("DOE_JANE_FOLDER/DOE_study/a.dcm", StudyInstanceUID="1.2.777")
    rng = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(rng.integers(0, 255, (250, 250), dtype=np.uint8)).save(root / f"DOE_{number}.png")
    shutil.copy(root / "DOE_study" / "a.dcm", root / "again.dcm")
    (root / "DOE_note.dcm").write_bytes(b"DOE JANE is not a radiograph")
    return root


def run(matcher, folder, out, site=SITE):
    return list(embed_folder(matcher, list_entries(folder), out, site, load_study))


def test_each_study_is_there_once_and_the_unreadable_is_counted(matcher, folder, tmp_path):
    studies = run(matcher, folder, tmp_path / "a.index")
    assert [study.error for study in studies if study.error] == ["DicomError"]
    assert sum(study.is_twin for study in studies) == 1
    index = ReportIndex.open(tmp_path / "a.index")
    assert len(index) == 3 and index.keys == sorted(set(index.keys))
    match = index.search(matcher.embed(folder / "DOE_0.png"), 1)[0]
    assert match.key == next(study.key for study in studies if study.name == "DOE_0.png")
    assert match.score == pytest.approx(1, abs=1e-5)


def test_a_whole_copy_after_a_damaged_one_is_embedded(matcher, make_dicom, tmp_path):
    whole = make_dicom("copies/b/whole.dcm", StudyInstanceUID="1.2.888")
    (tmp_path / "copies" / "a").mkdir()
    make_dicom("copies/a/lateral.dcm", StudyInstanceUID="1.2.888", ViewPosition="LL")
    studies = run(matcher, whole.parent.parent, tmp_path / "copies.index")
    assert [(study.error, study.is_twin) for study in studies] == [("ViewError", False), ("", False)]
    assert len(ReportIndex.open(tmp_path / "copies.index")) == 1


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("after", range(4))
def test_stopped_after_any_study_it_ends_with_the_same_bytes(matcher, folder, tmp_path, monkeypatch, after):
    run(matcher, folder, tmp_path / "whole.index")
    out, calls = tmp_path / "b.index", []
    steps = embed_folder(matcher, list_entries(folder), out, SITE, load_study)
    for _ in range(after):
        next(steps)
    steps.close()
    journal = tmp_path / "b.index.journal"
    if journal.exists():
        journal.write_bytes(journal.read_bytes() + b"half a record")
    (tmp_path / ".b.index.0123456789ab.tmp").write_bytes(b"half an index")
    assert not out.exists()
    embed = Matcher.embed
    monkeypatch.setattr(Matcher, "embed", lambda self, study: calls.append(1) or embed(self, study))
    run(matcher, folder, out)
    assert out.read_bytes() == (tmp_path / "whole.index").read_bytes()
    assert not journal.exists() and not list(tmp_path.glob(".*"))
    assert len(calls) < 3 or after < 2


def test_run_again_it_takes_in_what_is_new_and_drops_what_is_gone(matcher, folder, tmp_path):
    out = tmp_path / "c.index"
    run(matcher, folder, out)
    shutil.copy(folder / "DOE_0.png", folder / "copy of the same.png")
    Image.fromarray(np.arange(240 * 240, dtype=np.uint32).astype(np.uint8).reshape(240, 240)).save(folder / "new.png")
    (folder / "DOE_1.png").unlink()
    studies = run(matcher, folder, out)
    assert [study.name for study in studies if study.is_new and not study.error] == ["new.png"]
    assert len(ReportIndex.open(out)) == 3


def test_another_site_key_mode_or_engine_is_refused(matcher, folder, tmp_path):
    out = tmp_path / "d.index"
    run(matcher, folder, out)
    before = out.read_bytes()
    with pytest.raises(EngineError, match="site key"):
        run(matcher, folder, out, SiteKey(b"t" * 32))
    with pytest.raises(EngineError, match="fusion mode"):
        run(Matcher(matcher.engine, fusion_mode="present"), folder, out)
    assert out.read_bytes() == before


def test_two_processes_cannot_write_one_index(matcher, folder, tmp_path):
    first = embed_folder(matcher, list_entries(folder), tmp_path / "e.index", SITE, load_study)
    next(first)
    with pytest.raises(EngineError, match="another process"):
        run(matcher, folder, tmp_path / "e.index")
    first.close()


def test_a_run_leaves_its_journal_alone_and_one_that_ends_nothing(matcher, folder, tmp_path):
    steps = embed_folder(matcher, list_entries(folder), tmp_path / "i.index", SITE, load_study)
    next(steps)
    steps.close()
    assert [path.name for path in tmp_path.glob("i.*")] == ["i.index.journal"]
    run(matcher, folder, tmp_path / "i.index")
    assert [path.name for path in tmp_path.glob("i.*")] == ["i.index"]
    assert len(ReportIndex.open(tmp_path / "i.index")) == 3


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_two_names_of_one_index_have_one_journal(matcher, folder, tmp_path):
    (tmp_path / "link.index").symlink_to("k.index")
    first = embed_folder(matcher, list_entries(folder), tmp_path / "k.index", SITE, load_study)
    next(first)
    with pytest.raises(EngineError, match="another process"):
        run(matcher, folder, tmp_path / "link.index")
    first.close()
    run(matcher, folder, tmp_path / "link.index")
    assert (tmp_path / "link.index").is_symlink() and len(ReportIndex.open(tmp_path / "k.index")) == 3


def test_a_folder_that_is_not_there_is_told_and_not_made(matcher, folder, tmp_path):
    with pytest.raises(EngineError, match="cannot be written: No such file or directory; check --out"):
        run(matcher, folder, tmp_path / "absent" / "j.index")
    assert not (tmp_path / "absent").exists()


def test_a_journal_of_another_run_is_refused(matcher, folder, tmp_path):
    (tmp_path / "f.index.journal").write_bytes(b"ALTAJNL\x01" + b"x" * 60)
    with pytest.raises(EngineError, match="unfinished run"):
        run(matcher, folder, tmp_path / "f.index")


def embed_by_command(folder, out, bundle, *more):
    return CliRunner().invoke(main, ["embed", str(folder), "--out", str(out), "--engine", str(bundle), *more])


def test_the_command_names_studies_by_key_alone(bundle, folder, tmp_path, monkeypatch):
    monkeypatch.delenv("ALTA_SITE_KEY", raising=False)
    out = tmp_path / "out"
    out.mkdir()
    result = embed_by_command(folder, out / "g.index", bundle, "--json")
    assert result.exit_code == 1
    report = check_output("embed", result.stdout)
    assert (report["entries"], report["embedded"], report["twins"]) == (3, 3, 1)
    (unread,) = report["unread"]
    assert list(unread) == ["number", "key", "is_new", "is_twin", "error"] and unread["error"]["class"] == "DicomError"
    assert [study["number"] for study in report["studies"]] == [1, 2, 3, 4, 5]
    assert [study["key"] for study in report["studies"] if study["is_twin"]] == [report["studies"][3]["key"]]
    written = b"".join(path.read_bytes() for path in out.iterdir())
    for told in (result.output.encode(), written):
        assert b"DOE" not in told and b"1.2.777" not in told
    assert [path.name for path in out.iterdir()] == ["g.index"], "the site key does not lie with the index"
    assert "beside the index" not in result.stderr
    (folder / "DOE_note.dcm").unlink()
    again = embed_by_command(folder, out / "g.index", bundle, "--with-identifiers")
    assert again.exit_code == 0
    assert "DOE_0.png" in again.stdout and "already there                   3" in again.stdout


def test_an_empty_or_absent_folder_is_refused_in_one_line(bundle, tmp_path):
    for wrong in (tmp_path / "none", tmp_path):
        result = embed_by_command(wrong, tmp_path / "h.index", bundle)
        assert result.exit_code == 1 and result.stderr.startswith("StudyError: folder of studies")
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_refused_makes_no_key(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    given = [folder, "--engine", tmp_path / "absent.alta", "--out", tmp_path / "studies.altx"]
    refused = CliRunner().invoke(main, ["embed", *map(str, given)])
    assert refused.exit_code == 1 and refused.stderr.startswith("EngineError: engine not found")
    assert not (tmp_path / "settings").exists()


def test_a_key_beside_the_index_as_of_before_is_used_and_told(bundle, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    key = out / "alta-site.key"
    key.write_text("ab" * 32, encoding="ascii")
    key.chmod(0o600)
    (folder / "DOE_note.dcm").unlink()
    result = embed_by_command(folder, out / "l.index", bundle)
    assert result.exit_code == 0 and "site key lies beside the index" in result.stderr
    assert ReportIndex.open(out / "l.index").origin.site_key == SiteKey(b"\xab" * 32).fingerprint
    settings = tmp_path / "settings" / "alta-sdk"
    settings.mkdir(parents=True)
    key.rename(settings / key.name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(settings.parent))
    again = embed_by_command(folder, out / "l.index", bundle)
    assert (
        again.exit_code == 0 and "site key" not in again.stderr and "already there                   3" in again.stdout
    )
