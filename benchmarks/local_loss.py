"""Time the local contrastive loss, forward and backward, against a loop over reports, in turn in one run.

python benchmarks/local_loss.py --rounds 3
"""

import statistics
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor
from torch.nn import functional as F

from alta_sdk.environment import processor_name
from alta_sdk.terminal import print_facts
from alta_training.losses import contrast_locally

SCALES = (4.0, 5.0, 10.0)


def contrast_by_loop(patches: Tensor, words: Tensor, mask: Tensor, scales: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The same loss written report by report, keeping everything for the backward pass."""
    columns = []
    for row, count in zip(words, mask.sum(dim=1).tolist(), strict=True):
        own = row[:count]
        share = (patches @ own.T).softmax(dim=-1)  # (studies, patches, words)
        attention = (scales[0] * share.transpose(1, 2)).softmax(dim=-1)
        cosine = F.cosine_similarity(own.expand(len(patches), -1, -1), attention @ patches, dim=-1)
        columns.append((scales[1] * cosine).logsumexp(dim=-1))
    logits = scales[2] * torch.stack(columns, dim=1)
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def time_loss(loss: Callable[..., Tensor], inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[float, float]:
    """Return seconds of one forward and backward pass, and the loss."""
    patches, words, mask = inputs
    leaves = patches.clone().requires_grad_(), words.clone().requires_grad_()
    scales = tuple(torch.tensor(value, requires_grad=True) for value in SCALES)
    start = time.perf_counter()
    value = loss(*leaves, mask, scales)
    value.backward()
    return time.perf_counter() - start, float(value.detach())


@click.command()
@click.option("--batch", default=96, show_default=True)
@click.option("--patches", default=196 * 4, show_default=True)
@click.option("--tokens", default=128, show_default=True)
@click.option("--embedding", default=128, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
def main(batch: int, patches: int, tokens: int, embedding: int, rounds: int, threads: int) -> None:
    """Compare both losses in time and value."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    inputs = (
        torch.randn(batch, patches, embedding, generator=generator) / embedding**0.5,
        torch.randn(batch, tokens, embedding, generator=generator),
        torch.ones(batch, tokens, dtype=torch.bool),
    )
    pairs = [(time_loss(contrast_by_loop, inputs), time_loss(contrast_locally, inputs)) for _ in range(rounds)]
    ratios = [loop[0] / whole[0] for loop, whole in pairs]
    print_facts(
        f"Local loss, batch {batch}, {patches} patches, {tokens} tokens, forward and backward; {processor_name()}",
        [
            ("loop over reports", f"{statistics.median(loop[0] for loop, _ in pairs):.2f} s"),
            ("whole batch in chunks", f"{statistics.median(whole[0] for _, whole in pairs):.2f} s"),
            ("ratio, median of pairs", f"{statistics.median(ratios):.2f}"),
            ("largest difference", f"{max(abs(loop[1] - whole[1]) for loop, whole in pairs):.1e}"),
        ],
    )


if __name__ == "__main__":
    main()
