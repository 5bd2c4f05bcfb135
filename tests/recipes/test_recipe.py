from pathlib import Path

import pytest
import yaml

from h2g.errors import RecipeError
from h2g.recipes.paper import mean_sd
from h2g.recipes.preprocessing import PROFILES, Preprocessing
from h2g.recipes.reading import (
    dump_recipe,
    load_recipe,
    recipe_names,
    setting_differences,
    validate_recipe,
)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndescription: a test\n" + text)
    return path


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_load_and_round_trip(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    again = validate_recipe(yaml.safe_load(dump_recipe(recipe)), source="copy")
    assert again == recipe


def test_defaults_are_the_papers(tmp_path):
    recipe = load_recipe(write(tmp_path, "refinement: {}\n"))
    assert recipe.preprocessing.tissue.threshold == 20
    assert recipe.preprocessing.tissue.closing_px == (5, 3)
    assert (recipe.preprocessing.patch.size_px, recipe.preprocessing.patch.mpp) == (256, 1.0)
    assert (recipe.patch.steps_per_epoch, recipe.patch.validation_steps) == (500, 200)
    assert recipe.patch.learning_rate == 1e-4
    assert recipe.refinement is not None
    assert (recipe.refinement.batch_size, recipe.refinement.accumulation_steps) == (4, 6)


def test_a_profile_gives_what_the_recipe_leaves_out(tmp_path):
    text = "preprocessing:\n  profile: fast\n  patch: {mpp: 2.0}\n"
    preprocessing = load_recipe(write(tmp_path, text)).preprocessing
    assert preprocessing.tissue.rule == "white-distance"
    assert preprocessing.low_resolution.level == "fast-4.9"
    assert preprocessing.fast_version == "4.9"
    assert (preprocessing.patch.mpp, preprocessing.patch.min_tissue) == (2.0, 0.5)


def test_overrides(tmp_path):
    recipe = load_recipe(write(tmp_path, ""), ("patch.epochs=3", "seed=7", "patch.patience=2"))
    assert (recipe.patch.epochs, recipe.seed, recipe.patch.patience) == (3, 7, 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("patch: {epoch: 3}\n", "unknown key 'patch.epoch'; did you mean 'epochs'"),
        ("refinement: {augmentation: {flips: 1}}\n", "did you mean 'flip'"),
        ("pach: {}\n", "unknown key 'pach'; did you mean 'patch'"),
        ("patch: {epochs: many}\n", "patch.epochs: .*integer"),
        ("labels: {min_class: 3}\n", "labels.min_class: .*less than or equal to 1"),
        ("sampler: {order: [grade, grade]}\n", "names a level twice"),
        ("sampler: 3\n", "sampler: input should be a mapping of keys to values"),
        ("preprocessing: {tissue: {closing_px: 3}}\n", "closing_px: input should be a list"),
        (
            "patch: {class_weights: 3}\n",
            "class_weights: input should be 'none' .*, or .* a mapping",
        ),
        ("patch: {class_weights: {tumour: -1}}\n", "class_weights.tumour: .*greater than 0"),
        ("refinement: {cross_fit: 2, inputs: image}\n", "refinement: cross_fit makes heatmaps"),
        (
            "patch: {cells: 4}\n",
            "patch: cells 4: a network with answer class gives one cell per patch;",
        ),
        (
            "patch: {answer: mask, class_weights: balanced}\n",
            "patch: class_weights weighs whole patches, but a network with answer mask is trained",
        ),
        (
            "patch: {answer: mask, loss: cwce-literal}\nclustering: {}\n",
            "patch: cwce-literal weighs whole patches, .* on pixels; leave it out",
        ),
        (
            "patch: {answer: mask, cells: 7}\n"
            "preprocessing: {patch: {size_px: 64, margin_px: 8}}\n",
            "patch.cells 7 does not divide the 48 px of a patch without its margins",
        ),
        (
            "preprocessing: {patch: {size_px: 64, margin_px: 32}}\n",
            "patch: margin_px 32 on both sides leaves nothing of size_px 64",
        ),
        ("preprocessing: {patch: {margin_px: -1}}\n", "margin_px: .*greater than or equal to 0"),
        ("patch: {answer: mask, cells: 0}\n", "patch.cells: .*greater than or equal to 1"),
        ("paper: {source: A}\n", "paper.table: this key is missing"),
        ("patch: [", "not valid YAML"),
    ],
)
def test_mistakes_are_reported_with_their_key(tmp_path, text, sentence):
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize("cells", [1, 6, 48])
def test_cells_that_divide_a_patch_without_its_margins(tmp_path, cells):
    text = (
        f"patch: {{model: tile_unet, answer: mask, cells: {cells}}}\n"
        "preprocessing: {patch: {size_px: 64, margin_px: 8}}\n"
    )
    recipe = load_recipe(write(tmp_path, text))
    assert recipe.patch.cells == cells
    assert recipe.preprocessing.patch.step_px == 48


