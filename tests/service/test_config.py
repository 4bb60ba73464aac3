"""A configuration is read whole: everything that is wrong in it is told at once, with its line and what to write."""

from pathlib import Path

import pytest

from alta_sdk.errors import ServiceError
from alta_sdk.service.config import load_settings, read_settings
from alta_sdk.service.settings import DicomPeer, Keeping, WebPeer
from alta_sdk.service.web.login import hash_password

GOOD = """\
[service]
state = "state"

[receiving]
ae_title = "ALTA"
port = 0
calling_ae_titles = ["*"]

[[engines]]
name = "chest"
path = "chest.alta"
labels = "chexpert5"
"""
HASH = hash_password("correct horse battery")
TLS = '{ certificate = "a.pem", key = "a.pem", authority = "a.pem" }'


@pytest.fixture
def read(tmp_path):
    """Read a configuration's text; return its settings and the lines of its faults."""
    (tmp_path / "chest.alta").mkdir()
    (tmp_path / "a.pem").touch()

    def load(text):
        path = tmp_path / "service.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        settings, faults = load_settings(path)
        assert (settings is None) == bool(faults)
        return settings, [str(fault) for fault in faults]

    return load


def test_a_short_configuration_takes_every_other_value_from_its_defaults(read, tmp_path):
    settings, faults = read(GOOD)
    assert not faults
    assert settings.state == tmp_path / "state"
    assert settings.engines[0].path == tmp_path / "chest.alta"
    assert settings.receiving.host == "127.0.0.1" and settings.receiving.calling_ae_titles == ("*",)
    assert settings.keeping == Keeping() and settings.web is not None and not settings.destinations


def test_everything_that_can_be_said_is_read(read):
    more = f"""
labels = ["pneumonia", "edema"]
heat_map = true
[[rules]]
engine = "chest"
modality = "DX"
description = "*thorax*"
[[destinations]]
name = "pacs"
ae_title = "PACS"
host = "10.0.0.1"
port = 104
wants_commitment = true
tls = {TLS}
[[destinations]]
name = "archive"
url = "https://archive.local/dicom-web/"
credentials = "a.pem"
[[peers]]
ae_title = "MODALITY"
host = "10.0.0.2"
port = 104
[priors]
url = "http://127.0.0.1:8042/dicom-web"
most_seconds = 5
[keeping]
images_hours = 1
results_days = 2
[web]
port = 8080
show_identifiers = true
[web.users]
anna = "HASH"
"""
    text = more.replace("HASH", HASH)
    settings, faults = read(GOOD.replace('labels = "chexpert5"\n', text))
    assert not faults
    assert settings.engines[0].labels == ("pneumonia", "edema")
    first, second = settings.destinations
    assert isinstance(first.peer, DicomPeer) and first.wants_commitment and first.peer.tls is not None
    assert isinstance(second.peer, WebPeer) and second.peer.url == "https://archive.local/dicom-web"
    assert settings.peers[0].ae_title == "MODALITY" and settings.priors.most_seconds == 5
    assert settings.web.users == (("anna", HASH),)
    assert settings.rules[0].description == "*thorax*"


