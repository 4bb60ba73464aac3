"""Time the local contrastive loss, forward and backward, against two loops over reports, in turn in one run.

python benchmarks/local_loss.py --rounds 3 [--device cuda]
"""

import statistics
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor
from torch.nn import functional as F

from alta_sdk.cli.terminal import print_facts
from alta_sdk.engine.processor import processor_name
from alta_training.losses import contrast_locally
from alta_training.losses.tiles import plan_tiles

Scales = tuple[Tensor, Tensor, Tensor]
SCALES = (4.0, 5.0, 10.0)


def contrast_by_loop(patches: Tensor, words: Tensor, mask: Tensor, scales: Scales) -> Tensor:
    """The same loss written report by report as lean as autograd allows, keeping everything for the backward pass."""
    columns = []
    for row, count in zip(words, mask.sum(dim=1).tolist(), strict=True):
        own = row[:count]
        share = (patches @ own.T).softmax(dim=-1)  # (studies, patches, words)
        attention = (scales[0] * share.transpose(1, 2)).softmax(dim=-1)
        cosine = F.cosine_similarity(own.expand(len(patches), -1, -1), attention @ patches, dim=-1)
        columns.append((scales[1] * cosine).logsumexp(dim=-1))
    return cross_entropy_both_ways(scales[2] * torch.stack(columns, dim=1))


def contrast_by_copying_loop(patches: Tensor, words: Tensor, mask: Tensor, scales: Scales) -> Tensor:
    """The loop as research code has it: words repeated for each study, every transposition copied."""
    columns = []
    context = patches.transpose(1, 2).contiguous()  # (studies, embedding, patches)
    for row, count in zip(words, mask.sum(dim=1).tolist(), strict=True):
        own = row[:count].T.repeat(len(patches), 1, 1)  # (studies, embedding, words)
        share = torch.bmm(context.transpose(1, 2).contiguous(), own).softmax(dim=-1)
        attention = (share.transpose(1, 2).contiguous() * scales[0]).softmax(dim=-1)
        collected = torch.bmm(context, attention.transpose(1, 2).contiguous())
        cosine = F.cosine_similarity(own.transpose(1, 2).contiguous(), collected.transpose(1, 2).contiguous(), dim=-1)
        columns.append((cosine * scales[1]).exp().sum(dim=-1).log())
    return cross_entropy_both_ways(scales[2] * torch.stack(columns, dim=1))


def cross_entropy_both_ways(logits: Tensor) -> Tensor:
    """Return the symmetric cross entropy of square logits whose diagonal is true."""
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def time_loss(loss: Callable[..., Tensor], inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[float, float]:
    """Return seconds of one forward and backward pass, and the loss."""
    patches, words, mask = inputs
    leaves = patches.clone().requires_grad_(), words.clone().requires_grad_()
    scales = tuple(torch.tensor(value, device=patches.device, requires_grad=True) for value in SCALES)
    finish_work(patches.device)
    start = time.perf_counter()
    value = loss(*leaves, mask, scales)
    value.backward()
    finish_work(patches.device)
    return time.perf_counter() - start, float(value.detach())


def finish_work(device: torch.device) -> None:
    """Wait for what a GPU was given to do; a CPU does it at once."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure_memory(loss: Callable[..., Tensor], inputs: tuple[Tensor, Tensor, Tensor]) -> str:
    """Return the most memory of the GPU that one pass takes beside its inputs."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    time_loss(loss, inputs)
    return f"{(torch.cuda.max_memory_allocated() - before) / 1e9:.2f} GB"


@click.command()
@click.option("--batch", default=96, show_default=True)
@click.option("--patches", default=196 * 4, show_default=True)
@click.option("--tokens", default=128, show_default=True)
@click.option("--embedding", default=128, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
def main(batch: int, patches: int, tokens: int, embedding: int, rounds: int, threads: int, device: str) -> None:
    """Compare both losses in time and value."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    inputs = (
        (torch.randn(batch, patches, embedding, generator=generator) / embedding**0.5).to(device),
        torch.randn(batch, tokens, embedding, generator=generator).to(device),
        torch.ones(batch, tokens, dtype=torch.bool, device=device),
    )
    on_gpu = device == "cuda"
    if on_gpu:
        time_loss(contrast_by_loop, inputs)  # the first products start CUDA's libraries
    losses = (contrast_locally, contrast_by_loop, contrast_by_copying_loop)
    runs = [[time_loss(loss, inputs) for loss in losses] for _ in range(rounds)]
    seconds = [statistics.median(run[number][0] for run in runs) for number in range(len(losses))]
    ratios = [statistics.median(run[number][0] / run[0][0] for run in runs) for number in range(len(losses))]
    apart = max(abs(run[number][1] - run[0][1]) for run in runs for number in (1, 2))
    machine = torch.cuda.get_device_name() if on_gpu else processor_name()
    memory = [f", {measure_memory(loss, inputs)}" if on_gpu else "" for loss in losses]
    print_facts(
        f"Local loss, batch {batch}, {patches} patches, {tokens} tokens, forward and backward; {machine}",
        [
            ("whole batch in tiles", f"{seconds[0]:.3f} s{memory[0]}, loss {runs[0][0][1]:.6f}"),
            ("loop over reports", f"{seconds[1]:.3f} s{memory[1]}, {ratios[1]:.2f} times as long (median of pairs)"),
            ("loop, copying", f"{seconds[2]:.3f} s{memory[2]}, {ratios[2]:.2f} times as long (median of pairs)"),
            ("largest difference", f"{apart:.1e}"),
            ("matrix products alone", f"{time_products(inputs):.3f} s: eight products of the tiles' sizes"),
        ],
    )


def time_products(inputs: tuple[Tensor, Tensor, Tensor]) -> float:
    """Return the seconds that the eight matrix products of the tiled loss take by themselves: its floor."""
    patches, words, mask = inputs
    tiles = plan_tiles(patches, mask)
    finish_work(patches.device)
    start = time.perf_counter()
    for tile in tiles:
        own, flat = patches[tile.studies], words[tile.reports].flatten(0, 1)
        for _ in range(3):
            similarity = own.flatten(0, 1) @ flat.T  # twice; the gradient of the attention
            similarity.T @ own.flatten(0, 1)  # what words collect, twice; the gradient of the words
        for _ in range(2):
            similarity @ flat  # the gradient of the patches, in two parts
    finish_work(patches.device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