def test_unknown_recipe_lists_the_names(tmp_path):
    with pytest.raises(RecipeError, match="Did you mean 'demo'.*mob-pw-unet"):
        load_recipe("dmo")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "absent.yaml")


@pytest.mark.parametrize("override", ["epochs", "patch.epochs=[", "patch.nothing=1"])
def test_wrong_overrides(tmp_path, override):
    with pytest.raises(RecipeError):
        load_recipe(write(tmp_path, ""), (override,))


def test_another_profile_changes_all_but_size_and_resolution_of_patches():
    overrides = ("preprocessing.patch.min_tissue=0.4", "preprocessing.profile=fast")
    recipe = load_recipe("mob-pw", (*overrides, "preprocessing.patch.mpp=2.0"))
    fast = PROFILES["fast"]
    assert recipe.preprocessing.profile == "fast"
    assert recipe.preprocessing.tissue == fast.tissue
    assert recipe.preprocessing.low_resolution == fast.low_resolution
    changed = {"mpp": 2.0, "size_px": 256, "min_tissue": 0.4}
    assert recipe.preprocessing.patch == fast.patch.model_copy(update=changed)
    with pytest.raises(RecipeError, match=r"preprocessing\.profile: input should be 'paper', 'f"):
        load_recipe("mob-pw", ("preprocessing.profile=fsat",))


def test_the_former_rule_fast_is_fast_4_15(tmp_path: Path) -> None:
    """Runs and bundles from before FAST's versions were told apart keep their meaning."""
    old = {
        "profile": "fast",
        "tissue": {"rule": "white-distance", "threshold": 85, "closing_px": [9], "mpp": None},
        "patch": {"rule": "fast", "min_tissue": 0.5},
        "low_resolution": {"level": "coarsest"},
    }
    expected = PROFILES["fast-4.15"]
    assert Preprocessing.model_validate(old) == expected
    recipe = write(tmp_path, yaml.safe_dump({"preprocessing": old}))
    assert load_recipe(recipe).preprocessing == expected


def test_differences_of_settings():
    old = {"seed": 0, "patch": {"epochs": 5, "model": "a"}, "refinement": {"epochs": 2}}
    new = {"seed": 0, "patch": {"epochs": 7, "model": "a"}, "refinement": None}
    assert setting_differences(old, new) == [
        ("patch.epochs", 5, 7),
        ("refinement", {"epochs": 2}, None),
    ]
    assert setting_differences({}, {"added": 1}, section="patch") == [("patch.added", None, 1)]


def test_a_paper_reports_the_metrics_it_names(tmp_path: Path) -> None:
    text = "paper: {source: A. 2023, table: Table 3, row: Net, metrics: {miou: 0.8, f1: [0.7, 0.1]}"
    paper = load_recipe(write(tmp_path, text + "}\n")).paper
    assert paper is not None
    assert {name: mean_sd(score) for name, score in paper.metrics.items()} == {
        "miou": (0.8, None),
        "f1": (0.7, 0.1),
    }
    assert paper.design is None


def test_the_paper_of_an_older_run_is_the_same_row() -> None:
    """A run compares its recipe with the one it is resumed with."""
    recipe = load_recipe("mob-pw")
    document = yaml.safe_load(dump_recipe(recipe))
    document["paper"] = {
        "design": "IV",
        "label": "Mob-PW",
        "recall": [0.879, 0.123],
        "precision": [0.907, 0.1],
        "dice": [0.885, 0.094],
        "dice_by_grade": {"I": [0.887, 0.089], "II": [0.882, 0.092], "III": [0.89, 0.1]},
    }
    assert validate_recipe(document, source="run/recipe.yaml") == recipe
