"""Opaque keys: stable on one site, of no use elsewhere, and never shown."""

import os
import shutil

import pytest

from alta_sdk import EngineError
from alta_sdk.study.key import SITE_KEY_NAME, SiteKey, identify_study, open_site_key


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("ALTA_SITE_KEY", raising=False)
    key, is_new = open_site_key(None, tmp_path)
    assert is_new and [path.name for path in tmp_path.iterdir()] == [SITE_KEY_NAME]
    if os.name != "nt":
        assert (tmp_path / SITE_KEY_NAME).stat().st_mode & 0o777 == 0o600
    assert open_site_key(None, tmp_path) == (key, False)
    assert key.secret.hex() not in repr(key)


def test_the_key_file_may_be_named(tmp_path, monkeypatch):
    first, _ = open_site_key(None, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("ALTA_SITE_KEY", str(tmp_path / SITE_KEY_NAME))
    assert open_site_key(None, elsewhere)[0] == first
    with pytest.raises(EngineError, match="cannot be read"):
        open_site_key(tmp_path / "none", elsewhere)
    assert not list(elsewhere.iterdir())


def test_a_key_that_is_open_or_short_is_refused(tmp_path):
    path = tmp_path / "key"
    path.write_text("ab" * 31)
    path.chmod(0o600)
    with pytest.raises(EngineError, match="64 hexadecimal"):
        open_site_key(path, tmp_path)
    if os.name != "nt":
        path.write_text("ab" * 32)
        path.chmod(0o644)
        with pytest.raises(EngineError, match="every user"):
            open_site_key(path, tmp_path)


def test_sites_name_one_study_differently():
    one, other = SiteKey(b"a" * 32), SiteKey(b"b" * 32)
    assert one.sign(b"uid:1.2.3") == SiteKey(b"a" * 32).sign(b"uid:1.2.3") != other.sign(b"uid:1.2.3")
    assert one.fingerprint != other.fingerprint


def test_a_study_is_its_uid_and_an_image_its_content(make_dicom, radiograph_path, tmp_path):
    path = make_dicom("study/a.dcm", StudyInstanceUID="1.2.3.9")
    assert identify_study(path) == identify_study(path.parent) == b"uid:1.2.3.9"
    copied = tmp_path / "other name.jpg"
    shutil.copy(radiograph_path, copied)
    assert identify_study(copied) == identify_study(radiograph_path)
    assert identify_study(tmp_path / "gone") == b"name:gone"
