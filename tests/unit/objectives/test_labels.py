"""The label contrast and the distillation: which reports fit a study, what they train, what they ask for."""

from dataclasses import replace

import pytest
import torch
from tolerances import FLOAT32
from torch.nn import functional as F

from alta_sdk import TrainingError
from alta_sdk.engine.manifest import FUSION_MODES
from alta_training.data.batches import UNKNOWN_CLAIM
from alta_training.data.needs import Need
from alta_training.losses import contrast_by_labels
from alta_training.model.trainable import freeze_backbones, freeze_unreached
from alta_training.objectives.alignment import AlignmentObjective
from alta_training.objectives.contract import PublishedSettings
from alta_training.objectives.distillation import DistillationSettings
from alta_training.objectives.passes import Passes
from alta_training.recipe import ObjectiveSettings, Recipe

WIDTH = 12  # of the teacher's vectors of the fixture `batch`


def make_label_recipe(more=(), **settings):
    others = {name: PublishedSettings(0.0) for name in ("global", "local", "reconstruction", "report")}
    own = {"label": ObjectiveSettings(0.5), "distillation": DistillationSettings(2.0, width=WIDTH)}
    return Recipe(objectives={**others, **own, **dict(more)}, **settings)


def find_fitting(found, claimed):
    """One study, one report and one claim at a time."""
    fits = [[True] * len(claimed) for _ in found]
    for study, labels in enumerate(found):
        for report, claims in enumerate(claimed):
            if study == report:
                continue
            for label, claim in zip(labels, claims, strict=True):
                is_known = claim != UNKNOWN_CLAIM
                if not is_known or claim == 1 and not label or claim == -1 and label:
                    fits[study][report] = False
    return fits


@pytest.mark.parametrize("seed", range(20))
def test_a_report_fits_where_no_label_contradicts_it(small_model, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    studies, findings = 9, 4
    found = torch.randint(0, 2, (studies, findings), generator=generator, dtype=torch.int8)
    claimed = torch.randint(-1, 2, (studies, findings), generator=generator, dtype=torch.int8)
    claimed[torch.rand(studies, findings, generator=generator) < 0.5] = 0
    claimed[0], claimed[1] = UNKNOWN_CLAIM, 0
    fits = Passes(small_model, replace(batch, found=found, claimed=claimed), "frontal").fits
    assert fits.tolist() == find_fitting(found.tolist(), claimed.tolist())
    assert fits[:, 0].sum() == 1 and fits[0, 0]  # what is said beyond labels fits its own study alone
    assert fits[:, 1].all()  # what claims nothing contradicts none
    with torch.autocast("cpu", torch.bfloat16):  # counts stay whole numbers
        again = Passes(small_model, replace(batch, found=found, claimed=claimed), "frontal").fits
    assert torch.equal(again, fits)


def test_the_objective_is_its_loss_over_these_reports(small_model, batch):
    passes = Passes(small_model, batch, "frontal")
    losses = AlignmentObjective(small_model, make_label_recipe(fusion="frontal"))(batch)
    expected = contrast_by_labels(passes.study, passes.report, small_model.logit_scale.exp(), passes.fits)
    torch.testing.assert_close(losses.parts["label"], expected, **FLOAT32)  # CLS alone is run there
    torch.testing.assert_close(losses.total, 0.5 * losses.parts["label"] + 2 * losses.parts["distillation"])


def test_distillation_maps_reports_to_the_width_of_the_recipe(small_model, batch):
    alignment = AlignmentObjective(small_model, make_label_recipe())
    own = alignment.own_weights()
    weight, bias = (own[f"objective.distillation.to_teacher.{name}"] for name in ("weight", "bias"))
    assert weight.shape == (WIDTH, small_model.sizes.text.embedding)
    mapped = Passes(small_model, batch, "published").report @ weight.T + bias
    expected = (1 - F.cosine_similarity(mapped, batch.teacher, dim=1)).mean()
    torch.testing.assert_close(alignment(batch).parts["distillation"], expected)


@pytest.mark.parametrize("fusion", FUSION_MODES)
@pytest.mark.parametrize("beside", ["local", "report", None])
def test_what_trains_is_what_gets_a_gradient(small_model, batch, fusion, beside):
    more = {beside: PublishedSettings()} if beside else {}
    alignment = AlignmentObjective(small_model, make_label_recipe(more, fusion=fusion))
    freeze_backbones(small_model, text_tower="whole")
    freeze_unreached(small_model, alignment.trains)
    alignment(batch).total.backward()
    for name, parameter in alignment.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_labels_and_a_teacher_are_asked_for_only_where_they_are_read(small_model):
    recipe = make_label_recipe()
    assert {Need.LABELS, Need.TEACHER} <= AlignmentObjective(small_model, recipe).needs
    plain = AlignmentObjective(small_model, Recipe())
    assert not {Need.LABELS, Need.TEACHER} & plain.needs
    assert not {"label", "distillation"} & set(plain.shown)


@pytest.mark.parametrize("width", [0, -3])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(TrainingError, match="width must be at least 1"):
        DistillationSettings(1.0, width=width)
