"""The training loop, for alignment and pretraining alike, on Lightning Fabric.

A step depends only on the weights and on (seed, epoch, batch, rank): random states are set at its
start, so a run resumed in the middle of an epoch goes on as if it had not stopped.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import DataLoader

from alta_sdk.errors import TrainingError

from ..data.batches import Batch, EpochSampler, StudyDataset, collate_studies, learning_rate_at, mix_seed
from ..families.checkpoint import save_checkpoint
from ..model import AltaModel
from ..model.trainable import group_parameters
from ..objectives.alignment import AlignmentObjective, Losses
from ..recipe import Recipe
from .average import average_weights
from .files import cut_metrics, load_state, save_state
from .progress import ProgressReport
from .termination import catch_termination, ignore_termination

Validate = Callable[[AltaModel], dict[str, float]]


@dataclass(frozen=True)
class RunOptions:
    """Where a run writes and how it computes; unlike the recipe, none of it changes what is computed.

    validate_every: epochs between validations. save_every: steps between states within an epoch (0: at
    its end only). stop_after: optimizer steps after which to save and stop (0: none). is_trial: compute one
    part of a step, and write nothing.
    """

    output: Path
    resume: bool = False
    workers: int = 0
    validate_every: int = 1
    save_every: int = 0
    stop_after: int = 0
    is_trial: bool = False


class Trainer:
    """One run: the model, its optimizer and where it stands."""

    def __init__(
        self,
        fabric: Fabric,
        alignment: AlignmentObjective,
        dataset: StudyDataset,
        recipe: Recipe,
        options: RunOptions,
        metadata: dict[str, str],
        validate: Validate | None = None,
    ) -> None:
        """Prepare a run; the parameters say by requires_grad which of them train."""
        self.fabric, self.recipe, self.options = fabric, recipe, options
        self.alignment, self.model = alignment, alignment.model
        self.metadata, self.validate = metadata, validate
        if recipe.patience and validate is None:
            raise TrainingError("recipe: patience needs a validation to wait for: give --validation, or patience=0")
        self.sampler = EpochSampler(len(dataset), recipe, fabric.global_rank, fabric.world_size)
        self.loader = DataLoader(
            dataset,
            batch_sampler=self.sampler,
            collate_fn=collate_studies,
            num_workers=options.workers,
            persistent_workers=options.workers > 0,
            pin_memory=fabric.device.type == "cuda",
            worker_init_fn=ignore_termination,
        )
        optimizer = torch.optim.AdamW(
            group_parameters(
                [*self.model.named_parameters(), *alignment.objectives.named_parameters()],
                recipe.weight_decay,
                {"image": recipe.image_rate, "text": recipe.text_rate, "head": recipe.head_rate},
            ),
            lr=recipe.learning_rate,
            betas=(recipe.beta1, recipe.beta2),
        )
        self.objective, self.optimizer = fabric.setup(alignment, optimizer)
        self.average = average_weights(alignment, recipe.ema) if recipe.ema else None
        self.epoch, self.step, self.best, self.mark, self.stale = 0, 0, -math.inf, -math.inf, 0
        if options.resume:
            self._restore(load_state(options.output, recipe, metadata))
            if fabric.is_global_zero:
                cut_metrics(options.output, self.step)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return len(self.sampler) // self.recipe.accumulate

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are run, or the recipe's patience is at its end."""
        return self.epoch >= self.recipe.epochs or self.is_stale

    @property
    def is_stale(self) -> bool:
        """Whether the recipe's patience is at its end: so many validations without a gain that counts."""
        return 0 < self.recipe.patience <= self.stale

    @property
    def judged(self) -> AlignmentObjective:
        """What is validated and stored: the average over the steps, if the recipe has one."""
        return self.alignment if self.average is None else cast(AlignmentObjective, self.average.module)

    def run(self) -> None:
        """Train to the last epoch, or until patience ends; on SIGTERM save the state and return."""
        recipe = self.recipe
        steps = recipe.epochs * self.steps_per_epoch
        with (
            ProgressReport(self.options.output, recipe.epochs, steps, self.step, self.fabric) as report,
            catch_termination() as is_terminated,
        ):
            while not self.is_finished:
                for _ in self._train_epoch(report):
                    stop = self._any_process(is_terminated() or self.step == self.options.stop_after)
                    if stop or self.options.save_every and self.step % self.options.save_every == 0:
                        self._save()
                    if stop:
                        return
                self.epoch += 1
                report.show_epoch(self.step, self.epoch - 1)
                self._finish_epoch(report)

    def try_part(self) -> dict[str, float]:
        """Compute the losses and gradients of the first part of a step, and change no weight; return the losses."""
        self.objective.train()
        losses = self._backward(next(iter(self.loader)), 0, True)
        self.optimizer.zero_grad()
        return losses

    def _train_epoch(self, report: ProgressReport) -> Iterator[None]:
        """Train the rest of the current epoch; yield after each optimizer step."""
        accumulate = self.recipe.accumulate
        self.objective.train()
        self.sampler.epoch = self.epoch
        self.sampler.start = (self.step - self.epoch * self.steps_per_epoch) * accumulate
        shown: dict[str, float] = {}
        for number, batch in enumerate(self.loader, start=self.sampler.start):
            rate = learning_rate_at(self.recipe, self.epoch + (number - number % accumulate) / len(self.sampler))
            is_last = (number + 1) % accumulate == 0
            part = self._backward(batch, number, is_last)
            shown = {name: shown.get(name, 0.0) + value / accumulate for name, value in part.items()}
            report.show_part(self.step, number % accumulate + 1, accumulate)
            if is_last:
                self._update(rate)
                report.show_step(self.step, self.epoch, shown, rate, self.recipe.batch)
                shown = {}
                yield

    def _backward(self, batch: Batch, number: int, is_last: bool) -> dict[str, float]:
        """Add one part's gradients and return its losses, averaged over processes."""
        torch.manual_seed(mix_seed(mix_seed(self.recipe.seed, self.epoch, number), self.fabric.global_rank, 1))
        try:
            with self._without_waiting_gradients(), self.fabric.no_backward_sync(self.objective, enabled=not is_last):
                losses: Losses = self.objective(batch.to(self.fabric.device))
                self._check_finite(losses.total, batch)
                self.fabric.backward(losses.total / self.recipe.accumulate)
        except torch.cuda.OutOfMemoryError as error:
            half = max(self.recipe.batch // 2, 1)
            raise TrainingError(
                f"the GPU's memory does not hold {len(batch.rows)} studies at once: try --set batch={half}, "
                f"or --set accumulate={2 * self.recipe.accumulate} with the same batch"
            ) from error
        reduced = {name: self.fabric.all_reduce(part.detach(), reduce_op="mean") for name, part in losses.parts.items()}
        return {name: float(value) for name, value in reduced.items() if isinstance(value, Tensor)}

    @property
    def _image_waits(self) -> bool:
        return self.step / self.steps_per_epoch < self.recipe.image_from

    @contextmanager
    def _without_waiting_gradients(self) -> Iterator[None]:
        """While the image tower waits, compute no gradient of it; DDP wants those of all parameters."""
        groups = self.optimizer.param_groups if self._image_waits and self.fabric.world_size == 1 else []
        waiting = [parameter for group in groups if group["part"] == "image" for parameter in group["params"]]
        for parameter in waiting:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in waiting:
                parameter.requires_grad_(True)

    def _check_finite(self, total: Tensor, batch: Batch) -> None:
        if self._any_process(not bool(torch.isfinite(total))):
            rows = torch.as_tensor(self.fabric.all_gather(batch.rows.to(self.fabric.device)))
            shown = ", ".join(str(row) for row in sorted(rows.flatten().tolist()))
            raise TrainingError(
                f"the loss is not finite at step {self.step + 1}: look at rows {shown} of the table, or lower "
                "base_learning_rate; what was saved before is kept"
            )

    def _update(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            waits = group["part"] == "image" and self._image_waits
            group["lr"] = 0.0 if waits else rate * group["share"]
            for parameter in group["params"] if waits else ():
                parameter.grad = None  # DDP computes them: neither the clip nor a moment is to know of them
        if self.recipe.clip_norm:
            self.fabric.clip_gradients(self.objective, self.optimizer, max_norm=self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.alignment.clamp()
        if self.average is not None:
            self.average.update_parameters(self.alignment)
        self.step += 1

    def _finish_epoch(self, report: ProgressReport) -> None:
        """Validate, keep the best weights and save the state."""
        due = self.epoch % self.options.validate_every == 0 or self.epoch == self.recipe.epochs
        is_first = self.fabric.is_global_zero
        if due and self.validate is not None:
            if is_first:
                figures = self.validate(self.judged.model.eval())
                report.show_validation(self.step, self.epoch - 1, figures)
                self.stale += 1
                if figures["auc"] > self.mark + self.recipe.min_gain:
                    self.mark, self.stale = figures["auc"], 0
                if figures["auc"] > self.best:
                    self.best = figures["auc"]
                    self._write_weights("best.safetensors", {"validation_auc": f"{self.best:.4f}"})
            standing = self.best, self.mark, self.stale
            self.best, self.mark, self.stale = self.fabric.broadcast(standing)  # all end at once
        if is_first:
            self._write_weights("last.safetensors", {})
        self._save()

    def _write_weights(self, name: str, more: dict[str, str]) -> None:
        stated = {**self.metadata, **more, "epoch": str(self.epoch)}
        judged = self.judged
        save_checkpoint(judged.model, self.options.output / name, stated, objective_weights=judged.own_weights())

    def _save(self) -> None:
        if self.fabric.is_global_zero:
            state = {
                "recipe": asdict(self.recipe),
                "stated": self.metadata,
                "epoch": self.epoch,
                "step": self.step,
                "best": self.best,
                "mark": self.mark,
                "stale": self.stale,
                "model": {n: p.detach().cpu() for n, p in self.model.named_parameters() if p.requires_grad},
                "average": self._average_state(),
                "objectives": {n: t.detach().cpu() for n, t in self.alignment.own_state().items()},
                "optimizer": self.optimizer.state_dict(),
            }
            save_state(self.options.output, state)
        self.fabric.barrier()

    def _restore(self, state: dict[str, Any]) -> None:
        trained = {name: tensor for name, tensor in self.model.named_parameters() if tensor.requires_grad}
        own, saved = {**trained, **self.alignment.own_state()}, {**state["model"], **state["objectives"]}
        if set(own) != set(saved):
            raise TrainingError("the state to resume from is of another model: give the same --backbone")
        with torch.no_grad():
            for name, tensor in saved.items():
                if tensor.shape != own[name].shape:
                    raise TrainingError(f"the state to resume from is of another model: {name} has another shape")
                own[name].copy_(tensor)
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.best, self.stale = state["best"], state["stale"]
        self.mark = state.get("mark", self.best)  # states of before min_gain have none
        if self.average is not None:
            restored = self.average.load_state_dict(state["average"], strict=False)
            if restored.unexpected_keys:
                raise TrainingError("the state to resume from is of another model: give the same --backbone")

    def _average_state(self) -> dict[str, Tensor]:
        """Return what of the average moves; the frozen rest is the backbone's."""
        if self.average is None:
            return {}
        moving = {f"module.{n}" for n, p in self.alignment.named_parameters() if p.requires_grad} | {"n_averaged"}
        return {n: t.detach().cpu() for n, t in self.average.state_dict().items() if n in moving}

    def _any_process(self, value: bool) -> bool:
        if self.fabric.world_size == 1:
            return value
        counted = self.fabric.all_reduce(torch.tensor(float(value), device=self.fabric.device), reduce_op="sum")
        return bool(torch.as_tensor(counted) > 0)
