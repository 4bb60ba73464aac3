"""Make a small ALTA checkpoint with random weights: it shows every step, and its scores mean nothing.

python examples/01_make_demo_checkpoint.py build/demo
"""

import sys
from pathlib import Path

from transformers import BertConfig

from alta_training.checkpoint import save_checkpoint
from alta_training.model.sizes import DecoderSizes, ImageSizes, ModelSizes, TextSizes
from alta_training.synthetic import make_random_model, write_text_model

SEED = 2025
STATEMENTS = {
    "notice": "UNTRAINED DEMO MODEL: random weights, the scores mean nothing.",
    "training_data": "none: random weights from a fixed seed",
    "licence": "Apache-2.0",
}

folder = Path(sys.argv[1])
text = BertConfig(
    vocab_size=512,
    hidden_size=192,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=768,
    max_position_embeddings=128,
)
sizes = ModelSizes(
    image=ImageSizes(192, 4, 3, 768, attention_adapter_width=48, mlp_adapter_width=48),
    decoder=DecoderSizes(width=192, depth=1, heads=3, mlp_width=768),
    text=TextSizes(text, attention_adapter_width=48, mlp_adapter_width=48),
)
write_text_model(folder / "text-model", text)
save_checkpoint(make_random_model(sizes, SEED), folder / "demo.safetensors", STATEMENTS)
print(f"{STATEMENTS['notice']} Checkpoint and text model: {folder}")
