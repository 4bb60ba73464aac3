"""What is listed, how it is split, and that the parts of it are the same for whoever splits it."""

import os

import pytest

from alta_sdk import StudyError
from alta_sdk.archive.manifest import Entry, join_loose, list_source, split_shards
from alta_sdk.archive.schema import ArchiveOrigin
from alta_sdk.study.key import SiteKey

SITE_KEY = SiteKey(b"k" * 32)
ORIGIN = ArchiveOrigin("engine", "frontal", "published-v1", SITE_KEY.fingerprint, 8)
ENTRIES = [Entry((f"/a/{number:03}.png",), number.to_bytes(16, "big")) for number in range(103)]


def test_shards_of_all_parts_are_the_shards_of_the_whole():
    whole = split_shards(ENTRIES, ORIGIN, lambda _: False, size=10)
    shared = [split_shards(ENTRIES, ORIGIN, lambda _: False, size=10, share=(part, 4)) for part in range(4)]
    assert {shard.name for part in shared for shard in part} == {shard.name for shard in whole}
    assert sum(len(shard.entries) for part in shared for shard in part) == len(ENTRIES)


def test_a_shard_is_named_by_its_studies_and_what_embeds_them():
    first = split_shards(ENTRIES[:10], ORIGIN, lambda _: False)[0]
    assert first.name == split_shards(ENTRIES[:10], ORIGIN, lambda _: False)[0].name
    other = ArchiveOrigin("other", "frontal", "published-v1", SITE_KEY.fingerprint, 8)
    assert first.name != split_shards(ENTRIES[:10], other, lambda _: False)[0].name
    assert "png" not in repr(first)


def test_what_is_done_is_left_out_and_untouched_shards_keep_their_names():
    whole = split_shards(ENTRIES, ORIGIN, lambda _: False, size=10)
    done = {entry.identity for entry in ENTRIES[:14]}
    left = split_shards(ENTRIES, ORIGIN, done.__contains__, size=10)
    assert [shard.name for shard in left[:-1]] == [shard.name for shard in whole[2:]]
    assert [entry.identity for entry in left[-1].entries] == [entry.identity for entry in ENTRIES[14:20]]


def test_a_listing_reads_names_alone_and_says_what_may_be_loose(tmp_path):
    for name in ("b.dcm", "a.png", ".hidden", "DICOMDIR"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "study").mkdir()
    found = list_source(str(tmp_path), SITE_KEY)
    assert [os.path.basename(one.uris[0]) for one in found.entries] == ["study"]
    assert [os.path.basename(one.uris[0]) for one in found.loose] == ["a.png", "b.dcm"]
    joined = join_loose(found, ["", "group"])
    assert [os.path.basename(one.uris[0]) for one in joined] == ["a.png", "b.dcm", "study"]
    assert len(join_loose(found, ["group", "group"])) == 2 and len(join_loose(found, [None, ""])) == 2


def test_an_entry_is_another_one_when_its_file_changes_and_not_when_its_folder_moves(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").write_bytes(b"x")
    before = list_source(str(tmp_path / "one"), SITE_KEY).loose[0].identity
    (tmp_path / "one").rename(tmp_path / "two")
    assert list_source(str(tmp_path / "two"), SITE_KEY).loose[0].identity == before
    (tmp_path / "two" / "a.png").write_bytes(b"xy")
    assert list_source(str(tmp_path / "two"), SITE_KEY).loose[0].identity != before


def test_a_table_says_what_headers_do_not(tmp_path):
    (tmp_path / "t.csv").write_text("study,age,sex,patient\na.png,63,F,DOE\nb.png,,,\n", encoding="utf-8")
    first, second = list_source(str(tmp_path / "t.csv"), SITE_KEY).entries
    assert dict(first.stated) == {"age": "63", "sex": "F"} and not second.stated
    assert first.uris == (str(tmp_path / "a.png"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [("study\na\na\n", "twice"), ('study\n""\n', "empty"), ("path\na\n", "lacks the columns study"), ("", "lacks")],
)
def test_a_table_that_cannot_be_used_is_told_in_one_line(tmp_path, text, why):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=why):
        list_source(str(tmp_path / "t.csv"), SITE_KEY)


def test_an_empty_folder_is_told_and_one_that_is_missing(tmp_path):
    with pytest.raises(StudyError, match="empty"):
        list_source(str(tmp_path), SITE_KEY)
    with pytest.raises(StudyError, match="No such file or directory"):
        list_source(str(tmp_path / "nowhere"), SITE_KEY)
