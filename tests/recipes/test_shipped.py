"""The shipped recipes against the paper's numbers."""

import pytest

from h2g.recipes.recipe import (
    ClusteringSettings,
    PatchStage,
    Recipe,
    RefinementStage,
    load_recipe,
    recipe_names,
    recipe_text,
)


def test_the_papers_designs_are_the_papers():
    # The fields' defaults are the paper's values.
    for name, refinement in (("mob-pw", None), ("mob-pw-unet", RefinementStage())):
        recipe = load_recipe(name)
        paper = Recipe(name=name, description=recipe.description, refinement=refinement)
        assert recipe == paper


def test_the_cluster_guided_design_is_the_papers():
    recipe = load_recipe("mob-km-pw")
    paper = Recipe(
        name="mob-km-pw",
        description=recipe.description,
        clustering=ClusteringSettings(),
        patch=PatchStage(loss="cwce"),
    )
    assert recipe == paper
    clustering = recipe.clustering
    assert clustering is not None
    assert (clustering.batches, clustering.batch_size, clustering.clusters) == (100, 32, 10)
    assert (clustering.features, clustering.weights) == ("vgg16", "imagenet")
    assert (clustering.variance, clustering.whiten) == (0.95, False)


def test_the_demo_covers_256_um_and_the_papers_low_resolution():
    recipe = load_recipe("demo")
    patch = recipe.preprocessing.patch
    assert patch.mpp * patch.size_px == 256
    assert recipe.preprocessing.low_resolution.min_side_px == 1024
    assert recipe.patch.steps_per_epoch * recipe.patch.epochs == 350
    assert recipe.refinement is not None
    assert recipe.refinement.steps_per_epoch * recipe.refinement.epochs == 300
    filters = recipe.refinement.options["filters"]
    assert recipe.refinement.input_px % 2 ** (len(filters) - 1) == 0


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_opens_with_what_it_reproduces_costs_and_measured(name):
    text = recipe_text(name)
    for word in ("# Reproduces:", "# Costs:", "# Measured:"):
        assert text.index(word) < text.index("\nname:")
