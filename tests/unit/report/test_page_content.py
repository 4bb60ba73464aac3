"""What the page of a run shows beside bars: pictures, prompts, thresholds in print, hashes, the card; and its size."""

import base64
import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.run_pages import EVIL, ORIGIN, Page, make_map
from PIL import Image

from alta_sdk import IntegrityError, Label, Slot, Study
from alta_sdk.cli import main
from alta_sdk.engine.manifest import BundleFile
from alta_sdk.locate.overlay import GROUNDS, OPACITY, STEPS, add_legend, blend, make_colours, make_scale
from alta_sdk.report import page as page_module
from alta_sdk.report.card import MOST, describe_card
from alta_sdk.report.page import render_page
from alta_sdk.report.pictures import LONGER_PX, Room, make_small_pictures
from alta_sdk.report.run import ReportRow, RunReport, render_csv
from alta_sdk.study.naming import Failure


def make_study(slots=("frontal",), side=900):
    grey = np.add.outer(np.arange(side), np.arange(side)) // 9
    given = {slot: (grey % 256).astype(np.uint8) for slot in slots}
    return Study.from_images(**given, any_picture=True)


def make_row(**changes):
    hashes = {"frontal": "ab" * 32, "prior_frontal": "cd" * 32}
    origin = {"decoders": dict.fromkeys(hashes, f"JPEG: {EVIL}"), "pixels_sha256": hashes, "scored_at": "2026-11-26"}
    return ReportRow(**{"scores": {"edema": 0.5}, "slots": tuple(hashes), "origin": origin, **changes})


def test_thresholds_are_text_and_no_tooltip():
    text = render_page(RunReport([make_row(thresholds={"edema": 0.4123})], ORIGIN))
    page = Page(text)
    assert "threshold 0.412" in page.texts and "≥" in page.texts
    assert not any("title" in attributes for _, attributes in page.elements)


def test_a_label_sorts_the_table_without_a_script():
    rows = [make_row(scores={"edema": s, "mass": 1 - s}) for s in (0.2, 0.9, 0.5)]
    page = Page(render_page(RunReport([*rows, ReportRow(error=Failure("StudyError", "x"))], ORIGIN)))
    places = [a["style"] for a in page.all("tr") if "style" in a]
    assert places == ["--s1:2;--s2:0", "--s1:0;--s2:2", "--s1:1;--s2:1", "--s1:3;--s2:3"]
    assert [a["id"] for a in page.all("input")] == ["sort-0", "sort-1", "sort-2"] and not page.all("script")
    style = "".join(page.texts)
    assert "main:has(#sort-2:checked) .runs tbody tr { --at: var(--s2); }" in style


def test_each_cell_names_its_label_where_the_head_has_no_room():
    labels = {f"finding {number}": 0.1 for number in range(20)}
    page = Page(render_page(RunReport([make_row(scores=labels)], ORIGIN)))
    assert [a["data-label"] for a in page.all("td") if a.get("class") == "score"] == list(labels)
    assert page.all("table")[0]["class"] == "runs many"


def test_radiographs_are_small_jpegs_within_a_bound(monkeypatch):
    study = make_study(("frontal", "lateral"))
    pictures = make_small_pictures(study, ["frontal", "lateral"])
    assert [(one.slot, one.width, one.height) for one in pictures] == [
        ("frontal", LONGER_PX, LONGER_PX),
        ("lateral", LONGER_PX, LONGER_PX),
    ]
    with Image.open(io.BytesIO(base64.b64decode(pictures[0].source.partition(",")[2]))) as image:
        assert image.format == "JPEG" and not image.getexif()
    assert "image/jpeg" not in render_page(RunReport([make_row()], ORIGIN))
    rows = [make_row(pictures=pictures) for _ in range(3)]
    page = Page(render_page(RunReport(rows, ORIGIN)))
    assert sum(a["src"].startswith("data:image/jpeg") for a in page.all("img")) == 6
    monkeypatch.setattr(page_module, "MAX_BYTES", 2 * sum(len(one.source) for one in pictures) + 5)
    page = Page(render_page(RunReport(rows, ORIGIN)))
    assert sum(a["src"].startswith("data:image/jpeg") for a in page.all("img")) == 4
    assert any("The radiographs of 1 studies are left out" in text for text in page.texts)


def test_heat_maps_are_within_a_bound_and_those_left_out_are_told(monkeypatch):
    rows = [make_row(maps=[make_map()]) for _ in range(3)]
    whole = Page(render_page(RunReport(rows, ORIGIN, ["edema"])))
    size = max(len(a["src"]) for a in whole.all("img"))
    monkeypatch.setattr(page_module, "MAX_MAP_BYTES", 2 * size)
    page = Page(render_page(RunReport(rows, ORIGIN, ["edema"])))
    assert len(whole.all("figure")) == 3 and len(page.all("figure")) == 2
    assert any("The heat maps of 1 studies are left out" in text for text in page.texts)


def test_room_takes_no_later_study_where_an_earlier_one_had_none():
    room = Room(10)
    assert [room.take(["x" * size], study) for study, size in enumerate((6, 6, 1), start=1)] == [True, False, False]
    assert room.studies == {2, 3}


