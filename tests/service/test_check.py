"""`alta serve --check`: one line for each thing that the service needs, with what to do where it fails."""

import socket
from dataclasses import replace

import pytest

from alta_sdk.service import check
from alta_sdk.service.check import check_service
from alta_sdk.service.settings import Destination, DicomPeer, PriorSource, Web, WebPeer
from service.peers import find_free_port, start_orthanc, start_storescp
from service.running import make_destination, make_service_settings, run_service


@pytest.fixture
def settings(tmp_path, bundle):
    key = tmp_path / "site.key"
    key.write_text("5a" * 32)
    key.chmod(0o600)
    return make_service_settings(tmp_path / "state", bundle, site_key=key)


def try_all(settings):
    return {one.name: one for one in check_service(settings)}


def test_everything_that_works_is_told(settings, tmp_path):
    with start_storescp(tmp_path / "pacs") as peer, start_orthanc(tmp_path / "orthanc") as orthanc:
        web = WebPeer(f"http://127.0.0.1:{orthanc.http}/dicom-web")
        destinations = (make_destination(peer), Destination("archive", web))
        found = try_all(replace(settings, destinations=destinations, priors=PriorSource(web), web=Web(port=0)))
    assert all(one.is_ok for one in found.values()), found
    assert found["destination pacs"].told == "answers C-ECHO"
    assert found["destination archive"].told == found["priors"].told == "answers a search"
    assert "self-test cosine" in found["engine chest"].told
    assert "2 scores written and read back" in found["report"].told
    assert not list((tmp_path / "state" / "spool").iterdir())  # nothing is left


def test_every_thing_that_does_not_work_is_told_and_the_others_are_tried(settings, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        receiving = replace(settings.receiving, port=taken.getsockname()[1], reserve_mib=1 << 30)
        closed = find_free_port()
        broken = replace(
            settings,
            receiving=receiving,
            engines=(replace(settings.engines[0], path=tmp_path),),
            destinations=(
                Destination("pacs", DicomPeer("PACS", "127.0.0.1", closed, timeout_seconds=5.0)),
                Destination("archive", WebPeer(f"http://127.0.0.1:{closed}")),
            ),
            site_key=tmp_path / "absent.key",
            web=Web(port=0, certificate=settings.site_key, key=settings.site_key),
        )
        found = try_all(broken)
    assert [name for name, one in found.items() if one.is_ok] == ["packages", "state folder", "transfer syntaxes"]
    assert "make room" in found["disk"].told
    assert 'engine "chest" cannot be opened' in found["engine chest"].told
    assert found["report"].told == "needs an engine: see above"
    assert "another program has it" in found[f"DICOM port {receiving.port}"].told
    assert "site key" in found["site key"].told
    assert "give both as PEM" in found["page on port 0"].told
    assert "cannot be reached" in found["destination pacs"].told


def test_who_lets_nobody_send_is_told(settings):
    found = try_all(replace(settings, receiving=replace(settings.receiving, calling_ae_titles=())))
    assert "nobody may send" in found["DICOM port 0"].told and not found["DICOM port 0"].is_ok


def test_the_ports_of_a_service_that_runs_are_its_own(settings):
    with run_service(settings) as service:
        receiving = replace(settings.receiving, port=service.receiver.port)
        found = try_all(replace(settings, receiving=receiving))
    assert found["state folder"].told == "a service runs on it"
    assert found[f"DICOM port {receiving.port}"].told.startswith("taken, as the service runs")


def test_a_missing_package_names_the_extra(settings, monkeypatch):
    monkeypatch.setattr("alta_sdk.service.extra.PACKAGES", ("no_such_package_of_alta",))
    told = check._run("packages", check._try_packages).told
    assert told == 'no_such_package_of_alta cannot be imported: pip install "alta-sdk[service]"'
