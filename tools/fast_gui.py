"""Does in FAST's Python, with a display, what FastPathology does with a pipeline and a slide.

fast_gui.py PIPELINE SLIDE PNG      prints PARSED, and DRAWN with the outputs that it keeps

The slide below heatmap and segmentation is not drawn. Without a window, FAST up to 4.12 crashes
when it draws one, and 4.14 may wait for ever.
"""

import os
import sys

import fast

SIDE_PX = 512
SLIDE = "ImagePyramidRenderer"


def main(pipeline: str, slide: str, png: str) -> None:
    fast.Reporter.setGlobalReportMethod(fast.Reporter.NONE)
    image = fast.WholeSlideImageImporter.create(slide).runAndGetOutputData()
    pipeline_of_slide = fast.Pipeline(pipeline)
    pipeline_of_slide.parse({"WSI": image})
    print("PARSED", flush=True)
    drawing = fast.RenderToImage.create(fast.Color.White(), SIDE_PX, SIDE_PX)
    renderers = pipeline_of_slide.getRenderers()
    layers = [renderer for renderer in renderers if renderer.getNameOfClass() != SLIDE]
    for layer in layers:
        layer.setDisabled(False)
    drawing.connect(layers)
    fast.ImageFileExporter.create(png).connect(drawing.runAndGetOutputData()).run()
    print("DRAWN", *sorted(pipeline_of_slide.getAllPipelineOutputData()), flush=True)
    os._exit(0)  # FAST crashes when Python frees its objects


main(*sys.argv[1:])
