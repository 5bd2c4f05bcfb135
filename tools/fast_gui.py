"""Runs in FAST's Python, with a display: what FastPathology does with a pipeline and a slide.

fast_gui.py PIPELINE SLIDE PNG      prints PARSED, and DRAWN with the outputs that it keeps

The slide below heatmap and segmentation is left out: without a window FAST up to 4.12 crashes where
it draws one, and 4.14 may wait for ever.
"""

import os
import sys

import fast

SIDE_PX = 512
SLIDE = "ImagePyramidRenderer"


def main(pipeline: str, slide: str, png: str) -> None:
    fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
    image = fast.WholeSlideImageImporter.create(slide).runAndGetOutputData()
    parsed = fast.Pipeline(pipeline)
    parsed.parse({"WSI": image})
    print("PARSED", flush=True)
    drawn = fast.RenderToImage.create(fast.Color.White(), SIDE_PX, SIDE_PX)
    layers = [each for each in parsed.getRenderers() if each.getNameOfClass() != SLIDE]
    for each in layers:
        each.setDisabled(False)
    drawn.connect(layers)
    fast.ImageFileExporter.create(png).connect(drawn.runAndGetOutputData()).run()
    print("DRAWN", *sorted(parsed.getAllPipelineOutputData()), flush=True)
    os._exit(0)  # FAST's objects crash when Python takes them down


main(*sys.argv[1:])
