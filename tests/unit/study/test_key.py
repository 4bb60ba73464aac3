"""Opaque keys: stable on one site, of no use elsewhere, and never shown."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from alta_sdk import EngineError
from alta_sdk.study.key import SITE_KEY_NAME, SiteKey, identify_study, open_site_key


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """The folder of this user's settings, which is not there yet."""
    monkeypatch.delenv("ALTA_SITE_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "alta-sdk"


@pytest.fixture
def beside(tmp_path):
    """The folder of an index."""
    (tmp_path / "indexes").mkdir()
    return tmp_path / "indexes"


def test_a_key_is_made_once_and_for_its_owner_alone_and_not_where_the_index_is(settings, beside):
    key, is_new = open_site_key(None, beside)
    assert is_new and [path.name for path in settings.iterdir()] == [SITE_KEY_NAME]
    assert not list(beside.iterdir())
    if os.name != "nt":
        assert (settings / SITE_KEY_NAME).stat().st_mode & 0o777 == 0o600
        assert settings.stat().st_mode & 0o777 == 0o700
    assert open_site_key(None, beside) == open_site_key(None, settings.parent) == (key, False)
    assert key.secret.hex() not in repr(key)


def test_a_key_that_lies_beside_the_index_goes_before_the_users(settings, beside):
    of_user, _ = open_site_key(None, beside)
    (beside / SITE_KEY_NAME).write_text("cd" * 32, encoding="ascii")
    (beside / SITE_KEY_NAME).chmod(0o600)
    assert open_site_key(None, beside) == (SiteKey(b"\xcd" * 32), False) != (of_user, False)


@pytest.mark.skipif(sys.platform != "linux", reason="the place is another")
def test_without_a_word_about_settings_it_is_in_the_home_folder(settings, beside, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert open_site_key(None, beside)[1]
    assert [path.name for path in (tmp_path / "home" / ".config" / "alta-sdk").iterdir()] == [SITE_KEY_NAME]


def test_where_no_settings_can_be_kept_the_key_must_be_named(settings, beside, tmp_path, monkeypatch):
    (tmp_path / "config").write_text("a file", encoding="ascii")
    with pytest.raises(EngineError, match="site key cannot be written: .*; give --key-file"):
        open_site_key(None, beside)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(EngineError, match="no home folder"):
        open_site_key(None, beside)


def test_the_key_file_may_be_named(settings, beside, tmp_path, monkeypatch):
    first, _ = open_site_key(None, beside)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("ALTA_SITE_KEY", str(settings / SITE_KEY_NAME))
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