def test_prompts_are_shown_as_text():
    prompts = {EVIL: Label(("There is fluid", f"{EVIL} b"), ("no fluid",)), "many": Label(tuple("abcdefg"))}
    text = render_page(RunReport([make_row()], ORIGIN, prompts=prompts))
    assert EVIL not in text
    texts = "".join(Page(text).texts)
    assert "“There is fluid”, “" in texts and "against “no fluid”" in texts and "“d” and 3 more" in texts


def test_page_and_table_tell_decoders_hashes_and_notices():
    origin = {**ORIGIN, "sdk_version": "9.9", "signature": "unsigned", "instruction_sets": ["avx2", "fma"]}
    origin |= {"threshold_targets": {"edema": "youden"}, "thresholds_sha256": "ef" * 32, "prompts_sha256": "12" * 32}
    report = RunReport([make_row(notices=("frontal: looks turned",))], origin)
    text = render_page(report)
    texts = Page(text).texts
    assert {"ab" * 32, "cd" * 32, "prior frontal", f"JPEG: {EVIL}", "9.9", "avx2, fma", "edema: youden"} <= set(texts)
    assert EVIL not in text and "frontal: looks turned" in texts
    row = next(csv.DictReader(io.StringIO(render_csv(report))))
    assert row["pixels_sha256"] == f"frontal: {'ab' * 32} | prior_frontal: {'cd' * 32}"
    assert row["reading"] == "frontal: looks turned" and row["notices"] == f"DEMO {EVIL}"
    assert row["sdk_version"] == "9.9" and row["instruction_sets"] == "avx2 | fma" and row["signature"] == "unsigned"
    assert row["thresholds_sha256"] == "ef" * 32 and row["threshold_targets"] == "edema: youden"
    assert row["scored_at"] == "2026-11-26" and row["decoders"].startswith("frontal: JPEG")


def make_bundle(content):
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    held = {"card.md": b"# m", "card.json": data}
    files = {name: BundleFile(name, len(text), "ab" * 32) for name, text in held.items()}
    manifest = SimpleNamespace(files=tuple(files.values()), lists=files.__contains__)
    return SimpleNamespace(manifest=manifest, read=held.get, find=files.get)


def test_the_models_card_is_told_with_its_hash():
    content = {"schema_version": 1, "name": "m", "splits": [{"split": "test", "auc": 0.8714999}, {"split": EVIL}]}
    card = describe_card(make_bundle({**content, "data": {"licence": "CC0"}, "none": None}))
    assert card == [
        ("card.json sha256", "ab" * 32),
        ("name", "m"),
        ("splits", "split test; auc 0.8715"),
        ("splits", f"split {EVIL}"),
        ("data, licence", "CC0"),
    ]
    text = render_page(RunReport([make_row()], ORIGIN, card=card))
    assert EVIL not in text and {"Model card", "split test; auc 0.8715"} <= set(Page(text).texts)
    assert describe_card(SimpleNamespace(manifest=SimpleNamespace(files=(), lists=lambda name: False))) == []
    facts = {"schema_version": 1, "name": "m", **{str(number): "x" * 500 for number in range(99)}}
    long = describe_card(make_bundle(facts))
    assert len(long) == MOST + 2 and long[-1] == ("more", "60 facts in card.json") and len(long[2][1]) == 400


@pytest.mark.parametrize("content", [b"{", b"{}", b"[" * 100_000, b" " * (1 << 20) + b"{}"])
def test_what_is_no_card_is_refused(content):
    with pytest.raises(IntegrityError, match=r"card\.json (is no model card|has more than 1 MiB)"):
        describe_card(make_bundle(content))


def test_the_legend_shows_the_colours_that_appear():
    scale = make_scale()
    assert scale.shape == (len(GROUNDS), STEPS, 3)
    for row, grey in zip(scale, GROUNDS, strict=True):
        np.testing.assert_array_equal(row[0], [grey] * 3)  # the lowest value is not coloured
        np.testing.assert_allclose(row[-1], OPACITY * make_colours()[-1] + (1 - OPACITY) * grey, atol=1)
        drawn = blend(np.full((1, 1), grey, np.uint8), np.full((1, 1), 0.6, np.float32), (0.2, 0.8), OPACITY)
        np.testing.assert_allclose(drawn[0, 0].astype(int), row[170].astype(int), atol=1)
    strip = add_legend(np.zeros((200, 300, 3), np.uint8), (0.1, 0.7))[200:]
    third, line = strip.shape[1] // 3, strip.shape[0] // 2
    bar = strip[line + line // 4 : line + line // 4 + line // 2, third : 2 * third]
    first = bar[:, 0].astype(int)
    assert np.ptp(first, axis=1).max() <= 2, "grey, and not violet"


def test_pictures_only_where_they_are_asked_for(bundle, radiograph_path, tmp_path):
    def score(*more):
        given = ["score", radiograph_path, "--engine", bundle, "--labels", "edema,mass", "--overwrite", *more]
        return CliRunner().invoke(main, list(map(str, given)))

    page = tmp_path / "run.html"
    assert score("--html", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "image/jpeg" not in text and "“There is edema” " in "".join(Page(text).texts)
    assert score("--html", page, "--with-pictures").exit_code == 0
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 1
    assert score("--with-pictures").exit_code == 2, "nowhere to show them"
    assert Slot.FRONTAL.name.lower() in page.read_text(encoding="utf-8")
