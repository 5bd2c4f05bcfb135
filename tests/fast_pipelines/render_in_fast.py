"""Runs in FAST's Python, with a display: draws what a pipeline's renderers show of a slide.

render_in_fast.py PIPELINE SLIDE SIDE_PX PNG HIDDEN...      HIDDEN: classes of renderers

FAST 4.9 crashes where it draws a slide without a window, so there the slide is left out.
"""

import os
import sys

import fast

SLIDE = "ImagePyramidRenderer"


def main(pipeline: str, slide: str, side_px: str, png: str, hidden: list[str]) -> None:
    fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
    image = fast.WholeSlideImageImporter.create(slide).runAndGetOutputData()
    parsed = fast.Pipeline(pipeline)
    parsed.parse({"WSI": image})
    renderers = parsed.getRenderers()
    print("SHOWN", *(each.getNameOfClass() for each in renderers))
    if SLIDE in hidden:
        renderers = [each for each in renderers if each.getNameOfClass() != SLIDE]
    for each in renderers:
        if each.getNameOfClass() != SLIDE:
            each.setDisabled(each.getNameOfClass() in hidden)
    drawn = fast.RenderToImage.create(fast.Color.White(), int(side_px), int(side_px))
    drawn.connect(renderers)
    picture = drawn.runAndGetOutputData()
    fast.ImageFileExporter.create(png).connect(picture).run()
    print("KEPT", *sorted(parsed.getAllPipelineOutputData()))
    sys.stdout.flush()
    os._exit(0)  # FAST's objects crash when Python takes them down


main(*sys.argv[1:5], sys.argv[5:])
