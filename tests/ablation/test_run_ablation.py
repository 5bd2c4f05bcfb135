"""The ablation: plan, shared stages, failures, and tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from h2g.ablation import design_plan, run_ablation, scales
from h2g.ablation.design_record import read_record, write_record
from h2g.errors import RunError, WrongUseError
from h2g.folders.cohort import read_cohort
from h2g.folders.run import Run, open_run, start_run
from h2g.recipes.reading import load_recipe
from h2g.recipes.recipe import Recipe
from h2g.stages.evaluate_run import evaluate_run
from tests.stages.drawn_run import ColourNetworks, draw_run

# Settings for the drawn slides of drawn_run.
DRAWN = (
    "preprocessing.patch.size_px=64",
    "preprocessing.low_resolution.min_side_px=500",
    "refinement.input_px=250",
)


def plan(out: Path, *names: str, scale: str = "small", more: tuple[str, ...] = ()):
    overrides = scales.scale_overrides(scale, out, seed=3, more=more)
    names = names or tuple(design_plan.design_names())
    return design_plan.plan_designs(names, out, overrides=overrides, jobs=1)


@pytest.mark.parametrize("scale", scales.SCALES)
def test_designs_of_one_classifier_share_it_and_its_heatmaps(tmp_path: Path, scale: str) -> None:
    planned = plan(tmp_path, scale=scale)
    reused = {
        design.name: {
            folder: source.name
            for folder, source in design_plan.choose_sources(design.sources).items()
        }
        for design in planned
    }
    both = {"patch": "mob-pw-unet", "heatmaps": "mob-pw-unet"}
    assert reused == {
        "otsu": {},
        "unet-lr": {},
        "inc-pw": {},
        "mob-pw": {},
        "mob-km-pw": {},
        "mob-pw-unet": {"patch": "mob-pw"},
        "mob-pw-agunet": both,
        "mob-pw-dagunet": both,
        "mob-pw-doubleunet": both,
    }
    lines = design_plan.plan_lines(planned)
    assert lines[4].split() == ["V", "mob-km-pw", "prepare,", "cluster,", "patch"]
    stages = "prepare, patch (of mob-pw-unet), heatmaps (of mob-pw-unet), refinement"
    assert lines[8].endswith(stages)


def test_the_small_scale_equals_the_demo_and_the_paper_scale_the_recipes(tmp_path: Path) -> None:
    (small,) = plan(tmp_path, "mob-pw-unet")
    demo = load_recipe("demo")
    assert (small.recipe.patch, small.recipe.refinement) == (demo.patch, demo.refinement)
    assert small.recipe.preprocessing.patch.mpp == 2.0
    for design in plan(tmp_path, scale="paper"):
        assert design.recipe.model_copy(update={"seed": 0}) == load_recipe(design.name)
        assert design.recipe.seed == 3


def test_a_change_reaches_the_designs_that_have_the_section(tmp_path: Path) -> None:
    more = ("patch.epochs=2", "refinement.epochs=9")
    planned = {design.name: design.recipe for design in plan(tmp_path, more=more)}
    assert planned["unet-lr"].patch is None
    assert planned["unet-lr"].refinement is not None
    assert planned["unet-lr"].refinement.epochs == 9
    assert planned["inc-pw"].patch is not None
    assert planned["inc-pw"].patch.epochs == 2


def test_unknown_designs_and_clusters_without_their_classifier(tmp_path: Path) -> None:
    with pytest.raises(WrongUseError, match="There is no design 'demo'. Designs: otsu, unet-lr"):
        plan(tmp_path, "demo")
    with pytest.raises(WrongUseError, match="--design mob-pw --design mob-km-pw"):
        plan(tmp_path, "mob-km-pw")
    assert [design.name for design in plan(tmp_path, "mob-km-pw", "mob-pw")] == [
        "mob-pw",
        "mob-km-pw",
    ]
    assert plan(tmp_path, "mob-km-pw", scale="paper")


def test_a_failed_design_gets_a_row_and_is_tried_again(tmp_path: Path) -> None:
    cohort = read_cohort(draw_run(tmp_path / "drawn").cohort.path)
    out = tmp_path / "out"
    names = ("inc-pw", "mob-pw", "mob-pw-unet", "mob-pw-agunet")
    planned = plan(out, *names, scale="paper", more=DRAWN)
    for design in planned:
        start_run(design.folder, cohort, design.recipe)
    tried: list[str] = []

    def attempt(design: design_plan.Planned) -> str:
        tried.append(design.name)
        if design.name == "inc-pw" and tried.count("inc-pw") == 1:
            return "Not enough\nmemory."
        imitate(design)
        return ""

    table = run_ablation.run_designs(planned, out, title="drawn", attempt=attempt)
    assert table["design"][table["status"] != "done"].tolist() == ["inc-pw"]
    text = (out / "ablation.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    first = [row for row in rows if row[1:3] == ["III", "inc-pw"]][0]
    assert first[3:5] == ["", "0.881 ± 0.118"]
    assert first[-2] == "failed: Not enough memory."
    # The colour rule is correct on every pixel of every slide.
    unet = [row for row in rows if row[1:3] == ["VI", "mob-pw-unet"]]
    assert unet[0][7:9] == ["1.000 ± 0.000", "0.933 ± 0.069"]
    assert unet[0][9:11] == ["2.39 M + 11.57 M", "2.39 M + 11.58 M"]
    # Table 2 has the cohort's grades 1 and 2, each beside the paper's.
    assert unet[1][3:7] == ["1.000 ± 0.000", "0.936 ± 0.073", "1.000 ± 0.000", "0.931 ± 0.058"]
    # The smoothed heatmaps have a row without scores of the paper.
    assert any(row[2:3] == ["mob-pw, smoothed"] for row in rows)

    table = run_ablation.run_designs(planned, out, title="drawn", attempt=attempt)
    assert table["status"].eq("done").all()
    assert tried == [*names, "inc-pw"]
    assert (out / "comparison" / "dice.png").is_file()
    table = pd.read_csv(out / "ablation.csv").set_index("design")
    assert table["status"].eq("done").all()
    # Each takes 5 s to prepare; the classifier's 100 s are counted for every design that reuses it.
    assert table["seconds"].dropna().to_dict() == {
        "inc-pw": 105,
        "mob-pw": 105,
        "mob-pw-unet": 105 + 20 + 40,
        "mob-pw-agunet": 105 + 20 + 40,
    }
    assert table.loc["mob-pw-agunet", "seconds_here"] == 45


def test_one_test_slide_leaves_out_the_tests_of_pairs(tmp_path: Path) -> None:
    table = draw_run(tmp_path / "drawn").cohort.path
    slides = pd.read_csv(table)
    tested = slides.index[slides["split"] == "test"]
    slides.drop(tested[1:]).to_csv(table, index=False)
    planned = plan(tmp_path / "out", "inc-pw", "mob-pw", scale="paper", more=DRAWN)
    for design in planned:
        start_run(design.folder, read_cohort(table), design.recipe)

    def attempt(design: design_plan.Planned) -> str:
        imitate(design)
        return ""

    run_ablation.run_designs(planned, tmp_path / "out", title="drawn", attempt=attempt)
    text = (tmp_path / "out" / "ablation.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    assert [row[3:] for row in rows if row[1:2] == ["inc-pw"]] == [["", "", "", "", ""]]


def imitate(design: design_plan.Planned) -> None:
    """Writes a finished run of the design and its record, with invented seconds."""
    run = open_run(design.folder)
    refines = run.recipe.refinement is not None
    counts = {"patch": 2_386_686, "refinement": 11_572_562}
    papers = {"patch": 2_390_000, "refinement": 11_580_000}
    stages = [*counts] if refines else ["patch"]
    for stage in stages:
        run.model_file(stage).parent.mkdir(exist_ok=True)
        run.model_file(stage).write_text("the colour rule")
    evaluate_run(run, "test", open_network=ColourNetworks())
    sources = design_plan.choose_sources(design.sources)
    seconds_of = {"prepare": 5.0, "patch": 100.0, "heatmaps": 20.0, "refinement": 40.0}
    record = json.loads((run.path / "run.json").read_text())
    for stage, seconds in seconds_of.items():
        if stage in ("prepare", *stages) or (refines and stage == "heatmaps"):
            seconds = 0.0 if stage in sources else seconds
            record["stages"][stage] = {"seconds": seconds, "done": True}
    (run.path / "run.json").write_text(json.dumps(record))
    done = replace(
        read_record(run.path),
        status="done",
        reason="",
        reused={folder: source.name for folder, source in sources.items()},
        reused_seconds={
            folder: run_ablation.stage_seconds(source, folder) for folder, source in sources.items()
        },
        parameters={stage: counts[stage] for stage in stages},
        paper_parameters={stage: papers[stage] for stage in stages},
    )
    write_record(run.path, done)


def test_a_separate_process_returns_why_it_failed(tmp_path: Path) -> None:
    (design,) = plan(tmp_path, "otsu")
    assert "not a run folder" in run_ablation.in_own_process(design)


def test_a_damaged_record_is_reported(tmp_path: Path) -> None:
    (tmp_path / "ablation.json").write_text("{")
    with pytest.raises(RunError, match="ablation.json: cannot be read"):
        read_record(tmp_path)


def finished_run(folder: Path, cohort_of: Run, recipe: Recipe, *folders: str) -> Run:
    """A run with the files of the stages of these folders."""
    run = start_run(folder, read_cohort(cohort_of.cohort.path), recipe)
    for name in folders:
        (run.path / name).mkdir()
        file = {"patch": run.model_file("patch"), "heatmaps": run.heatmap_file("train_a")}.get(name)
        if file is not None:
            file.write_text(f"of {folder.name}")
        with run.stage(name):
            pass
    return run


def test_heatmaps_are_reused_only_with_their_classifier(tmp_path: Path) -> None:
    drawn = draw_run(tmp_path / "drawn")
    recipe = drawn.recipe
    first = finished_run(tmp_path / "first", drawn, recipe, "patch")
    second = finished_run(tmp_path / "second", drawn, recipe, "patch", "heatmaps")
    sources = {"patch": (first.path, second.path), "heatmaps": (second.path,)}

    third = finished_run(tmp_path / "third", drawn, recipe)
    copied = {"patch": second.path, "heatmaps": second.path}
    assert run_ablation.take_over(third, sources) == copied
    assert third.model_file("patch").read_text() == "of second"
    # A second call has nothing to copy.
    assert run_ablation.take_over(third, sources) == {}

    without = {"patch": sources["patch"], "heatmaps": (first.path,)}
    fourth = finished_run(tmp_path / "fourth", drawn, recipe)
    assert run_ablation.take_over(fourth, without) == {"patch": first.path}

    fifth = finished_run(tmp_path / "fifth", drawn, recipe, "patch")
    assert run_ablation.take_over(fifth, sources) == {}
    assert not (fifth.path / "heatmaps").exists()
