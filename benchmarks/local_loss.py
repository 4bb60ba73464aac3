"""Time the local contrastive loss, forward and backward, against two loops over reports, in turn in one run.

python benchmarks/local_loss.py --rounds 3 [--device cuda]
python benchmarks/local_loss.py --sizes --processor-time --threads 1    # batches of training, reports of many lengths
"""

import statistics
import time
from collections.abc import Callable

import click
import torch
from torch import Tensor
from torch.nn import functional as F

from alta_sdk.cli.terminal import print_facts, print_table
from alta_sdk.engine.processor import processor_name
from alta_training.losses import contrast_locally, tiles
from alta_training.losses.products import BF16, has_bf16
from alta_training.losses.tiles import KEPT_ELEMENTS, plan_tiles
from alta_training.run.allocator import keep_freed_memory

Inputs = tuple[Tensor, Tensor, Tensor]
Scales = tuple[Tensor, Tensor, Tensor]
SCALES = (4.0, 5.0, 10.0)
# Studies, patches, the longest and the shortest report: the published mask leaves 196 patches of four radiographs.
SIZES = (
    (32, 196, 20, 6),
    (32, 196, 128, 12),
    (32, 196, 128, 128),
    (32, 784, 20, 6),
    (32, 784, 128, 12),
    (96, 196, 20, 6),
    (96, 196, 128, 12),
)


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
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def contrast_in_bf16(patches: Tensor, words: Tensor, mask: Tensor, scales: Scales) -> Tensor:
    """The tiled loss with products that round to BF16 what they multiply."""
    return contrast_locally(patches, words, mask, scales, products=BF16)


def time_loss(
    loss: Callable[..., Tensor], inputs: Inputs, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, float]:
    """Return seconds of one forward and backward pass, and the loss."""
    patches, words, mask = inputs
    leaves = patches.clone().requires_grad_(), words.clone().requires_grad_()
    scales = tuple(torch.tensor(value, device=patches.device, requires_grad=True) for value in SCALES)
    finish_work(patches.device)
    start = clock()
    value = loss(*leaves, mask, scales)
    value.backward()
    finish_work(patches.device)
    return clock() - start, float(value.detach())


def make_inputs(batch: int, patches: int, tokens: int, embedding: int, shortest: int) -> Inputs:
    """Draw patches and words of a batch; the lengths of its reports are spread evenly from `shortest` to `tokens`."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.linspace(shortest, tokens, batch).round().long()[torch.randperm(batch, generator=generator)]
    return (
        torch.randn(batch, patches, embedding, generator=generator) / embedding**0.5,
        torch.randn(batch, tokens, embedding, generator=generator),
        torch.arange(tokens) < lengths[:, None],
    )


def show_sizes(embedding: int, rounds: int, clock: Callable[[], float]) -> None:
    """Print for batches of training which is faster: tiles kept, tiles computed again, or the lean loop."""
    rows = []
    for batch, patches, tokens, shortest in SIZES:
        inputs = make_inputs(batch, patches, tokens, embedding, shortest)
        runs = []
        for _ in range(rounds):
            own = []
            for kept in (KEPT_ELEMENTS, 0):
                tiles.KEPT_ELEMENTS = kept
                own.append(time_loss(contrast_locally, inputs, clock)[0])
            runs.append([*own, time_loss(contrast_by_loop, inputs, clock)[0]])
        tiles.KEPT_ELEMENTS = KEPT_ELEMENTS
        is_kept = tiles.is_kept(plan_tiles(inputs[0], inputs[2]), inputs[0])
        seconds = [statistics.median(times) for times in zip(*runs, strict=True)]
        ratio = statistics.median(run[2] / run[0] for run in runs)
        size = f"{batch} studies, {patches} patches, {shortest} to {tokens} words"
        shown = f"{seconds[0]:.2f}" if is_kept else f"{seconds[0]:.2f} (too large to keep)"
        rows.append((size, shown, f"{seconds[1]:.2f}", f"{seconds[2]:.2f}", f"{ratio:.2f}"))
    title = f"Local loss, forward and backward, seconds; {processor_name()}"
    print_table(title, ["batch", "tiles", "computed again", "lean loop", "loop / tiles"], rows)


def finish_work(device: torch.device) -> None:
    """Wait for what a GPU was given to do; a CPU does it at once."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure_memory(loss: Callable[..., Tensor], inputs: tuple[Tensor, Tensor, Tensor]) -> str:
    """Return the most memory of the GPU that one pass takes beside its inputs."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    time_loss(loss, inputs, time.perf_counter)
    return f"{(torch.cuda.max_memory_allocated() - before) / 1e9:.2f} GB"


@click.command()
@click.option("--batch", default=96, show_default=True)
@click.option("--patches", default=196 * 4, show_default=True)
@click.option("--tokens", default=128, show_default=True)
@click.option("--embedding", default=128, show_default=True)
@click.option("--shortest", type=int, help="Words of the shortest report. [default: all are of --tokens]")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--device", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--sizes", is_flag=True, help="Compare tiles with the lean loop over sizes of training, and no more.")
@click.option("--processor-time", is_flag=True, help="Not the clock's: for machines that others use, too.")
def main(
    batch: int,
    patches: int,
    tokens: int,
    embedding: int,
    shortest: int | None,
    rounds: int,
    threads: int,
    device: str,
    sizes: bool,
    processor_time: bool,
) -> None:
    """Compare the losses in time and value."""
    keep_freed_memory()  # as training does
    torch.set_num_threads(threads)
    clock = time.process_time if processor_time else time.perf_counter
    if sizes:
        show_sizes(embedding, rounds, clock)
        return
    drawn = make_inputs(batch, patches, tokens, embedding, shortest or tokens)
    inputs = (drawn[0].to(device), drawn[1].to(device), drawn[2].to(device))
    on_gpu = device == "cuda"
    if on_gpu:
        time_loss(contrast_by_loop, inputs, clock)  # the first products start CUDA's libraries
    rounded = [contrast_in_bf16] if has_bf16() and not on_gpu else []
    losses = (contrast_locally, contrast_by_loop, contrast_by_copying_loop, *rounded)
    runs = [[time_loss(loss, inputs, clock) for loss in losses] for _ in range(rounds)]
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
            (
                "tiles, products in BF16",
                f"{seconds[3]:.2f} s, {ratios[3]:.2f} times as long, loss {runs[0][3][1]:.6f}"
                if rounded
                else "not run here",
            ),
            ("matrix products alone", f"{time_products(inputs, clock):.3f} s: eight products of the tiles' sizes"),
        ],
    )


def time_products(inputs: Inputs, clock: Callable[[], float]) -> float:
    """Return the seconds that the eight matrix products of the tiled loss take by themselves: its floor."""
    patches, words, mask = inputs
    planned = plan_tiles(patches, mask)
    finish_work(patches.device)
    start = clock()
    for tile in planned:
        own, flat = patches[tile.studies], words[tile.reports].flatten(0, 1)
        for _ in range(3):
            similarity = own.flatten(0, 1) @ flat.T  # twice; the gradient of the attention
            similarity.T @ own.flatten(0, 1)  # what words collect, twice; the gradient of the words
        for _ in range(2):
            similarity @ flat  # the gradient of the patches, in two parts
    finish_work(patches.device)
    return clock() - start


if __name__ == "__main__":
    main()
