"""Objectives as pieces: what each runs and trains, its settings, its weight, its temperatures."""

import math
from collections import Counter
from dataclasses import FrozenInstanceError, fields

import pytest
import torch
from torch import nn

from alta_sdk import TrainingError
from alta_sdk.engine.manifest import FUSION_MODES
from alta_training.data.needs import Need
from alta_training.model.trainable import count_parameters, freeze_backbones, freeze_unreached
from alta_training.objectives import OBJECTIVES, Objective
from alta_training.objectives.alignment import AlignmentObjective
from alta_training.objectives.contract import PublishedSettings
from alta_training.objectives.passes import Passes
from alta_training.objectives.record_modelling import as_pretraining, train_backbones
from alta_training.recipe import ObjectiveSettings, Recipe

# The parts of the model that each published objective runs, once each.
RUN = {
    "global": ("image", "image.projection_head", "text", "text.cls_projection_head"),
    "local": ("image", "image.local_projection_head", "text", "text.local_projection_head"),
    "reconstruction": ("image", "decoder"),
    "report": ("image", "bert_embed", "text", "text.cls"),
}
# What each member of the passes stands for among the needs.
MEMBERS = {
    "study": Need.STUDY,
    "report": Need.REPORT,
    "patches": Need.PATCHES,
    "words": Need.WORDS,
    "hidden_words": Need.HIDDEN_WORDS,
    "caption": Need.CAPTION,
}


def make_recipe(*active, **settings):
    weights = {name: PublishedSettings(weight=float(name in active)) for name in RUN}
    return Recipe(objectives=weights, **settings)


def count_runs(model, forward):
    """Count how often each part of the model is run."""
    counts = Counter()
    names = {name for parts in RUN.values() for name in parts}
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: counts.update([name]))
        for name, module in model.named_modules()
        if name in names
    ]
    forward()
    for hook in hooks:
        hook.remove()
    return counts


def test_the_published_objectives_are_registered_in_their_order():
    assert list(OBJECTIVES)[:4] == list(RUN) == ["global", "local", "reconstruction", "report"]
    assert all(name == objective.name for name, objective in OBJECTIVES.items())


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_settings_are_frozen_have_defaults_and_begin_with_the_weight(objective):
    settings = objective.Settings()
    assert fields(settings)[0].name == "weight"
    assert settings.weight == float(objective.name in RUN)
    with pytest.raises(FrozenInstanceError):
        settings.weight = 2.0


def test_an_objective_that_is_not_published_has_no_weight_unless_it_is_given_one():
    assert Objective.Settings().weight == 0.0


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_that_is_no_weight_is_refused(weight):
    with pytest.raises(TrainingError, match="weight must be 0 or a positive number"):
        ObjectiveSettings(weight)


@pytest.mark.parametrize("name", RUN)
def test_nothing_is_run_that_the_one_objective_does_not_ask_for(name, small_model, batch):
    alignment = AlignmentObjective(small_model, make_recipe(name))
    assert count_runs(small_model, lambda: alignment(batch)) == Counter(RUN[name])


def test_objectives_share_the_passes(small_model, batch):
    """One masked pass, one pass of the report and one of its hidden words."""
    alignment = AlignmentObjective(small_model, make_recipe(*RUN))
    runs = count_runs(small_model, lambda: alignment(batch))
    assert runs == Counter(dict.fromkeys((part for parts in RUN.values() for part in parts), 1)) + Counter(["text"])


@pytest.mark.parametrize("name", RUN)
def test_an_objective_reads_what_it_needs(name, small_model, batch):
    passes = Passes(small_model, batch, "published")
    objective = OBJECTIVES[name](small_model.sizes, PublishedSettings())
    objective(passes)
    read = {need for member, need in MEMBERS.items() if member in vars(passes)}
    beyond = {Need.TARGET, Need.PATCHES} if name == "reconstruction" else set()  # its tokens, not projected
    beyond |= {Need.STUDY} if name == "report" else set()  # as a feature, not projected
    assert read | beyond == objective.needs


