"""The text pipelines of a model: templates filled from its card, nothing of it a constant."""

from __future__ import annotations

import re

from h2g.annotations.colours import class_colour
from h2g.bundle import Card, Stage
from h2g.fast_pipelines import Template, fill
from h2g.inference.refinement import THRESHOLD

# 4.15.1 is what h2g.slides.fast_patches repeats. From 4.16 on patches at the border of tissue are
# tested in another way; from 4.18 on FastPathology waits for ever behind a finished heatmap.
OLDEST_FAST, NEWEST_FAST = "4.15.1", "4.17.1"
OTHER_PREPROCESSING = "Trained with other preprocessing than this; see its model card"
HEADLESS: dict[Template, Template] = {
    "one_stage": "one_stage_headless",
    "two_stage": "two_stage_headless",
    "slide_only": "slide_only_headless",
}
HEADLESS_ENGINE = "@@engine=ONNXRuntime@@"
# The only engine whose results are those of h2g to the last digits, on every CPU.
ENGINE = "ONNXRuntime"


def slug(name: str) -> str:
    """A model's name as part of file names and as a DataHub id."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "model"


def headless_file(card: Card) -> str:
    return f"{slug(card.name)}-headless.fpl"


def gui_pipeline(card: Card, models: dict[Stage, str]) -> str:
    """A pipeline for FastPathology: one input, outputs to keep, and what is drawn.

    Args:
        models: the networks' files, relative to the pipeline's folder.
    """
    template = _template(models)
    places = {"slide": "WSI", "engine": ENGINE, **_heatmap_channels(card, "finished 0")}
    return fill(template, {**_values(card, models), **places})


def headless_pipeline(card: Card, models: dict[Stage, str]) -> str:
    """A pipeline for ``runPipeline FILE --slide SLIDE --out PREFIX``; arguments as above."""
    template = HEADLESS[_template(models)]
    places = {"slide": "slide 0", "engine": HEADLESS_ENGINE, "file": headless_file(card)}
    channels = _heatmap_channels(card, "reread 0")
    return fill(template, {**_values(card, models), **places, **channels})


def description(card: Card) -> str:
    """One line for menus, with what to know before using the model."""
    patch = card.preprocessing.patch
    patches = f"Patches of {patch.size_px} px at {10 / patch.mpp:g}x"
    parts = [
        card.description.rstrip("."),
        *([patches] if "patch" in card.networks else []),
        *([OTHER_PREPROCESSING] if card.preprocessing_change else []),
        "For research only",
    ]
    return " ".join(f"{part}." for part in parts)


def _template(models: dict[Stage, str]) -> Template:
    if "patch" not in models:
        return "slide_only"
    return "two_stage" if "refinement" in models else "one_stage"


def _values(card: Card, models: dict[Stage, str]) -> dict[str, str]:
    tissue, patch = card.preprocessing.tissue, card.preprocessing.patch
    numbers = range(1, len(card.class_names))
    return {
        "name": card.name,
        "description": _in_quotes(description(card)),
        "versions": f"{OLDEST_FAST} to {NEWEST_FAST}",
        "classes": ";".join(card.class_names),
        "colours": " ".join(f'"{number}" "{_colour(number)}"' for number in numbers),
        "tissue_threshold": str(int(tissue.threshold)),
        "closing_px": str(tissue.closing_px[0] if tissue.closing_px else 0),
        "patch_px": str(patch.size_px),
        "magnification": f"{10 / patch.mpp:.9g}",
        "min_tissue": f"{patch.min_tissue:.9g}",
        "threshold": f"{THRESHOLD:g}",
        **{f"{stage}_model": file for stage, file in models.items()},
    }


def _heatmap_channels(card: Card, heatmap: str) -> dict[str, str]:
    """Each class of the heatmap as an image, and as an input of the refinement network, unless that
    sees only the slide."""
    numbers = range(1, len(card.class_names) if card.refinement_inputs != "image" else 1)
    images = [fill("channel.part", {"number": str(each), "heatmap": heatmap}) for each in numbers]
    return {
        "channels": "\n".join(images).strip(),
        "channel_inputs": "\n".join(f"Input {each} class{each} 0" for each in numbers),
        "frame_input": str(len(numbers) + 1),
    }


def _colour(number: int) -> str:
    return ";".join(map(str, class_colour(number)))


def _in_quotes(text: str) -> str:
    """On one line, without FAST's own signs."""
    return " ".join(text.split()).replace('"', "'").replace("@@", "@ @").replace("$", "")
