"""Small DINOv2 towers with random weights in the forms that files have: Hugging Face's, Meta's names, ONNX."""

import warnings

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from alta_training.model import torchvision_ops  # noqa: F401  transformers imports torchvision

from transformers import Dinov2Config, Dinov2Model  # isort: skip

META = (
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.mask_token", "mask_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("layernorm", "norm"),
    ("encoder.layer", "blocks"),
    ("attention.output.dense", "attn.proj"),
    ("layer_scale1.lambda1", "ls1.gamma"),
    ("layer_scale2.lambda1", "ls2.gamma"),
)


def make_tower(width=32, depth=3, heads=4, patch_px=14, side=5, seed=0, **settings):
    """A tower whose every tensor matters: products that keep signals alive, LayerScale from 0.5 to 1.5."""
    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        mlp_ratio=3,
        image_size=patch_px * side,
        patch_size=patch_px,
        **settings,
    )
    model = Dinov2Model(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "lambda1" in name:
                parameter.copy_(0.5 + torch.rand(parameter.shape, generator=generator))
            elif "norm" in name:
                parameter.copy_(0.1 * noise + name.endswith("weight"))
            elif parameter.ndim == 1:
                parameter.copy_(0.2 * noise)
            else:
                # sharp attention: else another number of heads would hardly show
                parameter.copy_(
                    noise * (2 if "q_proj" in name or "k_proj" in name else 1) / parameter[0].numel() ** 0.5
                )
    return model


@torch.no_grad()
def encode_exactly(model, radiographs, depth, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    """Tokens (n, 1 + patches, width) of (n, 224, 224) uint8 by the model itself in float64, before its last norm."""
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (mean, std))
    model = model.double()
    x = model.embeddings((torch.from_numpy(radiographs).double()[:, None] / 255 - mean) / std)
    for layer in model.encoder.layer[:depth]:
        x = layer(x)
    model.float()
    return x


def write_hugging_face(model, folder, prefix=""):
    """model.safetensors and config.json by transformers' own hand; a prefix as a larger model has it."""
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    if prefix:
        tensors = {prefix + name: tensor for name, tensor in load_file(file).items()}
        save_file({**tensors, "decoder.weight": torch.ones(3)}, file)
    return file


def name_as_meta(model, folder):
    """The tensors as Meta's code and timm name them."""
    old = load_file(write_hugging_face(model, folder / "for-names"))
    named = {}
    for name, tensor in old.items():
        if ".attention.attention." not in name:
            for theirs, meta in META:
                name = name.replace(theirs, meta)
            named[name] = tensor
    for number in range(model.config.num_hidden_layers):
        for kind in ("weight", "bias"):
            parts = [f"encoder.layer.{number}.attention.attention.{p}.{kind}" for p in ("query", "key", "value")]
            named[f"blocks.{number}.attn.qkv.{kind}"] = torch.cat([old[part] for part in parts])
    return named


def write_meta(model, folder, prefix=""):
    file = folder / "meta.safetensors"
    save_file({prefix + name: tensor for name, tensor in name_as_meta(model, folder).items()}, file)
    return file


class Wrapped(torch.nn.Module):
    """A tower inside a larger model: its names get a prefix, and the graph goes on after it."""

    def __init__(self, tower):
        super().__init__()
        self.backbone = tower

    def forward(self, pixels):
        return self.backbone(pixels).last_hidden_state.mean(1)


class MetaTower(torch.nn.Module):
    """Meta's names for an export: one product for query, key and value."""

    def __init__(self, model, tensors):
        super().__init__()
        self.heads, self.width = model.config.num_attention_heads, model.config.hidden_size
        self.side = round((tensors["pos_embed"].shape[1] - 1) ** 0.5)
        for name, tensor in tensors.items():
            *path, last = name.split(".")
            module = self
            for part in path:
                if not hasattr(module, part):
                    module.add_module(part, torch.nn.Module())
                module = getattr(module, part)
            module.register_parameter(last, torch.nn.Parameter(tensor))

    def forward(self, pixels):
        stem, side = self.patch_embed.proj, self.side
        x = F.conv2d(pixels, stem.weight, stem.bias, stride=stem.weight.shape[-1])
        grid = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, size=(16, 16), mode="bicubic", align_corners=False)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x.flatten(2).transpose(1, 2)], 1)
        x = x + torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)
        for block in self.blocks.children():
            x = x + block.ls1.gamma * self.attend(self.scale(x, block.norm1), block.attn)
            hidden = F.gelu(self.multiply(self.scale(x, block.norm2), block.mlp.fc1))
            x = x + self.multiply(hidden, block.mlp.fc2) * block.ls2.gamma
        return self.scale(x, self.norm)

    def multiply(self, x, product):
        return F.linear(x, product.weight, product.bias)

    def scale(self, x, norm):
        return F.layer_norm(x, (self.width,), norm.weight, norm.bias, 1e-6)

    def attend(self, x, attn):
        n, tokens, size = *x.shape[:2], self.width // self.heads
        q, k, v = self.multiply(x, attn.qkv).reshape(n, tokens, 3, self.heads, size).permute(2, 0, 3, 1, 4)
        x = torch.softmax(q @ k.transpose(-2, -1) / size**0.5, -1) @ v
        return self.multiply(x.transpose(1, 2).reshape(n, tokens, self.width), attn.proj)


def write_onnx(module, file, px=224, dynamic=True, **options):
    """Export with torch's older exporter: products get names such as onnx::MatMul_1966, which only biases tell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is the old one, and says so
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, px, px),),
            file,
            **{"dynamo": False, "opset_version": 14, **options},
            input_names=["image"],
            **({"dynamic_axes": {"image": {0: "batch"}}} if dynamic else {}),
        )
    return file
