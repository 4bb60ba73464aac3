"""From records to batches: pixels of four slots, the target, the report's tokens and its hidden words.

Every random choice of an item comes from (seed, epoch, row), and the order from (seed, epoch): so a
batch is the same with any number of workers, and a resumed run goes on where it stopped.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from alta_sdk.engine.tokenizer import build_wordpiece
from alta_sdk.errors import TrainingError
from alta_sdk.study.slots import Slot

from ..families.checkpoint import TextModel
from ..losses.report_modelling import IGNORED
from ..recipe import Recipe
from .augment import apply_augmentation, draw_augmentation
from .feet import FeetByEpoch
from .needs import Need
from .pixels import PixelReader
from .records import Record
from .sentences import Wordings, list_claims, list_labels, list_statements, read_wordings, split_sentences
from .teacher import Teacher

UNKNOWN_CLAIM = 2


@dataclass  # not frozen: Fabric rebuilds what goes in and out of a module
class Batch:
    """One batch of n studies.

    rows: (n,) int64, of the table. pixels: (n, 4, side, side) uint8. missing: (n, 4) bool. target: (n, 2 ·
    side, 2 · side) uint8, the current frontal, or (n, 0) if nothing is reconstructed. input_ids,
    attention_mask, labels: (n, length) int64; hidden_ids: the same with the hidden words masked.
    caption_ids, caption_mask: (n, length) int64, or (n, 0) if no objective reads captions. keep: (n, 4,
    kept) int64, the visible patches; restore: (n, patches) int64, of the current frontal. found: (n,
    findings) int8, 1 for what is labelled in the study; claimed: (n, findings) int8, what the report says
    of each, 1 there, -1 not there, 0 nothing, UNKNOWN_CLAIM in all where it says more than that; both (n,
    0) if no objective reads them. tokens: (n, tokens, width) float32, what the frozen foot of the image
    tower gave for the current frontal, or (n, 0) where the tower begins with pixels, which are (n, 0)
    otherwise. foot: (n,) int64, the blocks that the tokens have behind them, of all rows the same. teacher:
    (n, width) float32, the teacher's vector of the report, or (n, 0).
    """

    rows: Tensor
    pixels: Tensor
    missing: Tensor
    target: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    hidden_ids: Tensor
    labels: Tensor
    caption_ids: Tensor
    caption_mask: Tensor
    keep: Tensor
    restore: Tensor
    found: Tensor
    claimed: Tensor
    teacher: Tensor
    tokens: Tensor
    foot: Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def pin_memory(self) -> "Batch":
        """Return the batch in page-locked memory, which the DataLoader asks for on a GPU."""
        return Batch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


class StudyDataset(Dataset[dict[str, Tensor]]):
    """Items of one epoch; index it with (epoch, position in the table)."""

    def __init__(
        self,
        records: Sequence[Record],
        recipe: Recipe,
        text_model: TextModel,
        reader: PixelReader,
        patches: int,
        needs: frozenset[Need] = frozenset(),
        teacher: Teacher | None = None,
        feet: FeetByEpoch | None = None,
        wordings: Wordings | None = None,
    ) -> None:
        """Look at records with a recipe.

        patches: the number that the image tower makes. needs: what the objectives of the run read.
        teacher: vectors of every sentence of the records, where an objective reads them. feet: what the
        frozen foot gives for every look at the frontals, which are not read then. wordings: of the sentences by
        rule in the reports. [default: the project's]
        """
        self.teacher, self.feet = teacher, feet
        self.needs = needs
        self.records = list(records)
        self.recipe = recipe
        self.reader = reader
        self.patches = patches
        self.max_tokens = min(recipe.max_tokens, text_model.config.max_position_embeddings)
        self._tokenizer_json = build_wordpiece(text_model.vocabulary, lowercase=text_model.lowercase)
        self._mask_id = text_model.vocabulary.index("[MASK]")
        self._tokenizer: Any = None
        if Need.LABELS in needs:
            self._wordings = wordings or read_wordings()
            self._claims = list_claims(self._wordings)

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Tensor]:
        """Read, augment and mask one study."""
        epoch, position = index
        record = self.records[position]
        generator = torch.Generator().manual_seed(mix_seed(self.recipe.seed, epoch, record.row))
        pixels, target, missing, tokens, foot = self._read_images(record, epoch, generator)
        sentences = self._choose_sentences(record.report, generator)
        ids = self._encode(" ".join(sentences))
        hidden, labels = self._hide_words(ids, generator)
        keep, restore = draw_visible(self.patches, self.recipe.image_mask, len(Slot), generator)
        return {
            "rows": torch.tensor(record.row),
            "pixels": pixels,
            "missing": missing,
            "target": target,
            "input_ids": ids,
            "hidden_ids": hidden,
            "labels": labels,
            "caption_ids": self._encode(record.caption) if record.caption else torch.empty(0, dtype=torch.int64),
            "keep": keep,
            "restore": restore[Slot.FRONTAL],
            **self._read_labels(record, sentences),
            "tokens": tokens,
            "foot": torch.tensor(foot),
            "teacher": self.teacher.embed(sentences) if self.teacher else torch.empty(0),
        }

    def _read_labels(self, record: Record, sentences: Sequence[str]) -> dict[str, Tensor]:
        if Need.LABELS not in self.needs or record.findings is None:
            return {"found": torch.empty(0, dtype=torch.int8), "claimed": torch.empty(0, dtype=torch.int8)}
        found = torch.tensor(list_labels(record.findings, self._wordings), dtype=torch.int8)
        stated = list_statements(sentences, self._claims, self._wordings)
        claimed = torch.full_like(found, UNKNOWN_CLAIM) if stated is None else torch.tensor(stated, dtype=torch.int8)
        return {"found": found, "claimed": claimed}

    def _read_images(
        self, record: Record, epoch: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        """Return pixels, target, missing slots, the foot's tokens and its blocks; pixels or tokens are empty."""
        frontal = record.images[Slot.FRONTAL]
        if self.feet is None or frontal is None:
            return *self._read_slots(record, generator), torch.empty(0), 0
        feet = self.feet.of(epoch)
        look = int(torch.randint(self.recipe.looks, (1,), generator=generator))
        missing = torch.tensor([slot != Slot.FRONTAL for slot in Slot])
        none = torch.empty(0, dtype=torch.uint8)
        return none, none, missing, feet.load(frontal, look), feet.blocks

    def _read_slots(self, record: Record, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        # One draw for both frontals, one for both laterals.
        draws = [draw_augmentation(self.recipe, generator) for _ in range(2)]
        slots: list[Tensor | None] = []
        wants_target = Need.TARGET in self.needs
        target = torch.empty(0, dtype=torch.uint8)
        for slot, path in zip(Slot, record.images, strict=True):
            if path is None:
                slots.append(None)
                continue
            read = self.reader.read(path, with_target=wants_target and slot == Slot.FRONTAL)
            slots.append(apply_augmentation(torch.from_numpy(np.array(read.small)), draws[slot % 2]))
            if read.large is not None:
                target = apply_augmentation(torch.from_numpy(np.array(read.large)), draws[0])
        if slots[0] is None:
            raise TrainingError(f"row {record.row} has no current frontal radiograph")
        blank = torch.zeros_like(slots[0])
        missing = torch.tensor([slot is None for slot in slots])
        return torch.stack([blank if slot is None else slot for slot in slots]), target, missing

    def _choose_sentences(self, report: str, generator: torch.Generator) -> list[str]:
        sentences = split_sentences(report)
        if self.recipe.shuffle_sentences:
            sentences = [sentences[i] for i in torch.randperm(len(sentences), generator=generator).tolist()]
        fewest, most = self.recipe.min_sentences, self.recipe.max_sentences or len(sentences)
        if 0 < fewest < len(sentences):
            most = min(most, len(sentences))
            return sentences[: int(torch.randint(fewest, most + 1, (1,), generator=generator))]
        return sentences[:most]

    def _encode(self, text: str) -> Tensor:
        from tokenizers import Tokenizer

        if self._tokenizer is None:  # after the fork: a tokenizer's threads do not survive one
            self._tokenizer = Tokenizer.from_str(self._tokenizer_json)
            self._tokenizer.enable_truncation(self.max_tokens)
        return torch.tensor(self._tokenizer.encode(text).ids)

    def _hide_words(self, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        is_hidden = torch.rand(len(ids), generator=generator) < self.recipe.text_mask
        is_hidden[[0, -1]] = False  # [CLS] and [SEP]
        return ids.masked_fill(is_hidden, self._mask_id), ids.masked_fill(~is_hidden, IGNORED)


def draw_visible(patches: int, masked: float, slots: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw which patches of each slot a masked pass sees.

    Returns keep (slots, kept) and restore (slots, patches), both int64; see `ImageTower` and `Decoder`.
    """
    order = torch.rand(slots, patches, generator=generator).argsort(dim=1)
    return order[:, : int(patches * (1 - masked))], order.argsort(dim=1)


def collate_studies(items: Sequence[dict[str, Tensor]]) -> Batch:
    """Stack items, the tokens padded to the longest."""
    pad = torch.nn.utils.rnn.pad_sequence
    stacked = {
        name: torch.stack([item[name] for item in items])
        for name in (
            "rows",
            "pixels",
            "missing",
            "target",
            "keep",
            "restore",
            "found",
            "claimed",
            "teacher",
            "tokens",
            "foot",
        )
    }
    ids, captions = ([item[name] for item in items] for name in ("input_ids", "caption_ids"))
    return Batch(
        **stacked,
        input_ids=pad(ids, batch_first=True),
        hidden_ids=pad([item["hidden_ids"] for item in items], batch_first=True),
        labels=pad([item["labels"] for item in items], batch_first=True, padding_value=IGNORED),
        attention_mask=pad([torch.ones_like(row) for row in ids], batch_first=True),
        caption_ids=pad(captions, batch_first=True),
        caption_mask=pad([torch.ones_like(row) for row in captions], batch_first=True),
    )


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """The batches of one process: shuffled by (seed, epoch), shared out between processes, whole ones only.

    Process r of w takes items r, r + w, … of each global batch, so that the global batch does not depend
    on the number of processes.
    """

    def __init__(self, size: int, recipe: Recipe, rank: int, world: int) -> None:
        """Share `size` records out; raise TrainingError if they do not make one batch."""
        super().__init__()
        self.size, self.rank, self.world = size, rank, world
        self.seed = recipe.seed
        self.part = recipe.batch // recipe.accumulate  # studies that meet in one contrastive loss
        if self.part % world:
            raise TrainingError(f"batch {recipe.batch} does not divide over {world} processes: choose another")
        self.batches = size // self.part // recipe.accumulate * recipe.accumulate
        if self.batches == 0:
            raise TrainingError(f"{size} usable rows do not fill one batch of {recipe.batch}: lower batch")
        self.epoch = 0
        self.start = 0  # first batch of this epoch that is still to be trained

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return self.batches

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Yield (epoch, position) lists from batch `start` on."""
        generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch, 0))
        order = torch.randperm(self.size, generator=generator).tolist()
        for number in range(self.start, self.batches):
            part = order[number * self.part : (number + 1) * self.part]
            yield [(self.epoch, position) for position in part[self.rank :: self.world]]


def learning_rate_at(recipe: Recipe, epoch: float) -> float:
    """Return the learning rate at a (fractional) epoch: linear warm-up, then half a cosine."""
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * epoch / recipe.warmup_epochs
    rest = (epoch - recipe.warmup_epochs) / max(recipe.schedule_epochs - recipe.warmup_epochs, 1e-9)
    span = recipe.learning_rate - recipe.min_learning_rate
    return recipe.min_learning_rate + span * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


def mix_seed(seed: int, epoch: int, row: int) -> int:
    """Make one well-spread seed of three numbers."""
    return int(np.random.SeedSequence([seed, epoch, row]).generate_state(1, np.uint64)[0] >> 1)
