"""The commands on an archive: what they print, what they refuse in one line, and that nothing of a patient is in it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from schemas import check_output

from archive.studies import READABLE, embed, read_table, run, write_dicom

PATH_MARK = "DOE_JANE"


def refuse(*arguments, code=1):
    result = run(*arguments)
    line = result.output.splitlines()[-1]
    assert result.exit_code == code and "Traceback" not in result.output and "Error" in line, result.output
    return line


def test_a_study_finds_itself_first(archive, studies, bundle):
    arguments = ["rank", studies / "p03.png", "--engine", bundle, "--index", archive, "--any-picture", "--top", 3]
    found = check_output("rank", run(*arguments, "--json").stdout)
    assert len(found["matches"]) == 3 and found["matches"][0]["cosine"] == pytest.approx(1, abs=1e-6)
    assert set(found["matches"][0]["labels"]) == {"edema", "pleural_effusion"}
    assert (found["provenance"]["index"], found["provenance"]["approximate"]) == ("archive", False)
    shown = run(*arguments)
    assert shown.exit_code == 0 and found["matches"][0]["key"] in shown.output and "pleural_effusion" in shown.output


def test_a_filter_leaves_what_passes_it(archive, studies, bundle):
    arguments = ["rank", studies / "d3.dcm", "--engine", bundle, "--index", archive, "--any-picture", "--json"]
    found = json.loads(run(*arguments, "--where", "age >= 60 and view = 'PA'").stdout)
    assert len(found["matches"]) == found["provenance"]["studies"] == 1
    none = run(*arguments[:-1], "--where", "age > 110")
    assert none.exit_code == 0 and "no study passes the filter" in none.output


def test_a_phrase_finds_studies_and_writes_a_page(archive, studies, bundle, tmp_path):
    page = tmp_path / "page.html"
    arguments = [
        "archive",
        "search",
        archive,
        "--engine",
        bundle,
        "--text",
        "there is edema",
        "--top",
        5,
        "--html",
        page,
    ]
    plain = run(*arguments)
    assert plain.exit_code == 0, plain.output
    text = page.read_text(encoding="utf-8")
    assert text.count("<tr><th scope") == 6 and "<img" not in text and "there is edema" not in text
    again = run(*arguments, "--with-pictures", studies, "--overwrite", "--json")
    assert again.exit_code == 0, again.output
    keys = [one["key"] for one in check_output("archive-search", again.stdout)["matches"]]
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") == 5 and all(key in text for key in keys) and "<script" not in text
    assert "exists" in refuse(*arguments)


def test_the_state_is_told(archive):
    state = check_output("archive-status", run("archive", "status", archive, "--json").stdout)
    assert (state["studies"], state["parts_waiting"], state["labels"]) == (
        READABLE - 1,
        0,
        ["edema", "pleural effusion"],
    )
    assert state["unreadable"] == {"DicomError": 2, "StudyError": 1, "ViewError": 1}
    assert state["bytes"] > state["bytes_of_vectors"] > 4 * 16 * (READABLE - 1)
    assert "every study" in run("archive", "status", archive).output


def test_an_erased_study_is_gone_and_stays_away(own_archive, studies, bundle):
    key = sorted(read_table(own_archive))[4]
    told = check_output("archive-erase", run("archive", "erase", own_archive, "--key", key, "--json").stdout)
    assert (told["erased"], told["asked"]) == (1, 1) and key not in read_table(own_archive)
    again = embed(studies, own_archive, bundle, "--any-picture", "--labels", "edema, pleural effusion", "--json")
    assert key not in read_table(own_archive) and json.loads(again.stdout)["new_in_archive"] == 0
    assert check_output("archive-optimize", run("archive", "optimize", own_archive, "--json").stdout)["probes"] is None
    assert "32 hexadecimal" in refuse("archive", "erase", own_archive, "--key", "zz")


def test_an_export_is_read_by_others(archive, tmp_path):
    from pyarrow import parquet

    out = tmp_path / "a.parquet"
    assert run("archive", "export", archive, "--out", out).exit_code == 0
    table = parquet.read_table(out)
    found = read_table(archive)
    for key, vector in zip(table["key"].to_pylist(), table["vector"].to_pylist(), strict=True):
        np.testing.assert_array_equal(found[key.hex()], np.array(vector, dtype=np.float32))
    assert b"alta_archive" in table.schema.metadata
    more = ["--where", "view = 'PA'", "--without-vectors", "--overwrite"]
    assert run("archive", "export", archive, "--out", out, *more).exit_code == 0
    assert parquet.read_table(out).num_rows == 4 and "vector" not in parquet.read_table(out).column_names
    assert "exists" in refuse("archive", "export", archive, "--out", out)


def test_copies_under_two_keys_and_what_is_like_nothing_are_found(studies, bundle, tmp_path):
    import shutil

    folder = tmp_path / "studies"
    shutil.copytree(studies, folder)
    write_dicom(folder / "copy.dcm", 77, 3)  # the pixels of d3 under another study
    embed(folder, tmp_path / "a.lance", bundle, "--any-picture")
    found = check_output("archive-duplicates", run("archive", "duplicates", tmp_path / "a.lance", "--json").stdout)[
        "duplicates"
    ]
    assert [one["is_same"] for one in found] == [True] and found[0]["key"] != found[0]["other"]
    least = check_output(
        "archive-outliers", run("archive", "outliers", tmp_path / "a.lance", "--top", 4, "--json").stdout
    )["outliers"]
    assert len(least) == 4 and [one["cosine"] for one in least] == sorted(one["cosine"] for one in least)
    for name in ("duplicates", "outliers"):
        assert run("archive", name, tmp_path / "a.lance").exit_code == 0


def test_a_table_with_missing_files_embeds_the_others(studies, bundle, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(
        f"study,age,sex,view\n{studies / 'p01.png'},63,F,AP\n{tmp_path / PATH_MARK}.png,,,\n", encoding="utf-8"
    )
    done = embed(table, tmp_path / "a.lance", bundle, "--any-picture", "--json")
    assert check_output("embed", done.stdout)["unreadable"] == {"StudyError": 1} and PATH_MARK not in done.output
    from archive.studies import read_columns

    found = read_columns(tmp_path / "a.lance", "age", "sex", "view")
    assert (found["age"], found["sex"], found["view"]) == ([63], ["F"], ["AP"])


def test_what_cannot_be_is_refused_in_one_line(archive, studies, bundle, tmp_path, monkeypatch):
    start = ["embed", studies, "--engine", bundle, "--any-picture"]
    out = ["--out", tmp_path / "a.lance"]
    assert "does not exist" in refuse(*start, "--out", tmp_path / PATH_MARK / "a.lance")
    assert "labels" in refuse(*start, "--out", archive)
    assert "--on is" in refuse(*start, *out, "--on", "spark://x")
    assert "goes with Ray" in refuse(*start, *out, "--gpus-per-worker", "0.5")
    assert "Dask without TLS" in refuse(*start, *out, "--on", "dask://10.0.0.9:8786")
    assert "--shard is I/N" in refuse(*start, *out, "--shard", "3/3", code=2)
    assert "go with an archive" in refuse(*start, "--out", tmp_path / "a.index", "--on", "ray", code=2)
    assert "go with an index" in refuse(*start, *out, "--with-identifiers", code=2)
    assert "label" in refuse(*start, *out, "--labels", "edema, Edema ")
    assert "among the studies" in refuse(*start, "--out", studies / "a.lance")
    rank = ["rank", studies / "p01.png", "--engine", bundle, "--any-picture"]
    assert "not found" in refuse(*rank, "--index", tmp_path / f"{PATH_MARK}.lance")
    assert "no column" in refuse(*rank, "--index", archive, "--where", f"{PATH_MARK} = 1")
    assert "cannot be read" in refuse(*rank, "--index", archive, "--where", "age > 1; drop table x")
    assert "goes with an archive" in refuse(*rank, "--index", tmp_path / "a.index", "--where", "age > 1", code=2)
    assert "another fusion mode" in refuse(*rank, "--index", archive, "--fusion-mode", "present")
    search = ["archive", "search", archive, "--engine", bundle, "--text", "edema"]
    assert "goes with --html" in refuse(*search, "--with-pictures", studies, code=2)


def test_without_the_extra_one_line_names_it(bundle, studies, tmp_path):
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('lance', 'pyarrow', 'ray', 'distributed'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from alta_sdk.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    for arguments in (
        ["embed", studies, "--engine", bundle, "--out", tmp_path / "a.lance"],
        ["archive", "status", tmp_path / "a.lance"],
        ["rank", studies / "p01.png", "--engine", bundle, "--index", tmp_path / "a.lance"],
    ):
        done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        assert done.stderr.splitlines()[-1].endswith('pip install "alta-sdk[archive]"'), done.stderr
