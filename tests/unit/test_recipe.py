"""Recipes: published defaults, overrides, and what is refused."""

from dataclasses import asdict
from pathlib import Path

import pytest

from alta_sdk import TrainingError
from alta_training.data.batches import learning_rate_at
from alta_training.objectives import OBJECTIVES
from alta_training.recipe import Recipe
from alta_training.run.recipe_files import read_recipe, write_recipe

PUBLISHED = ("global", "local", "reconstruction", "report")
RECIPES = Path(__file__).parents[2] / "training" / "alta_training" / "recipes"
ARMS = tuple(RECIPES.glob("*-arms*.toml"))  # name recipes, and are none


def test_the_published_recipe_is_the_default():
    recipe, towers = read_recipe(RECIPES / "published.toml")
    assert (recipe, towers) == read_recipe(None) == (Recipe(objectives=recipe.objectives), {})
    assert {name: settings.weight for name, settings in recipe.objectives.items()} == {
        name: float(name in PUBLISHED) for name in OBJECTIVES
    }


@pytest.mark.parametrize("path", sorted(set(RECIPES.glob("*.toml")) - set(ARMS)), ids=lambda path: path.stem)
def test_every_recipe_can_be_read_and_written_again(path, tmp_path):
    recipe, _ = read_recipe(path)
    write_recipe(recipe, tmp_path / "again.toml")
    assert read_recipe(tmp_path / "again.toml")[0] == recipe


def test_every_value_can_be_overridden(tmp_path):
    recipe, towers = read_recipe(None, ["batch=8", "fusion=present", "base_learning_rate=1e-3", "tower.width=64"])
    assert (recipe.batch, recipe.fusion, recipe.base_learning_rate) == (8, "present", 1e-3)
    assert towers == {"width": 64}
    assert set(asdict(recipe)) == set(asdict(Recipe()))


def test_a_table_of_an_objective_may_be_given_in_the_file_and_on_the_command_line(tmp_path):
    tables = "[objectives.local]\nweight = 0.5\n[objectives.report]\nweight = 0\n"
    (tmp_path / "recipe.toml").write_text(f"batch = 8\n{tables}")
    recipe, _ = read_recipe(tmp_path / "recipe.toml", ["objectives.report.weight=0.25", "objectives.global.weight=2"])
    weights = {name: recipe.objectives[name].weight for name in PUBLISHED}
    assert weights == {"global": 2.0, "local": 0.5, "reconstruction": 1.0, "report": 0.25}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_flat_weight_of_before_is_refused_with_its_new_name(name, tmp_path):
    (tmp_path / "recipe.toml").write_text(f"{name}_weight = 0.5\n")
    for given in ((tmp_path / "recipe.toml", []), (None, [f"{name}_weight=0.5"])):
        with pytest.raises(TrainingError, match=rf"{name}_weight is now objectives\.{name}\.weight") as refused:
            read_recipe(*given)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("bach=8", "unknown keys: bach"),
        ("batch=many", "batch must be a whole number, such as 256"),
        ("batch=0", "batch must be at least 1"),
        ("image_mask=1.0", "image_mask"),
        ("fusion=mean", "fusion must be one of"),
        ("precision=fp8", "precision must be one of"),
        ("accumulate=3", "divisor"),
        ("batch", "name=value"),
        ("adapter=lora", "adapter must be one of bottleneck"),
        ("objectives.locla.weight=1", "unknown objectives: locla; known: global, local, reconstruction, report"),
        ("objectives.local.wieght=1", r"\[objectives.local\] recipe has unknown keys: wieght; known: weight"),
        ("objectives.local.weight=-1", r"\[objectives.local\] recipe: weight must be 0 or a positive number"),
        ("objectives.local.weight=nan", "weight must be 0 or a positive number"),
        ("objectives.local.weight=heavy", "weight must be a number, such as 1.0"),
        ("objectives.local=1", "objectives.local must be a table: write objectives.local.weight"),
        ("objectives=1", "objectives must be a table"),
        ("tower=1", "tower must be a table"),
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objectives.local.weight=1" + "0" * 400, "weight is too large"),
        ("seed=-1", "seed must be not negative"),
        ("fusion=" + "[" * 5000, "fusion must be one of"),
    ],
)
def test_absurd_values_are_refused_in_one_line(override, message):
    with pytest.raises(TrainingError, match=message) as refused:
        read_recipe(None, [override])
    assert "\n" not in str(refused.value)


def test_a_recipe_nested_without_end_is_refused(tmp_path):
    (tmp_path / "deep.toml").write_text("a = " + "[" * 5000, encoding="utf-8")
    with pytest.raises(TrainingError, match=r"deep\.toml cannot be read"):
        read_recipe(tmp_path / "deep.toml")


def test_a_text_with_quotes_is_written_so_that_it_can_be_read(tmp_path):
    recipe, _ = read_recipe(None, ["intensity_profile='a\"b\\'"])
    write_recipe(recipe, tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml")[0] == recipe
