"""The site of the documentation: it builds without a warning, asks nothing of a network, and finds without a server."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

import alta_sdk

FOREIGN = re.compile(r"""(?:src|href|action|poster|data)=["']?(?:[a-z]+:)?//([^"'/ >]+)|url\(["']?(?:https?:)?//""")
# a service on the reader's own machine; whose formats these are; a paper
LINKED = ("127.0.0.1:8104", "lance.org", "github.com", "arxiv.org")
NAMED = re.compile(r"^::: alta_sdk\.(\w+)$", re.M)


@pytest.fixture(scope="module")
def site(make_once):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs absent: make")

    def make(folder):
        done = build(ROOT, "--site-dir", folder)
        assert (done.returncode, done.stdout) == (0, "")
        assert {line.partition(" ")[0] for line in done.stderr.splitlines()} == {"INFO"}, done.stderr

    return make_once("site", make)


def build(folder, *options):
    """Do what `make docs` does, of the mkdocs.yml in a folder."""
    arguments = re.search(r"/mkdocs (build .*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[1].split()
    command = [sys.executable, "-m", "mkdocs", *arguments, *options]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("name", ["absent.md", "absent/", "#absent"])
def test_a_broken_link_fails_the_build(tmp_path, site, name):
    """With --quiet it does not: MkDocs then counts no warnings."""
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    checks = re.search(r"^validation:\n(?: .*\n)+", settings, re.M)[0]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: one page\nuse_directory_urls: false\n{checks}", encoding="utf-8")
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "index.md"
    page.write_text("# A page\n\n[itself](index.md)\n", encoding="utf-8")
    assert build(tmp_path).returncode == 0
    page.write_text(f"# A page\n\n[nowhere]({name})\n", encoding="utf-8")
    assert build(tmp_path).returncode == 1


def test_every_page_is_in_the_site_and_in_a_menu(site):
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert f": {name}\n" in menu, name
        assert (site / name.replace("README.md", "index.md")).with_suffix(".html").is_file()


def test_links_out_of_the_folder_lead_to_pages_of_the_site(site):
    for page in ("repository/index", "repository/examples/service/index", "repository/examples/service/service.toml"):
        assert (site / f"{page}.html").is_file(), page
    assert 'href="repository/examples/service/service.toml.html"' in (site / "service.html").read_text("utf-8")
    assert 'href="../docs/' not in (site / "repository" / "index.html").read_text("utf-8")


def test_nothing_is_fetched_from_elsewhere(site):
    """No font, no counter, no script, no picture; a link that a reader may follow is the reader's choice."""
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 30
    asked = {(path.name, host) for path in files for host in FOREIGN.findall(path.read_text("utf-8"))}
    assert {host for _, host in asked} <= {*LINKED}, asked


def test_every_table_is_one(site):
    """A table that stands right under a comment or a sentence would be text with strokes in it."""
    for page in site.rglob("*.html"):
        assert not re.search(r"^\|[\s-]*-\|", page.read_text("utf-8"), re.M), page


def test_the_reference_has_every_public_name():
    named = NAMED.findall((ROOT / "docs" / "api.md").read_text(encoding="utf-8"))
    assert sorted([*named, "__version__"]) == sorted(alta_sdk.__all__)


def test_the_reference_shows_arguments_as_points(site):
    page = (site / "api.html").read_text("utf-8")
    assert "<li><code>device</code>:" in page or re.search(r"<li>\s*<p><code>device</code>:", page)
    assert 'id="alta_sdk.Matcher.zero_shot"' in page


def test_search_finds_without_a_server(site, tmp_path):
    """As a reader does who opens the folder from a disk: a browser starts no worker there."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium absent")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000", "--dump-dom"]
    done = subprocess.run(
        [*command, f"{(site / 'index.html').as_uri()}?q=threshold"], capture_output=True, timeout=300, check=False
    )
    page = done.stdout.decode("utf-8", "replace")
    found = page.partition('class="md-search-result"')[2]
    assert "thresholds.html" in found, found[:500]


def test_the_index_of_the_search_is_in_the_folder(site):
    text = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert len(json.loads(text.partition("=")[2].strip().rstrip(";"))["docs"]) > 100
