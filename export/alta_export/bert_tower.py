"""A merged text tower of BERT without adapters, as other families have it."""

from torch import Tensor

from alta_training.families.bert_tower import BertTower

from .towers import MergedBert


class MergedBertTower(MergedBert):
    """From token ids to the projection of [CLS]; no word has a projection of its own."""

    def __init__(self, tower: BertTower) -> None:
        """Merge a text tower; its head stays as it is."""
        super().__init__(tower.bert, tower.config.num_attention_heads)
        self.head = tower.head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode tokens (n, t) int64 to projections (n, embedding)."""
        projection: Tensor = self.head(self.encode(input_ids, attention_mask)[:, 0])
        return projection
