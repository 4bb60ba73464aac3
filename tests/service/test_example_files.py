"""The files of examples/service: the configuration knows every key with its default, the unit is what is installed."""

import dataclasses
import json
import re
import tomllib

import pytest
from conftest import ROOT

from alta_sdk.service import config_keys, settings
from alta_sdk.service.config import load_settings
from alta_sdk.service.install import plan_systemd

FOLDER = ROOT / "examples" / "service"
KEY = re.compile(r"^#(\[+[a-z_.]+\]+|[a-z_]+ *=.*)$", re.M)
READERS = {
    "service": config_keys.SERVICE,
    "receiving": config_keys.RECEIVING,
    "receiving.tls": config_keys.TLS,
    "engines": config_keys.ENGINE,
    "rules": config_keys.RULE,
    "destinations": {**config_keys.DESTINATION, **config_keys.DICOM_PEER, **config_keys.WEB_PEER},
    "destinations.tls": config_keys.TLS,
    "peers": config_keys.DICOM_PEER,
    "priors": {**config_keys.PRIORS, **config_keys.DICOM_PEER},
    "keeping": config_keys.KEEPING,
    "web": {**config_keys.WEB, "enabled": None},
}


def read_text():
    return (FOLDER / "service.toml").read_text(encoding="utf-8")


def uncomment():
    """The configuration with every key that is commented out."""
    return KEY.sub(r"\1", read_text())


@pytest.fixture(scope="module")
def whole():
    return tomllib.loads(uncomment())


def find_keys(whole, table):
    place = [whole]
    for name in table.split("."):
        place = [one for found in place for one in ([found.get(name, {})] if isinstance(found, dict) else found)]
        place = [row for one in place for row in (one if isinstance(one, list) else [one])]
    return {key for one in place for key in one}


@pytest.mark.parametrize("table", READERS)
def test_every_key_that_is_read_stands_in_the_example(whole, table):
    assert READERS[table].keys() - find_keys(whole, table) == set()


def test_the_example_is_a_configuration_without_a_fault(tmp_path):
    for name, text in (("as it is", read_text()), ("with all", uncomment())):
        path = tmp_path / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        found, faults = load_settings(path, must_exist=False)
        assert faults == [], name
        assert found.receiving.ae_title == "ALTA"


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("service", settings.Settings),
        ("receiving", settings.Receiving),
        ("keeping", settings.Keeping),
        ("web", settings.Web),
    ],
)
def test_what_is_commented_out_is_the_default(whole, table, kind):
    given = tomllib.loads(read_text()).get(table, {})
    defaults = {one.name: one.default for one in dataclasses.fields(kind)}
    for key, value in whole[table].items():
        if key not in given and not isinstance(value, dict) and defaults.get(key) is not None:
            assert value == defaults[key], f"{table} {key}"


def test_the_page_is_not_on_orthancs_port():
    orthanc = json.loads((FOLDER / "orthanc.json").read_text(encoding="utf-8"))
    own = tomllib.loads(read_text())
    ports = [orthanc["HttpPort"], orthanc["DicomPort"], own["receiving"]["port"], own["web"]["port"]]
    assert len(set(ports)) == 4
    assert settings.Web().port == own["web"]["port"]


def test_the_unit_is_what_alta_service_install_writes(tmp_path):
    example = (FOLDER / "alta.service").read_text(encoding="utf-8")
    path = FOLDER / "service.toml"
    found, _ = load_settings(path, must_exist=False)
    found = dataclasses.replace(found, state=ROOT.joinpath("/srv/alta/state"))
    plan = plan_systemd(("/opt/alta/bin/alta", "serve", "--config", "/etc/alta/service.toml"), found, "alta")
    assert plan.text == example
