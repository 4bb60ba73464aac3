"""What the loop refuses or explains when the machine cannot do what was asked; a GPU is imitated."""

import pytest
import torch

from alta_sdk.errors import TrainingError
from alta_training.run.fabric import open_fabric
from alta_training.run.loop import Trainer


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="no GPU works here: choose --device cpu"):
        open_fabric("32-true", "cuda", 1, 1)


def test_a_gpu_without_bfloat16_is_refused_with_what_to_choose(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(TrainingError, match="has no bfloat16: choose --set precision=16-mixed"):
        open_fabric("bf16-mixed", "auto", 1, 1)


def test_half_precision_on_a_cpu_is_refused():
    with pytest.raises(TrainingError, match="16-mixed needs a GPU"):
        open_fabric("16-mixed", "cpu", 1, 1)


def test_a_full_gpu_says_which_batch_to_try(monkeypatch):
    class FullFabric:
        global_rank = 0

        def no_backward_sync(self, module, enabled):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    class FakeBatch:
        rows = torch.arange(96)

    class FakeOptimizer:
        param_groups = ()

    class FakeRecipe:
        seed, accumulate, batch, image_from = 0, 2, 192, 0.0

    trainer = Trainer.__new__(Trainer)
    trainer.fabric, trainer.recipe, trainer.epoch, trainer.objective = FullFabric(), FakeRecipe(), 0, None
    trainer.optimizer, trainer.step, trainer.sampler = FakeOptimizer(), 0, range(2)
    with pytest.raises(
        TrainingError, match="does not hold 96 studies at once: try --set batch=96, or --set accumulate=4"
    ):
        trainer._backward(FakeBatch(), 0, True)