@pytest.mark.parametrize("fusion", FUSION_MODES)
@pytest.mark.parametrize("active", [*((name,) for name in RUN), tuple(RUN), ("global", "report")], ids="+".join)
def test_what_trains_is_what_gets_a_gradient(active, fusion, small_model, batch):
    """So that DDP need not search for parameters without one, and the printed count is true."""
    alignment = AlignmentObjective(small_model, make_recipe(*active, fusion=fusion))
    freeze_backbones(small_model)
    freeze_unreached(small_model, alignment.trains)
    alignment(batch).total.backward()
    for name, parameter in alignment.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize("active", [("reconstruction", "report"), ("report",)], ids="+".join)
def test_pretraining_trains_what_gets_a_gradient(active, small_model, batch):
    alignment = AlignmentObjective(small_model, as_pretraining(make_recipe("global", "local", *active)))
    assert [objective.name for objective in alignment.active] == list(active)
    train_backbones(small_model)
    freeze_unreached(small_model, alignment.trains)
    alignment(batch).total.backward()
    for name, parameter in alignment.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_the_published_recipe_trains_the_whole_published_set(small_model):
    alignment = AlignmentObjective(small_model, Recipe())
    published = freeze_backbones(small_model)
    freeze_unreached(small_model, alignment.trains)
    assert count_parameters(alignment) == published


def test_a_weight_counts_and_one_of_0_reads_0(small_model, batch):
    recipe = Recipe(
        objectives={
            "global": PublishedSettings(0.5),
            "local": PublishedSettings(2.0),
            "reconstruction": PublishedSettings(0.0),
            "report": PublishedSettings(0.0),
        }
    )
    losses = AlignmentObjective(small_model, recipe)(batch)
    assert list(losses.parts) == list(RUN)
    assert (losses.parts["reconstruction"], losses.parts["report"]) == (0, 0)
    torch.testing.assert_close(losses.total, 0.5 * losses.parts["global"] + 2 * losses.parts["local"])


def test_a_run_without_an_objective_is_refused(small_model):
    with pytest.raises(TrainingError, match="no objective has a weight above 0"):
        AlignmentObjective(small_model, make_recipe())


def test_temperatures_are_clamped_whatever_has_a_weight(small_model):
    names = ("logit_scale", "logit_scale_local1", "logit_scale_local2", "logit_scale_local3")
    with torch.no_grad():
        for name in names:
            getattr(small_model, name).fill_(9.0)
    AlignmentObjective(small_model, make_recipe("local")).clamp()
    assert [getattr(small_model, name).item() for name in names] == [pytest.approx(math.log(100))] * 4


class Noted(Objective):
    """A made-up objective with weights of its own, drawn at random."""

    name = "noted"
    needs = frozenset({Need.CAPTION})
    trains = frozenset()

    def __init__(self, sizes, settings):
        super().__init__(sizes, settings)
        self.weight = nn.Parameter(torch.randn(3))

    def forward(self, passes):
        return passes.caption.detach().sum() * self.weight.sum()

    def clamp(self):
        self.weight.clamp_(0, 1)


def test_own_weights_start_from_the_seed_of_the_recipe_and_draw_no_number_of_others(small_model, batch, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "noted", Noted)
    recipe = make_recipe("global")
    recipe = Recipe(objectives={**recipe.objectives, "noted": ObjectiveSettings(1.0)})
    before = torch.get_rng_state()
    first = AlignmentObjective(small_model, recipe)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    second = AlignmentObjective(small_model, recipe)
    assert torch.equal(first.own_weights()["objective.noted.weight"], second.own_weights()["objective.noted.weight"])
    assert Need.CAPTION in first.needs
    assert first(batch).parts["noted"] != 0
    with torch.no_grad():
        first.own_weights()["objective.noted.weight"].fill_(9.0)
    first.clamp()
    assert first.own_weights()["objective.noted.weight"].tolist() == [1.0, 1.0, 1.0]


def test_an_objective_that_has_no_weight_and_is_not_published_is_not_shown(small_model, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "noted", Noted)
    assert AlignmentObjective(small_model, Recipe()).shown == list(RUN)


def test_pretraining_refuses_an_objective_that_is_not_its_own(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "noted", Noted)
    with pytest.raises(TrainingError, match="pretraining has no objective noted"):
        as_pretraining(Recipe(objectives={"noted": ObjectiveSettings(1.0)}))
