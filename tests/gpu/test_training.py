"""Losses, gradients and the training loop on the GPU, beside the same on the CPU."""

import csv
import json

import numpy as np
import pytest
import torch
from conftest import make_sizes, run_training_command
from PIL import Image

from alta_training.data.records import COLUMNS
from alta_training.data.synthetic import make_random_model, write_text_model
from alta_training.families.checkpoint import save_checkpoint
from alta_training.losses import contrast_locally
from alta_training.losses.local_contrastive import match_words

# Ten steps of a small model: what another order of float32 sums, and then 8 bits of bfloat16, do to its losses. In
# float16 the scaler of gradients may leave out the first steps besides.
LOSS_FLOAT32, LOSS_BFLOAT16, LOSS_FLOAT16 = 1e-3, 5e-2, 1e-1
WORDS = ("clear lungs", "an opacity", "large heart", "small effusion", "no edema", "a nodule", "a mass", "normal")


@pytest.fixture
def local_inputs():
    generator = torch.Generator().manual_seed(1)
    patches = torch.randn(5, 12, 16, generator=generator, dtype=torch.float64)
    words = torch.randn(5, 9, 16, generator=generator, dtype=torch.float64)
    mask = torch.arange(9) < torch.tensor([9, 3, 5, 1, 7])[:, None]
    return patches, words, mask, tuple(torch.tensor(scale, dtype=torch.float64) for scale in (4.0, 5.0, 10.0))


def to_gpu(inputs):
    patches, words, mask, scales = inputs
    return patches.cuda(), words.cuda(), mask.cuda(), tuple(scale.cuda() for scale in scales)


@pytest.mark.parametrize("elements", [2**25, 64])
def test_the_local_loss_and_its_gradients_are_the_cpus_in_any_tiles(local_inputs, monkeypatch, elements):
    monkeypatch.setattr("alta_training.losses.tiles.GPU_ELEMENTS", elements)
    results = []
    for patches, words, mask, scales in (local_inputs, to_gpu(local_inputs)):
        given = [tensor.clone().requires_grad_() for tensor in (patches, words, *scales)]
        loss = contrast_locally(given[0], given[1], mask, tuple(given[2:]))
        results.append([loss, *torch.autograd.grad(loss, given)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other.cpu())


def test_the_local_loss_has_its_own_gradient_on_the_gpu(local_inputs):
    patches, words, mask, scales = to_gpu(local_inputs)
    given = [tensor.clone().requires_grad_() for tensor in (patches, words, *scales)]
    assert torch.autograd.gradcheck(lambda p, w, *s: contrast_locally(p, w, mask, s), given)


def test_under_autocast_the_matches_stay_in_float32(local_inputs):
    patches, words, mask, scales = to_gpu(local_inputs)
    given = (patches.float(), words.float(), mask, scales[0].float(), scales[1].float())
    with torch.autocast("cuda", torch.bfloat16):
        matched = match_words(*given)
    assert matched.dtype == torch.float32
    torch.testing.assert_close(matched, match_words(*given), rtol=0, atol=0)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Sixteen studies, and a small backbone."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(3)
    rows = []
    for number in range(16):
        small = rng.integers(0, 255, (12, 12), dtype=np.uint8)
        Image.fromarray(small).resize((300, 280)).save(folder / f"{number}.png")
        prior = "0.png" if number % 3 == 0 else -1
        rows.append([f"{number}.png", -1, prior, -1, f"There is {WORDS[number % 8]}. Nothing else is seen."])
    with (folder / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*COLUMNS, "report"], *rows])
    sizes = make_sizes()
    write_text_model(folder / "text-model", sizes.text.config)
    save_checkpoint(make_random_model(sizes, 5), folder / "backbone.safetensors", {})
    return folder


def train(given, output, *more, name="fit"):
    """Run a training command; return the losses of each step."""
    backbone = ("--backbone", given / "backbone.safetensors")
    fast = ("batch=8", "epochs=5", "warmup_epochs=0", "base_learning_rate=0.002", "text_dropout=0")
    settings = [word for setting in fast for word in ("--set", setting)]
    done = run_training_command(name, "--data", given / "train.csv", *backbone, "--output", output, *settings, *more)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kept = ("global", "local", "reconstruction", "report")
    return [[line[part] for part in kept if part in line] for line in lines if line["kind"] == "train"]


@pytest.fixture(scope="module")
def on_cpu(given, tmp_path_factory):
    return train(given, tmp_path_factory.mktemp("runs") / "cpu", "--device", "cpu")


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("32-true", LOSS_FLOAT32), ("bf16-mixed", LOSS_BFLOAT16), ("16-mixed", LOSS_FLOAT16)]
)
def test_a_run_on_the_gpu_has_the_losses_of_the_cpu(given, on_cpu, tmp_path, precision, tolerance):
    losses = train(given, tmp_path / "run", "--device", "cuda", "--set", f"precision={precision}")
    assert len(losses) == len(on_cpu) == 10
    np.testing.assert_allclose(losses, on_cpu, rtol=tolerance)


def test_a_run_on_the_gpu_goes_on_where_it_stopped(given, tmp_path):
    whole = train(given, tmp_path / "whole", "--device", "cuda")
    train(given, tmp_path / "parts", "--device", "cuda", "--stop-after", 3)
    parts = train(given, tmp_path / "parts", "--device", "cuda", "--resume")
    np.testing.assert_allclose(parts, whole, rtol=LOSS_FLOAT32)


def test_pretraining_runs_on_the_gpu_in_bfloat16(given, tmp_path):
    losses = train(given, tmp_path / "run", "--device", "cuda", "--set", "precision=bf16-mixed", name="pretrain")
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
