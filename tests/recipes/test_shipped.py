"""The shipped recipes against the paper's numbers."""

import pytest

from h2g.recipes.clustering import ClusteringSettings
from h2g.recipes.paper import mean_sd
from h2g.recipes.patch import PatchStage
from h2g.recipes.reading import load_recipe, recipe_names, recipe_text, shipped_recipes
from h2g.recipes.recipe import Recipe
from h2g.recipes.refinement import RefinementStage

# Pedersen et al. 2022, Tables 1 and 2: recall, precision and Dice, then Dice of grades I, II, III;
# mean and standard deviation.
TABLES = """
I    otsu              .990 .027 .534 .200 .669 .179  .732 .151 .659 .186 .664 .174
II   unet-lr           .931 .113 .851 .165 .874 .128  .880 .127 .862 .142 .890 .099
III  inc-pw            .881 .118 .909 .099 .887 .089  .901 .072 .882 .088 .890 .095
IV   mob-pw            .879 .123 .907 .100 .885 .094  .887 .089 .882 .092 .890 .100
V    mob-km-pw         .853 .124 .909 .097 .872 .092  .851 .111 .872 .089 .880 .088
VI   mob-pw-unet       .944 .074 .929 .088 .933 .069  .936 .073 .931 .058 .935 .083
VII  mob-pw-agunet     .954 .066 .909 .097 .927 .072  .933 .082 .926 .060 .927 .083
VIII mob-pw-dagunet    .942 .075 .922 .091 .928 .072  .935 .075 .926 .058 .929 .088
IX   mob-pw-doubleunet .949 .073 .919 .093 .929 .074  .942 .070 .924 .066 .934 .085
"""
ROWS = {
    name: (design, numbers) for design, name, *numbers in map(str.split, TABLES.strip().split("\n"))
}
# Which networks a design has, and what they see.
STAGES = {
    "otsu": (None, ("otsu", "image")),
    "unet-lr": (None, ("unet", "image")),
    "inc-pw": ("inception_v3", None),
    "mob-pw": ("mobilenet_v2", None),
    "mob-km-pw": ("mobilenet_v2", None),
    "mob-pw-unet": ("mobilenet_v2", ("unet", "both")),
    "mob-pw-agunet": ("mobilenet_v2", ("agu_net", "both")),
    "mob-pw-dagunet": ("mobilenet_v2", ("dagu_net", "both")),
    "mob-pw-doubleunet": ("mobilenet_v2", ("doubleu_net", "both")),
}
# The paper's choices that every design shares, by their path in the recipe (sections 2.2, 2.3,
# 3.4); what a design does not have is None on the way.
PAPER = {
    "preprocessing.tissue.rule": "saturation",
    "preprocessing.tissue.threshold": 20,
    "preprocessing.tissue.closing_px": (5, 3),
    "preprocessing.patch.mpp": 1.0,
    "preprocessing.patch.size_px": 256,
    "preprocessing.patch.min_tissue": 0.25,
    "preprocessing.low_resolution.min_side_px": 1024,
    "labels.min_class": 0.25,
    "sampler.order": ("grade", "slide", "label"),
    "patch.weights": "imagenet",
    "patch.batch_size": 64,
    "patch.steps_per_epoch": 500,
    "patch.validation_steps": 200,
    "patch.epochs": 100,
    "patch.learning_rate": 1e-4,
    "patch.workers": 8,
    "patch.augmentation.flip": 0.5,
    "patch.augmentation.rotate": 0.5,
    "patch.augmentation.colour": 0.5,
    "patch.augmentation.hue_shift": 20,
    "patch.augmentation.saturation_shift": 20,
    "patch.augmentation.brightness": 0.5,
    "patch.augmentation.brightness_range": (0.8, 1.2),
    "refinement.input_px": 1024,
    "refinement.batch_size": 4,
    "refinement.accumulation_steps": 6,
    "refinement.epochs": 1000,
    "refinement.patience": 100,
    "refinement.learning_rate": 1e-3,
    "refinement.augmentation.flip": 0.5,
    "refinement.augmentation.rotate": 0.5,
    "refinement.augmentation.zoom": 0.5,
    "refinement.augmentation.zoom_range": (0.8, 1.2),
    "refinement.augmentation.stain": 0.5,
    "refinement.augmentation.stain_sigma": (0.1, 0.1),
}


