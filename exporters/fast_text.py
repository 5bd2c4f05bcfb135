"""The text pipelines of a model: templates filled from its card, without constants."""

from __future__ import annotations

import re
import unicodedata

from h2g.annotations.colours import class_colour
from h2g.engines.engine import HEATMAP_INPUT
from h2g.fast_pipelines import Template, fill
from h2g.fast_versions import FAST_VERSIONS, FastName, FastVersion
from h2g.folders.bundle import Card
from h2g.results.labels import THRESHOLD
from h2g.slides.fast_patches import cell_pixel_mm

OTHER_PREPROCESSING = "Trained with other preprocessing than this; see its model card"
# The chains of networks with a pipeline; a network that segments patches is called tiles.
TEMPLATES: dict[tuple[str, ...], Template] = {
    ("patch",): "one_stage",
    ("patch", "refinement"): "two_stage",
    ("refinement",): "slide_only",
    ("tiles",): "tiles",
}
HEADLESS: dict[Template, Template] = {
    "tiles": "tiles_headless",
    "one_stage": "one_stage_headless",
    "two_stage": "two_stage_headless",
    "slide_only": "slide_only_headless",
}
HEADLESS_ENGINE = "@@engine=ONNXRuntime@@"
# 4.9 has only thresholds, and no attribute to select them.
TISSUE_METHOD: dict[FastName, str] = {"4.9": "", "4.15": "Attribute color-thresholding true"}
# A Windows path has at most 260 characters, including the slide's name.
LONGEST_NAME = 60
# Names that Windows reserves for devices, with any suffix.
DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
# The only engine whose results equal those of h2g to the last digits on every CPU.
ENGINE = "ONNXRuntime"


def pipeline_name(name: str) -> str:
    """A model's name in FastPathology's list, which is also the folder of its results.

    It has letters without accents, digits and a few signs, and nothing that Windows refuses or cuts
    off. Two models with the same pipeline name have the same :func:`slug`.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    kept = " ".join(re.sub(r"[^A-Za-z0-9 ._()+-]+", " ", plain).split())[:LONGEST_NAME].strip(" .")
    return f"{kept} model".strip() if not kept or DEVICE.fullmatch(kept) else kept


def slug(name: str) -> str:
    """A model's name in the form used in file names."""
    return re.sub(r"[^a-z0-9.]+", "-", pipeline_name(name).lower()).strip("-.") or "model"


def fast_version(card: Card) -> FastVersion:
    """The versions of FAST that a card's preprocessing is for."""
    name = card.preprocessing.fast_version
    if name is None:
        raise ValueError(f"{card.name}: preprocessing of no FAST")
    return FAST_VERSIONS[name]


def fast_chain(card: Card) -> tuple[str, ...]:
    """The networks of a model, as TEMPLATES names them."""
    return tuple("tiles" if network.cells else name for name, network in card.networks.items())


def headless_file(card: Card) -> str:
    return f"{slug(card.name)}-headless.fpl"


def gui_pipeline(card: Card, models: dict[str, str]) -> str:
    """A pipeline for FastPathology: one input, the outputs to save, and the renderers.

    Args:
        models: paths of the networks, relative to the pipeline's folder.
    """
    template = TEMPLATES[fast_chain(card)]
    places = {"slide": "WSI", "engine": ENGINE, **_network_inputs(card, "finished 0")}
    return fill(template, {**_values(card, models), **places})


def headless_pipeline(card: Card, models: dict[str, str]) -> str:
    """A pipeline for ``runPipeline FILE --slide SLIDE --out PREFIX``; arguments as above."""
    template = HEADLESS[TEMPLATES[fast_chain(card)]]
    places = {"slide": "slide 0", "engine": HEADLESS_ENGINE, "file": headless_file(card)}
    inputs = _network_inputs(card, "reread 0")
    return fill(template, {**_values(card, models), **places, **inputs})


def description(card: Card) -> str:
    """A line for menus, with the facts to know before using the model."""
    patch = card.preprocessing.patch
    patches = f"Patches of {patch.size_px} px at {10 / patch.mpp:g}x"
    parts = [
        card.description.rstrip("."),
        *([patches] if card.takes_patches else []),
        *([OTHER_PREPROCESSING] if card.preprocessing_change else []),
        "For research only",
    ]
    return " ".join(f"{part}." for part in parts)


def _values(card: Card, models: dict[str, str]) -> dict[str, str]:
    tissue, patch = card.preprocessing.tissue, card.preprocessing.patch
    numbers = range(1, len(card.class_names))
    return {
        "name": _in_quotes(card.name),
        "pipeline_name": pipeline_name(card.name),
        "description": _in_quotes(description(card)),
        "versions": fast_version(card).span,
        "classes": ";".join(card.class_names),
        "colours": " ".join(f'"{number}" "{_colour(number)}"' for number in numbers),
        "tissue_method": TISSUE_METHOD[fast_version(card).name],
        "tissue_threshold": str(int(tissue.threshold)),
        "closing_px": str(tissue.closing_px[0] if tissue.closing_px else 0),
        "patch_px": str(patch.size_px),
        "magnification": f"{10 / patch.mpp:.9g}",
        "overlap": f"{patch.margin_px / patch.size_px:.9g}",
        "min_tissue": f"{patch.min_tissue:.9g}",
        "threshold": f"{THRESHOLD:g}",
        **{f"{stage}_model": file for stage, file in models.items()},
    }


def _network_inputs(card: Card, heatmap: str) -> dict[str, str]:
    """The refinement network's inputs besides the slide.

    They are one image per class of the heatmap (if it takes a heatmap), the slide's extent (for
    FAST 4.9) and the frame.
    """
    takes_heatmap = any(HEATMAP_INPUT in network.inputs for network in card.networks.values())
    numbers = range(1, len(card.class_names) if takes_heatmap else 1)
    images = [fill("channel.part", {"number": str(each), "heatmap": heatmap}) for each in numbers]
    names = [f"class{each} 0" for each in numbers]
    extent = ""
    if takes_heatmap and fast_version(card).name == "4.9":
        pixel_mm = f"{cell_pixel_mm(card.preprocessing.patch):.9g}"
        extent = fill("extent.part", {"extent_mm": pixel_mm}).rstrip()
        names.append("extent 0")
    return {
        "channels": "\n".join(images).strip(),
        "extent": extent,
        "heatmap_inputs": "\n".join(f"Input {port} {name}" for port, name in enumerate(names, 1)),
        "frame_input": str(len(names) + 1),
    }


def _colour(number: int) -> str:
    return ";".join(map(str, class_colour(number)))


def _in_quotes(text: str) -> str:
    """The text on one line, without FAST's special characters."""
    return " ".join(text.split()).replace('"', "'").replace("@@", "@ @").replace("$", "")