def test_every_fault_is_told_with_its_line_and_what_to_write(read):
    text = """\
[service]
state = 5
quiet = 3
[receiving]
ae_title = "A TITLE THAT IS TOO LONG"
port = true
callling_ae_titles = ["*"]

[[engines]]
name = "a"
path = "nowhere"
labels = []
[[engines]]
name = "a"
path = "chest.alta"
labels = "chexpert5"
[[destinations]]
url = "http://x"
ae_title = "Y"
[wb]
"""
    _, faults = read(text)
    assert [int(fault.split(":")[0].removeprefix("line ")) for fault in faults] == [
        *(2, 3, 4, 5, 6, 7),
        *(11, 12, 13, 14, 17, 18, 20),
    ]
    assert "did you mean quiet_seconds?" in faults[1]
    assert "did you mean calling_ae_titles?" in faults[5]
    assert "did you mean web?" in faults[-1]
    assert all(":" in fault.partition(": ")[2] or ";" in fault for fault in faults)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("port = 0", "port = 70000", "[receiving] port: write a whole number from 0 to 65535"),
        ("port = 0", "", "[receiving] port is missing"),
        ('["*"]', '["*", "PACS"]', 'write "*" alone'),
        ('["*"]', '"PACS"', "write a list of AE titles"),
        ('"ALTA"', '"AL\\\\TA"', "without a backslash"),
        ('name = "chest"', 'name = "my engine"', "write a name"),
        ("[service]", "[[service]]", "[service] is no table"),
        ("[[engines]]", "[engines]", "[[engines]] is no list of tables"),
        ('labels = "chexpert5"', 'labels = ""', "write a text in quotes"),
        ('labels = "chexpert5"', 'labels = "rsna"\ndevice = "gpu"', "write one of: auto, cpu, cuda"),
        ('state = "state"', 'state = "state"\nquiet_seconds = nan', "write a number from"),
        ('state = "state"', "", "[service] state is missing"),
        (GOOD, "", "[[engines]] is missing"),
        (GOOD, GOOD + '[web]\nhost = "0.0.0.0"\n', "needs [web.users]"),
        (GOOD, GOOD + '[web]\nhost = "0.0.0.0"\n', "needs certificate and key"),
        (GOOD, GOOD + '[web]\nkey = "a.pem"\n', "give both, or none"),
        (GOOD, GOOD + "[web.users]\nanna = 5\n", "alta service hash-password"),
        (GOOD, GOOD + '[[rules]]\nengine = "chst"\n', "no [[engines]] has this name"),
        (GOOD, GOOD + '[[rules]]\nengine = "chest"\n[[rules]]\nengine = "chest"\nmodality = "CR"\n', "put it last"),
        (GOOD, GOOD + '[[destinations]]\nname = "p"\nurl = "http://anna:secret@x"\n', "go into a file"),
        (GOOD, GOOD + '[[destinations]]\nname = "p"\nurl = "http://x"\nwants_commitment = true\n', "take it out"),
        (GOOD, GOOD + '[[destinations]]\nhost = "x"\n', "[[destinations]] 1 port is missing"),
    ],
)
def test_a_value_that_cannot_be_is_told(read, old, new, told):
    _, faults = read(GOOD.replace(old, new))
    assert any(told in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[service\n", "line 1: is no TOML"),
        ("[service]\nstate = 'a'\nstate = 'b'\n", "line 3: is no TOML"),
        (b"[service]\nstate = '\xff'\n", "line 2: is no text in UTF-8"),
        ("a = " + "[" * 5000, "TOML"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(read, text, told):
    _, faults = read(text)
    assert len(faults) == 1 and told in faults[0]


def test_no_value_is_quoted_since_it_may_be_a_secret(read):
    _, faults = read(GOOD + '[[destinations]]\nname = "p"\nurl = "http://anna:s3cret@x"\n[web]\nport = "s3cret"\n')
    assert len(faults) == 2 and "s3cret" not in "".join(faults)


def test_an_unknown_key_that_a_screen_would_obey_is_spelled(read):
    _, faults = read('"\\u001b[2J" = 1\n' + GOOD)
    assert "\x1b" not in "".join(faults)


def test_paths_need_not_be_there_where_nothing_is_to_be_started(tmp_path):
    path = tmp_path / "service.toml"
    path.write_text(GOOD)
    with pytest.raises(ServiceError, match="1 fault: line 11: .*nothing is there"):
        read_settings(path)
    assert read_settings(path, must_exist=False).engines[0].name == "chest"


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path):
    with pytest.raises(ServiceError, match="check --config"):
        read_settings(Path(tmp_path / "absent.toml"))
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ServiceError, match="larger than 1 MiB"):
        read_settings(large)