def value(recipe: Recipe, path: str):
    found = recipe
    for part in path.split("."):
        found = None if found is None else getattr(found, part)
    return found


def test_the_nine_designs_are_in_the_papers_order():
    names = [recipe.name for recipe in shipped_recipes()]
    assert names[:9] == list(ROWS)
    assert all(load_recipe(name).paper is None for name in names[9:])


@pytest.mark.parametrize("name", ROWS)
def test_a_design_carries_the_papers_row(name):
    design, printed = ROWS[name]
    paper = load_recipe(name).paper
    assert paper is not None
    assert paper.design == design
    assert [*paper.metrics] == ["recall", "precision", "dice"]
    assert [*paper.by_grade] == ["dice"]
    assert [*paper.by_grade["dice"]] == ["I", "II", "III"]
    scores = (*paper.metrics.values(), *paper.by_grade["dice"].values())
    assert [n for score in scores for n in mean_sd(score)] == [float(text) for text in printed]
    words = " ".join(recipe_text(name).replace("#", " ").split())
    assert f'"{paper.row}"' in words
    assert f"Dice 0{printed[4]}" in words


@pytest.mark.parametrize("name", ROWS)
def test_a_design_is_the_papers(name):
    recipe = load_recipe(name)
    patch, refinement = STAGES[name]
    assert value(recipe, "patch.model") == patch
    assert (recipe.refinement and (recipe.refinement.model, recipe.refinement.inputs)) == refinement
    for path, wanted in PAPER.items():
        if value(recipe, path.split(".")[0]) is not None:
            assert value(recipe, path) == wanted, path
    # Whatever else there is, is what the fields' defaults say of the paper.
    paper = Recipe(
        name=name,
        description=recipe.description,
        paper=recipe.paper,
        clustering=ClusteringSettings() if name == "mob-km-pw" else None,
        patch=PatchStage(model=patch, loss=recipe.patch.loss) if patch else None,
        refinement=RefinementStage(
            model=refinement[0], inputs=refinement[1], options=recipe.refinement.options
        )
        if refinement
        else None,
    )
    assert recipe == paper


def test_options_are_the_papers_networks():
    """No options but the one in which the paper's text and its parameter count disagree."""
    options = {
        name: {**(recipe.patch.options if recipe.patch else {}), **recipe.refinement.options}
        for name in ROWS
        if (recipe := load_recipe(name)).refinement is not None
    }
    assert options.pop("mob-pw-doubleunet") == {"aspp_filters": 32}
    assert not any(options.values())


def test_the_cluster_guided_design_is_the_papers():
    recipe = load_recipe("mob-km-pw")
    assert recipe.patch is not None
    assert recipe.patch.loss == "cwce"
    clustering = recipe.clustering
    assert clustering is not None
    assert (clustering.batches, clustering.batch_size, clustering.clusters) == (100, 32, 10)
    assert (clustering.features, clustering.weights) == ("vgg16", "imagenet")
    assert (clustering.variance, clustering.whiten) == (0.95, False)


def test_stage_one_is_the_same_value_where_it_can_be_shared():
    """What --reuse-stage compares: the classifier of design IV serves VI to IX."""
    shared = ("seed", "preprocessing", "annotation", "labels", "sampler", "clustering", "patch")
    wanted = load_recipe("mob-pw")
    for name in ("mob-pw-unet", "mob-pw-agunet", "mob-pw-dagunet", "mob-pw-doubleunet"):
        recipe = load_recipe(name)
        for section in shared:
            assert getattr(recipe, section) == getattr(wanted, section), (name, section)


def test_the_demo_covers_256_um_and_the_papers_low_resolution():
    recipe = load_recipe("demo")
    patch = recipe.preprocessing.patch
    assert patch.mpp * patch.size_px == 256
    assert recipe.preprocessing.low_resolution.min_side_px == 1024
    assert recipe.patch is not None
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
