"""The tutorials as a reader follows them: each block of shell and Python, in order, in a folder that is empty at first.

What the blocks under `text` show is held to what was printed, but for the numbers, which differ between machines.
"""

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import DATA_DIR, ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^(?:<!-- ends with (\d+) -->\n)?```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"[-+]?\d[\d.,]*")
SHOWN_ELSEWHERE = ("study,patient,view",)  # the form of a file, which no command prints
HANG_S = 3000  # a guard against hanging alone


@dataclass
class Reader:
    """Somebody with a folder, a shell and the demo package, who does what a page says."""

    folder: Path
    environment: dict[str, str]
    seen: list[str] = field(default_factory=list)

    def follow(self, page):
        """Do every block of a page, and look for what it says will be seen."""
        blocks = list(BLOCK.finditer(page.read_text(encoding="utf-8")))
        assert len(blocks) > 1, "the blocks of this page are not found"
        for ends_with, language, title, text in (block.groups() for block in blocks):
            if title:
                (self.folder / title).write_text(text, encoding="utf-8")
            elif language == "bash":
                self.run(["bash", "-euo", "pipefail", "-c", text], int(ends_with or 0))
            elif language == "python":
                self.run([sys.executable, "-c", text], int(ends_with or 0))
            elif language == "text" and not text.startswith(SHOWN_ELSEWHERE):
                self.look_for(text)

    def run(self, command, ends_with):
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=HANG_S, check=False
        )
        assert done.returncode == ends_with, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        self.seen = [shape_line(line) for line in (done.stdout + done.stderr).splitlines()]

    def look_for(self, text):
        for line in text.splitlines():
            assert shape_line(line) in self.seen, f"{line}\nis not in\n{self.seen}"


def shape_line(line):
    return " ".join(NUMBER.sub("#", line).split())


@pytest.fixture
def reader(demo_wheel, tmp_path):
    """Of the demo package as if it were installed, and of nothing of the repository."""
    packages, folder = tmp_path / "packages", tmp_path / "folder"
    folder.mkdir()
    with zipfile.ZipFile(demo_wheel) as wheel:
        wheel.extractall(packages)
    path = os.pathsep.join([str(packages), *filter(None, [os.environ.get("PYTHONPATH")])])
    programs = [str(install_commands(tmp_path / "programs")), str(Path(sys.executable).parent), os.environ["PATH"]]
    told = {"PATH": os.pathsep.join(programs), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return Reader(folder, {**os.environ, **told})


def install_commands(folder):
    """Write the commands as an installation does, so that none is of another tree than the packages."""
    folder.mkdir()
    for name in ("alta", "alta-export", "alta-train"):
        start = f"#!{sys.executable}\nimport alta_start\n\nalta_start.{name.replace('-', '_')}()\n"
        (folder / name).write_text(start, encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("page", ["README.md", "tutorials/integrator.md"])
def test_the_page_can_be_followed(reader, page):
    reader.follow(DOCS / page)


def test_the_engineer_gets_an_engine(reader):
    reader.follow(DOCS / "tutorials" / "engineer.md")
    assert (reader.folder / "tiny.alta" / "manifest.json").is_file()


def test_the_physicist_can_follow_his_with_radiographs(reader):
    nih = DATA_DIR / "nih_cxr"
    if not nih.is_dir():
        pytest.skip("shared data absent: nih_cxr")
    reader.environment["NIH"] = str(nih)
    reader.follow(DOCS / "tutorials" / "physicist.md")
    assert (reader.folder / "page.html").is_file() and (reader.folder / "site.json").is_file()


def test_every_fence_is_of_a_known_kind():
    """A block of another kind would be run by nobody, and nobody would know."""
    for page in (DOCS / "README.md", *(DOCS / "tutorials").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"^```(\S*)", text, re.M)) <= {"", "bash", "console", "python", "text"}
        assert text.count("```") == 2 * len(BLOCK.findall(text)), page.name
