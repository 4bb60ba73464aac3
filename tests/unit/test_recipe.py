"""Recipes: published defaults, overrides, and what is refused."""

from dataclasses import asdict
from pathlib import Path

import pytest

from alta_sdk import TrainingError
from alta_training.data.batches import learning_rate_at
from alta_training.recipe import Recipe, read_recipe, write_recipe

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def test_the_published_recipe_is_the_default():
    assert read_recipe(RECIPES / "published.toml") == (Recipe(), {})


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read_and_written_again(path, tmp_path):
    recipe, _ = read_recipe(path)
    write_recipe(recipe, tmp_path / "again.toml")
    assert read_recipe(tmp_path / "again.toml")[0] == recipe


def test_every_value_can_be_overridden(tmp_path):
    recipe, towers = read_recipe(None, ["batch=8", "fusion=present", "base_learning_rate=1e-3", "tower.width=64"])
    assert (recipe.batch, recipe.fusion, recipe.base_learning_rate) == (8, "present", 1e-3)
    assert towers == {"width": 64}
    assert set(asdict(recipe)) == set(asdict(Recipe()))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("bach=8", "unknown keys: bach"),
        ("batch=many", "batch must be a int"),
        ("batch=0", "batch must be at least 1"),
        ("image_mask=1.0", "image_mask"),
        ("fusion=mean", "fusion must be one of"),
        ("precision=fp8", "precision must be one of"),
        ("accumulate=3", "divisor"),
        ("batch", "name=value"),
    ],
)
def test_a_wrong_setting_is_refused(override, message):
    with pytest.raises(TrainingError, match=message):
        read_recipe(None, [override])


def test_the_learning_rate_warms_up_and_follows_a_cosine():
    recipe = Recipe()
    assert learning_rate_at(recipe, 0) == 0
    assert learning_rate_at(recipe, 5) == pytest.approx(0.75e-4)
    assert learning_rate_at(recipe, 10) == pytest.approx(1.5e-4)
    assert learning_rate_at(recipe, 55) == pytest.approx(0.75e-4)
    assert learning_rate_at(recipe, 100) == pytest.approx(0)
