"""Recipes that say only what differs from another one."""

from pathlib import Path

import pytest
import yaml

from h2g.errors import RecipeError
from h2g.recipes.preprocessing import PROFILES
from h2g.recipes.reading import dump_recipe, load_recipe


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\ndescription: a test\n{text}")
    return path


def test_only_what_differs_is_changed(tmp_path: Path) -> None:
    text = "extends: mob-pw-unet\npatch: {epochs: 3, augmentation: {flip: 0}}\n"
    recipe, parent = load_recipe(write(tmp_path, "mine", text)), load_recipe("mob-pw-unet")
    assert recipe.patch is not None
    assert (recipe.patch.epochs, recipe.patch.augmentation.flip) == (3, 0)
    back = {"epochs": 100, "augmentation": parent.patch.augmentation}
    assert recipe.patch.model_copy(update=back) == parent.patch
    assert recipe.refinement == parent.refinement
    assert recipe.preprocessing == parent.preprocessing


def test_name_description_and_paper_are_a_recipes_own(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "mine", "extends: mob-pw\n"))
    assert (recipe.name, recipe.description, recipe.paper) == ("mine", "a test", None)
    nameless = tmp_path / "nameless.yaml"
    nameless.write_text("extends: mob-pw\n")
    with pytest.raises(RecipeError, match="name: this key is missing"):
        load_recipe(nameless)


def test_null_switches_off_and_lists_replace(tmp_path: Path) -> None:
    text = "extends: mob-km-pw\nclustering: null\npatch: {loss: crossentropy}\n"
    text += "sampler: {order: [label]}\n"
    recipe = load_recipe(write(tmp_path, "mine", text))
    assert recipe.clustering is None
    assert recipe.sampler.order == ("label",)


def test_null_removes_inherited_classes_and_options(tmp_path: Path) -> None:
    text = "extends: mob-pw-doubleunet\nannotation: {classes: {tumour: null, benign: [cyst]}}\n"
    text += "refinement: {model: unet, options: {aspp_filters: null}}\n"
    recipe = load_recipe(write(tmp_path, "mine", text))
    assert recipe.class_names == ("background", "benign")
    assert recipe.refinement is not None
    assert recipe.refinement.options == {}


def test_a_section_that_was_off_is_switched_on(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "mine", "extends: otsu\npatch: {epochs: 2}\n"))
    assert recipe.patch is not None
    assert recipe.patch.epochs == 2


def test_files_are_relative_to_the_one_that_extends_them(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    write(tmp_path / "base", "first", "extends: second.yaml\nseed: 1\n")
    write(tmp_path / "base", "second", "extends: demo\nseed: 2\npatch: {epochs: 2}\n")
    recipe = load_recipe(write(tmp_path, "mine", "extends: base/first.yaml\n"), ("labels={}",))
    assert recipe.patch is not None
    assert (recipe.seed, recipe.patch.epochs, recipe.patch.batch_size) == (1, 2, 32)


def test_another_profile_brings_its_values(tmp_path: Path) -> None:
    """But for the size and the resolution of patches, as with --set preprocessing.profile."""
    base = write(tmp_path, "base", "preprocessing: {patch: {mpp: 2.0, tolerance: 0.2}}\n")
    text = f"extends: {base.name}\npreprocessing: {{profile: fast, tissue: {{threshold: 90}}}}\n"
    made = load_recipe(write(tmp_path, "mine", text)).preprocessing
    fast = PROFILES["fast"]
    assert made.tissue == fast.tissue.model_copy(update={"threshold": 90})
    assert made.patch == fast.patch.model_copy(update={"mpp": 2.0})
    assert made.low_resolution == fast.low_resolution


def test_the_same_profile_keeps_what_the_base_changed(tmp_path: Path) -> None:
    write(tmp_path, "base", "preprocessing: {profile: fast, tissue: {threshold: 90}}\n")
    text = "extends: base.yaml\npreprocessing: {profile: fast, patch: {mpp: 2.0}}\n"
    made = load_recipe(write(tmp_path, "mine", text)).preprocessing
    assert (made.tissue.threshold, made.patch.mpp) == (90, 2.0)


def test_a_resolved_recipe_extends_nothing(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "mine", "extends: demo\n"))
    assert "extends" not in yaml.safe_load(dump_recipe(recipe))


def test_a_circle_is_shown(tmp_path: Path) -> None:
    write(tmp_path, "b", "extends: c.yaml\n")
    write(tmp_path, "c", "extends: b.yaml\n")
    with pytest.raises(RecipeError, match=r"circle: \S+b\.yaml -> \S+c\.yaml -> \S+b\.yaml\. Take"):
        load_recipe(tmp_path / "b.yaml")
    with pytest.raises(RecipeError, match=r"a\.yaml: recipes extend each other"):
        load_recipe(write(tmp_path, "a", "extends: b.yaml\n"))


@pytest.mark.parametrize(
    ("extends", "sentence"),
    [
        ("mob-pv", "mine.yaml: extends mob-pv. No recipe 'mob-pv'. Did you mean 'mob-pw'?"),
        ("absent.yaml", "absent.yaml: the recipe cannot be read"),
        ("[mob-pw, demo]", "it takes the name of one shipped recipe"),
        ("null", "extends is None"),
    ],
)
def test_invalid_extensions_are_refused(tmp_path: Path, extends: str, sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(write(tmp_path, "mine", f"extends: {extends}\n"))
    assert sentence in str(error.value)


def test_a_mistake_is_reported_with_its_file(tmp_path: Path) -> None:
    write(tmp_path, "base", "patch: {epoch: 3}\n")
    with pytest.raises(RecipeError, match=r"base\.yaml: unknown key 'patch\.epoch'"):
        load_recipe(write(tmp_path, "mine", "extends: base.yaml\n"))
