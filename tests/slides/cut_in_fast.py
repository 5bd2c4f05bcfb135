"""Runs in FAST's Python: the patches that FAST cuts from a slide, and which hold tissue.

cut_in_fast.py SLIDE MAGNIFICATION SIDE_PX OVERLAP OUT.npz

OVERLAP is the share of a patch, on each side, that is its margin. OUT.npz has all patches, and the
cells with tissue.
"""

import os
import sys

import fast
import numpy as np


def main(slide: str, magnification: str, side_px: str, overlap: str, out: str) -> None:
    fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
    image = fast.WholeSlideImageImporter.create(slide).runAndGetOutputData()
    mask = tissue().connect(image).runAndGetOutputData()

    def generator() -> fast.PatchGenerator:
        size, share = int(side_px), float(overlap)
        patches = fast.PatchGenerator.create(size, size, 1, 0, float(magnification), share, 0.5)
        return patches.connect(0, image)

    patches, cells, kept = [], [], []
    for patch in fast.DataStream(generator()):
        patches.append(np.array(patch))
        cells.append(cell(patch))
    for patch in fast.DataStream(generator().connect(1, mask)):
        kept.append(cell(patch))
    np.savez(out, patches=patches, cells=cells, kept=kept, mask=np.asarray(mask)[..., 0])
    sys.stdout.flush()
    os._exit(0)  # FAST crashes when Python frees its objects


def tissue() -> fast.TissueSegmentation:
    """The pipelines' tissue: 85 from white, dilated and eroded by 9, with black as glass."""
    try:
        return fast.TissueSegmentation.create(True, -1, 1.25, 85, 9, 9, True)
    except TypeError:  # FAST 4.9 has one method and no levels
        return fast.TissueSegmentation.create(85, 9, 9, True)


def cell(patch: fast.Image) -> tuple[int, int]:
    return int(patch.getFrameData("patchid-y")), int(patch.getFrameData("patchid-x"))


main(*sys.argv[1:6])
