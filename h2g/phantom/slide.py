"""Plans, renders and writes one slide of a cohort, with its annotation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from h2g.files import replacing, write_text
from h2g.phantom.anatomy import Anatomy
from h2g.phantom.cells import draw_stamps, scatter_cells
from h2g.phantom.frame import Frame
from h2g.phantom.matching import matched_grounds
from h2g.phantom.optics import Scan
from h2g.phantom.outlines import annotation_document, outline_polygons
from h2g.phantom.plan import Plan, plan_slide
from h2g.phantom.render import Renderer
from h2g.phantom.writing import Suffix, write_slide


@dataclass(frozen=True)
class SlideOptions:
    """All values that a slide's bytes depend on."""

    name: str
    number: int  # in the cohort, from 0; with the seed it determines all random choices
    seed: int
    grade: int
    size_px: tuple[int, int]
    mpp: float
    suffix: Suffix
    anatomy: Anatomy
    as_scanned: bool = False  # see plan_slide


@dataclass(frozen=True)
class Drawn:
    """A slide's plan and scan; ``rng`` determines everything that is drawn later."""

    plan: Plan
    scan: Scan
    rng: np.random.Generator


def draw_plan(options: SlideOptions) -> Drawn:
    """Draws the plan of a slide, which holds its truth, without pixels."""
    rng = np.random.default_rng([options.seed, options.number])
    anatomy = options.anatomy
    # Grades and stains are combined in turn.
    turn = options.number + options.number // len(anatomy.grades)
    stain = anatomy.stains[turn % len(anatomy.stains)]
    gains = rng.uniform(1 - anatomy.stain_gain, 1 + anatomy.stain_gain, 2)
    frame = Frame.of(options.size_px, options.mpp)
    grade = anatomy.grades[options.grade]
    plan = plan_slide(frame, grade, anatomy, rng, as_scanned=options.as_scanned)
    return Drawn(plan, Scan(stain, (float(gains[0]), float(gains[1]))), rng)


def make_slide(
    options: SlideOptions,
    *,
    slide: Path,
    annotation: Path,
    threads: int = 1,
    on_band: Callable[[float], None] = lambda share: None,
) -> None:
    """Writes a slide and its annotation, each as a whole or not at all.

    Args:
        on_band: called repeatedly with the finished share; an exception from it stops the work.
    """
    cv2.setNumThreads(1)  # blocks and slides already run in parallel
    drawn = draw_plan(options)
    plan = drawn.plan
    polygons = outline_polygons(plan.outline, plan.frame)
    # Annotations alternate between the two forms that QuPath exports.
    merged = options.number % 3 == 1
    write_text(annotation, annotation_document(polygons, name=options.name, merged=merged))
    book = draw_stamps(plan.grade, mpp=options.mpp, rng=drawn.rng)
    cells = scatter_cells(plan, book, drawn.rng)
    renderer = Renderer(plan, cells, drawn.scan, matched_grounds(plan.grade, book, drawn.scan))

    def bands() -> Iterator[np.ndarray]:
        done = 0
        for band in renderer.rows(threads=threads):
            on_band(done / options.size_px[1])
            done += len(band)
            yield band

    with replacing(slide) as temporary:
        write_slide(
            temporary,
            bands(),
            size_px=options.size_px,
            mpp=options.mpp,
            suffix=options.suffix,
            threads=threads,
        )
