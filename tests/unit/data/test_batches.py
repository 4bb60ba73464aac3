"""A batch holds what the objectives need: the target and the caption only where one of them reads it."""

import csv
from dataclasses import replace

import pytest
import torch
from PIL import Image

from alta_training.data.batches import UNKNOWN_CLAIM, StudyDataset, collate_studies
from alta_training.data.needs import Need
from alta_training.data.pixels import PixelReader
from alta_training.data.records import COLUMNS, FINDINGS, read_table
from alta_training.data.sentences import Wordings
from alta_training.families.checkpoint import read_text_model
from alta_training.recipe import Recipe


@pytest.fixture
def make_batch(tmp_path, checkpoint_folder):
    Image.new("L", (260, 300), 90).save(tmp_path / "a.png")
    rows = [["a.png", -1, -1, -1, f"There is edema. Row {n}.", "pneumonia " * n, "Edema"] for n in (1, 2)]
    with (tmp_path / "train.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[*COLUMNS, "report", "caption", FINDINGS], *rows])

    def make(*needs, wordings=None):
        labels = Need.LABELS in needs
        records = read_table(tmp_path / "train.csv", with_caption=Need.CAPTION in needs, with_findings=labels)
        text_model = read_text_model(checkpoint_folder / "text-model")
        reader = PixelReader("published-v1")
        dataset = StudyDataset(records, Recipe(), text_model, reader, 196, frozenset(needs), wordings=wordings)
        return collate_studies([dataset[0, 0], dataset[0, 1]])

    return make


def test_the_target_is_read_only_where_it_is_needed(make_batch):
    assert make_batch(Need.STUDY).target.shape == (2, 0)
    assert make_batch(Need.TARGET).target.shape == (2, 448, 448)


def test_captions_are_tokens_only_where_they_are_needed(make_batch):
    assert make_batch(Need.REPORT).caption_ids.shape == (2, 0)
    batch = make_batch(Need.CAPTION)
    assert batch.caption_ids.shape == batch.caption_mask.shape
    assert batch.caption_mask.sum(dim=1).tolist() == [3, 4]  # [CLS], the words, [SEP]
    assert batch.caption_ids[0, 3] == 0


def test_claims_are_of_the_wordings_that_the_table_was_made_with(make_batch):
    own = Wordings(("There is {}.",), ("{} is not there.",), ("Clear.",), {"Edema": ("edema",), "Mass": ("row 1",)})
    assert make_batch(Need.LABELS).claimed.eq(UNKNOWN_CLAIM).all(), '"Row 1." is no sentence of the project\'s'
    batch = make_batch(Need.LABELS, wordings=replace(own, normal=("Row 1.", "Row 2.")))
    assert batch.found.tolist() == [[1, 0, 0]] * 2
    assert batch.claimed.tolist() == [[1, 0, 1]] * 2


def test_what_is_needed_moves_no_random_number_of_the_rest(make_batch):
    """So that a run does not depend on objectives beside it."""
    plain, whole = make_batch(), make_batch(Need.TARGET, Need.CAPTION)
    for name in ("pixels", "input_ids", "hidden_ids", "keep", "restore"):
        assert torch.equal(getattr(plain, name), getattr(whole, name)), name


def test_the_four_slots_draw_their_masks_independently(make_batch):
    """As published; the reconstruction takes the current frontal's."""
    keep = make_batch().keep
    assert keep.shape == (2, 4, 49)
    for study in keep.sort(dim=2).values:
        assert len({tuple(slot.tolist()) for slot in study}) == 4


def test_the_reconstruction_restores_the_current_frontal(make_batch):
    batch = make_batch(Need.TARGET)
    assert batch.restore.shape == (2, 196)
    for keep, restore in zip(batch.keep[:, 0], batch.restore, strict=True):
        assert (restore < 49).nonzero().flatten().tolist() == sorted(keep.tolist())
        assert restore[keep].tolist() == list(range(49))  # where the pass has them
