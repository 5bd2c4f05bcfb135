"""The report on a run's network for tiles, made again only if its inputs have changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from h2g.data.masks import Masks
from h2g.data.patch_index import read_patch_index
from h2g.data.patch_source import slide_patches
from h2g.evaluation.confusion import Confusion, count_pixels, majority
from h2g.evaluation.tile_tables import TileCounts, write_tile_report
from h2g.files import file_sha256
from h2g.folders.cohort import CohortSlide, Split
from h2g.slides.reading import PatchPlan
from h2g.stages.slide_scoring import Evaluator, annotation_sha256, per_slide, stored_document


def report_tiles(evaluator: Evaluator, split: Split, folder: Path) -> None:
    """Writes the report on the tiles of a split into ``folder``, if its slides are indexed.

    A tile's answer is compared with its mask, both in the cells of the heatmap. With as many cells
    as a tile has pixels, these are the pixels themselves.
    """
    run = evaluator.run
    rows = [row for row in run.cohort.split(split) if run.index_file(row.name).is_file()]
    key = {
        "made_of": evaluator.made_of,
        "annotations": {row.name: annotation_sha256(row) for row in rows},
        "indexes": {row.name: file_sha256(run.index_file(row.name)) for row in rows},
    }
    if not rows or stored_document(folder / "tiles.json", key) is not None:
        return
    masks = Masks({row.name: row for row in rows}, run.recipe)

    def count(member: CohortSlide) -> TileCounts:
        heatmap, index = evaluator.heatmap(member), read_patch_index(run.index_file(member.name))
        slide, places = slide_patches(member, index), index.table[["row", "col"]].to_numpy()
        tiles = [
            _count_tile(
                heatmap.of_patch(row, col, slide.plan), masks.draw(slide, patch), slide.plan
            )
            for patch, (row, col) in enumerate(places)
        ]
        return TileCounts(member.name, tuple(tile for tile in tiles if tile.counts.any()))

    counted, _ = per_slide(evaluator, rows, count, f"tiles of {split}")
    counted = [slide for slide in counted if slide.tiles]
    if counted:
        names = run.recipe.class_names
        write_tile_report(counted, folder, split=split, class_names=names, key=key)


def _count_tile(answer: np.ndarray, mask: np.ndarray, plan: PatchPlan) -> Confusion:
    """
    Args:
        answer: (s, s, C) probabilities.
        mask: (S, S) labels of the tile with its margins.
    """
    inner = slice(plan.margin_px, plan.size_px - plan.margin_px)
    truth = majority(mask[inner, inner], len(answer), answer.shape[-1])
    return count_pixels(answer.argmax(axis=-1), truth, answer.shape[-1])
