"""The example site as its README sets it up: a radiograph goes to a real Orthanc, and its report comes back."""

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from service.peers import ORTHANC_PLUGINS, Peer, find_free_port, find_program, run_program, wait_for_port, wait_until

FOLDER = ROOT / "examples" / "service"
PORTS = ("4242", "8042", "11112", "8104")
NAMES = ("dicom", "http", "alta", "page")


@pytest.fixture
def site(tmp_path, bundle):
    """A copy of the example on free ports, with an engine, and with less patience."""
    find_program("Orthanc")
    folder = tmp_path / "site"
    shutil.copytree(FOLDER, folder)
    shutil.copytree(bundle, folder / "chest.alta")
    ports = dict(zip(NAMES, (find_free_port() for _ in NAMES), strict=True))
    plugins = json.dumps([str(path) for path in ORTHANC_PLUGINS.glob("libOrthancDicomWeb.so")])
    for name in ("service.toml", "orthanc.json"):
        text = (folder / name).read_text(encoding="utf-8")
        for old, new in zip(PORTS, ports.values(), strict=True):
            text = re.sub(rf"\b{old}\b", str(new), text)
        text = re.sub(r'"Plugins": \[.*\]', f'"Plugins": {plugins}', text)
        text = re.sub(r"#quiet_seconds = \d+ +#", "quiet_seconds = 1 #", text)
        (folder / name).write_text(text, encoding="utf-8")
    return folder, ports


@contextlib.contextmanager
def run_beside(folder, log, *command):
    with open(folder / log, "wb") as out:
        process = subprocess.Popen([str(part) for part in command], cwd=folder, stdout=out, stderr=out)
    try:
        yield process
    finally:
        Peer(process, 0, folder).stop()


def run_alta(folder, *arguments):
    command = [Path(sys.executable).with_name("alta"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def get_page(port, path):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_radiograph_goes_to_orthanc_and_its_report_comes_back(site, tmp_path):
    folder, ports = site
    example = ROOT / "examples" / "02_write_dicom_study.py"
    picture = ROOT / "examples" / "data" / "00001299_000.jpg"
    subprocess.run([sys.executable, example, picture, tmp_path / "study"], check=True, capture_output=True)
    alta = Path(sys.executable).with_name("alta")
    with contextlib.ExitStack() as stack:
        pacs = stack.enter_context(run_beside(folder, "orthanc.log", find_program("Orthanc"), "orthanc.json"))
        orthanc = Peer(pacs, ports["dicom"], folder, ports["http"])
        wait_for_port(ports["http"], pacs)
        wait_for_port(ports["dicom"], pacs)
        checked = run_alta(folder, "serve", "--config", "service.toml", "--check")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert "ok      destination pacs: answers C-ECHO" in checked.stdout
        service = stack.enter_context(run_beside(folder, "serve.log", alta, "serve", "--config", "service.toml"))
        wait_for_port(ports["page"], service)
        wait_until(lambda: get_page(ports["page"], "/readyz")[0] == 200, "a service that is ready")
        sent = run_program("storescu", "-aec", "ORTHANC", "127.0.0.1", ports["dicom"], tmp_path / "study/frontal.dcm")
        assert sent.returncode == 0, sent.stderr

        wanted = {"Level": "Series", "Query": {"Modality": "SR"}, "Expand": True}
        (series,) = wait_until(lambda: orthanc.ask("/tools/find", wanted), "a report in Orthanc")
        assert series["MainDicomTags"]["SeriesDescription"] == "ALTA scores - NOT FOR CLINICAL USE"
        (found,) = orthanc.ask("/dicom-web/studies?ModalitiesInStudy=SR")
        assert {"DX", "SR"} <= set(found["00080061"]["Value"]), "the report lies in the radiograph's own study"

        def read_states():
            return json.loads(run_alta(folder, "service", "status", "--config", "service.toml", "--json").stdout)

        wait_until(lambda: read_states()["studies"]["done"] == 1, "storage commitment of the report")
        key = re.search("/worklist/([0-9a-f]{32})", get_page(ports["page"], "/worklist")[1]).group(1)
        study = json.loads(get_page(ports["page"], f"/studies/{key}")[1])
        assert set(study["results"][0]["content"]["scores"]) == {"pneumonia", "pleural effusion", "cardiomegaly"}
        assert [one["state"] for one in study["deliveries"]] == ["done"]
        page = get_page(ports["page"], f"/worklist/{key}")[1]
    log = (folder / "serve.log").read_text()
    for text in (page, log, json.dumps(study)):
        assert "Demo^Patient" not in text
    assert "Traceback" not in log
    assert service.returncode == 0, log


def test_the_readme_gives_the_commands_that_were_run():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for command in (
        "/usr/sbin/Orthanc orthanc.json",
        "alta serve --config service.toml --check",
        "alta serve --config service.toml\n",
        "storescu -aec ORTHANC 127.0.0.1 4242 ../build/demo/study/frontal.dcm",
        """http://127.0.0.1:8042/tools/find -d '{"Level": "Series", "Query": {"Modality": "SR"}, "Expand": true}'""",
        "alta service status --config service.toml",
    ):
        assert command in text, command
