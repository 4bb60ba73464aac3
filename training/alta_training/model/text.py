"""The text tower: CXR-BERT with adapters after its layer norms."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import BertLayer, BertModel, BertOnlyMLMHead

from ..adapters import ADAPTER_SCALE, ADAPTERS
from .heads import ProjectionHead
from .sizes import TextSizes


class AdapterBertLayer(BertLayer):
    """A BERT layer with a sequential adapter after attention and a parallel one beside the MLP.

    Both act after the layer norms, so the MLP's sum with its skip is normalised without the adapter.
    """

    def __init__(self, sizes: TextSizes, index: int) -> None:
        """Make layer `index` of the tower."""
        super().__init__(sizes.config, index)
        make_adapter = ADAPTERS[sizes.adapter]
        self.attn_adapter = make_adapter(sizes.config.hidden_size, sizes.attention_adapter_width)
        self.mlp_adapter = make_adapter(sizes.config.hidden_size, sizes.mlp_adapter_width)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: object, **__: object) -> Tensor:
        """Transform tokens (n, length, width); the mask is added to the attention logits."""
        attended = self.attention(hidden_states, attention_mask)[0]
        attended = attended + self.attn_adapter(attended)
        out: Tensor = self.feed_forward_chunk(attended) + ADAPTER_SCALE * self.mlp_adapter(attended)
        return out


class TextTower(nn.Module):
    """Encodes prompts and reports; the parts are named as in the published text model."""

    def __init__(self, sizes: TextSizes) -> None:
        """Make a tower with fresh weights (a checkpoint replaces them)."""
        super().__init__()
        self.sizes = sizes
        width = sizes.config.hidden_size
        self.bert = BertModel(sizes.config, add_pooling_layer=False)
        self.bert.encoder.layer = nn.ModuleList(
            [AdapterBertLayer(sizes, index) for index in range(sizes.config.num_hidden_layers)]
        )
        self.cls = BertOnlyMLMHead(sizes.config)
        # Tied as in BERT: the vocabulary's embeddings also predict masked words.
        self.cls.predictions.decoder.weight = self.bert.embeddings.word_embeddings.weight
        self.cls.predictions.decoder.bias = self.cls.predictions.bias
        self.cls_projection_head = ProjectionHead(width, sizes.embedding)
        self.local_projection_head = ProjectionHead(width, sizes.embedding)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, image_feature: Tensor | None = None) -> Tensor:
        """Encode tokens: input_ids and attention_mask (n, length) int64 to (n, length, width).

        image_feature: (n, width), added to every token after the embeddings' layer norm (masked report
        modelling).
        """
        hidden: Tensor = self.bert.embeddings(input_ids)  # (n, length, width)
        if image_feature is not None:
            hidden = hidden + image_feature[:, None]
        return run_layers(self.bert.encoder.layer, hidden, attention_mask)

    def project(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return the global projection (n, embedding) of CLS and the local ones (n, length - 1, embedding).

        Neither is normalised; CLS has no local projection.
        """
        return self.cls_projection_head(hidden[:, 0]), self.local_projection_head(hidden[:, 1:])

    def predict_words(self, hidden: Tensor) -> Tensor:
        """Return the logits (n, length, vocabulary) of the masked-word head."""
        logits: Tensor = self.cls(hidden)
        return logits

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed prompts: (n, embedding) of unit length."""
        return F.normalize(self.project(self(input_ids, attention_mask))[0], dim=-1)


def run_layers(layers: nn.ModuleList, hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Run BERT's layers on embedded tokens (n, length, width); nobody looks at those where the mask is 0."""
    unseen = torch.finfo(hidden.dtype).min * (attention_mask == 0).to(hidden.dtype)
    for layer in layers:
        hidden = layer(hidden, unseen[:, None, None])  # the same for every head and query
    return hidden
