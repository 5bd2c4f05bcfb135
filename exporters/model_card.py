"""MODEL_CARD.md: the content of model.json, written for people in the form of a model card.

Source: Mitchell et al. 2019, Model Cards for Model Reporting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from h2g.exporters.licences import licence_url
from h2g.fast_versions import FAST_VERSIONS
from h2g.folders.bundle import Card, Export
from h2g.recipes.preprocessing import (
    CoarsestLevel,
    LowResolutionSettings,
    PatchRule,
    PatchSettings,
    TissueSettings,
)
from h2g.stages.stage import SMOOTHED
from h2g.tables import markdown_table

# With fewer patients, the variation of scores is unknown.
FEW_PATIENTS = 20
MODEL_CARD_FILE = "MODEL_CARD.md"
SCORES = ("dice", "recall", "precision")
COARSEST: dict[CoarsestLevel, str] = {
    "coarsest": "the slide's coarsest level",
    "fast-4.9": "the slide's coarsest level of at least 5 MiB (four bytes per pixel)",
}
HOW_TO_RUN = """\
On slides, with h2g (no TensorFlow needed):

    h2g predict BUNDLE slide.svs --out predictions

BUNDLE is the folder of this file. `--engine` selects a format and `--precision` a
precision from the table above."""
WITH_FAST = """

In FastPathology: `h2g export ... --format fast --install` copies the pipelines to its folder
(`~/fastpathology`); they are listed under this model's name. Without a window:
`runPipeline` of FAST with the pipeline file in `fast/`, or
`h2g predict BUNDLE slide.svs --out predictions --engine fast`.

The pipelines are for FAST {versions}{program}. Other versions of FAST choose other
patches or levels. They may fail to load the pipelines, and their results differ."""


def model_card(card: Card) -> str:
    """The whole page, Markdown."""
    sections = {
        "Use": _use(card),
        "Networks": _networks(card),
        "Training data": _training(card),
        "Scores": _scores(card),
        "Files": _files(card),
        "From slide to networks": _preprocessing(card),
        "How to run": HOW_TO_RUN + _with_fast(card),
        "Limitations": "\n".join(f"- {sentence}" for sentence in _limitations(card)),
        "Licence": _licence(card),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"# {card.name}\n\n{_capital(card.description)}.\n\n{body}\n"


def _use(card: Card) -> str:
    return (
        f"Finds {_and(card.class_names[1:])} in whole slide images that are stained and scanned as "
        "the training slides were. For research only: not a medical device, not for diagnosis, and "
        "no part of a decision about a patient."
    )


def _networks(card: Card) -> str:
    rows = [
        (stage, network.sees, network.architecture, f"{network.parameters:,}")
        for stage, network in card.networks.items()
    ]
    return (
        f"{markdown_table(('stage', 'from -> to', 'architecture', 'parameters'), rows)}\n\n"
        f"Classes: {', '.join(card.class_names)}. Networks take RGB of 0 to 255; they scale and "
        "resize it themselves."
    )


def _training(card: Card) -> str:
    if card.training is None:
        return "Unknown: a single network file was exported, without its run."
    training = card.training
    rows = [
        (split, str(count), str(training.patients.get(split, "not recorded")))
        for split, count in training.slides.items()
    ]
    text = markdown_table(("split", "slides", "patients"), rows)
    if len(training.grades) > 1:
        grades = ", ".join(f"{count} of {grade}" for grade, count in training.grades.items())
        text += f"\n\nTraining slides by grade: {grades}."
    return text


def _scores(card: Card) -> str:
    if not card.scores:
        return "Not evaluated: there were no scores on a test split at the time of export."
    rows = [
        (variant, *(f"{scores[name]:.3f}" for name in SCORES))
        for variant, scores in card.scores.items()
    ]
    slides = card.training.slides.get("test") if card.training else None
    over = f"the test split ({slides})" if slides else "the test split"
    final = [variant for variant in card.scores if variant != SMOOTHED][-1]
    return (
        f"{markdown_table(('output', *SCORES), rows)}\n\n"
        f"Macro means over the slides of {over}, counted in pixels of the whole slide, with Keras "
        f"in float32. Prediction outputs `{final}`."
    )


def _files(card: Card) -> str:
    rows = [
        (
            export.format,
            export.precision,
            ", ".join(f"`{name}`" for name in export.networks.values()),
            *_checked(export),
        )
        for export in card.exports
    ]
    header = ("format", "precision", "networks", "run by", "largest difference of a probability")
    costs = [_cost(export) for export in card.exports if export.cost]
    return "\n\n".join([markdown_table(header, rows), *costs])


def _checked(export: Export) -> tuple[str, str]:
    if export.check is None:
        return "not checked", ""
    check = export.check
    figures = ", ".join(f"{stage} {value:.1e}" for stage, value in check.max_difference.items())
    pixels = "the run's slides" if check.pixels == "slides" else "noise, not slides"
    return check.engine, f"{figures} to {check.reference}, on {pixels}"


def _cost(export: Export) -> str:
    cost = export.cost
    if cost is None:
        return ""
    parts = [
        f"accuracy of the {name} network {values['float32']:.3f} -> {values['int8']:.3f}"
        for name, values in cost.accuracy.items()
    ]
    if cost.dice:
        parts.append(f"Dice of slides {cost.dice['float32']:.3f} -> {cost.dice['int8']:.3f}")
    measured = f"on the validation slides {_and(parts)}" if parts else "not measured"
    return (
        f"{export.format} int8, float32 -> int8: {measured}; calibrated on "
        f"{_and([f'{count} inputs of {name}' for name, count in cost.calibration.items()])}."
    )


def _preprocessing(card: Card) -> str:
    steps, patch = card.preprocessing, card.preprocessing.patch
    lines = [f"Tissue: {_tissue(steps.tissue)}."]
    if card.takes_patches:
        lines.append(
            f"Patches of {patch.size_px} x {patch.size_px} px at {patch.mpp:g} um/px "
            f"({patch.size_px * patch.mpp:g} um per side), side by side; "
            f"{_level_of_patches(patch)} is read unscaled. Those with more than "
            f"{patch.min_tissue:.0%} tissue are classified."
        )
    for name in card.slide_networks:
        lines.append(f"The {name} network sees {_low_resolution(steps.low_resolution)}.")
    lines.append(f"Profile: `{steps.profile}`.")
    if card.preprocessing_change:
        lines.append(f"**Differs from training:** {card.preprocessing_change}")
    return "\n".join(f"- {line}" for line in lines)


def _level_of_patches(patch: PatchSettings) -> str:
    rules: dict[PatchRule, str] = {
        "mpp": f"a level within {patch.tolerance:.0%} of that resolution",
        "fast-4.9": "a level of exactly that resolution",
        "fast-4.15": f"a level of {10 / patch.mpp:g}x by the slide's objective",
    }
    return rules[patch.rule]


def _tissue(tissue: TissueSettings) -> str:
    rules = {
        "saturation": f"HSV saturation (8 bits) above {tissue.threshold:g}",
        "white-distance": f"distance to white in RGB (8 bits) above {tissue.threshold:g}",
        "otsu": "HSV saturation above Otsu's threshold",
    }
    where = f"at {tissue.mpp:g} um/px" if tissue.mpp else f"in {COARSEST[tissue.level]}"
    closings = _and([f"{side} px" for side in tissue.closing_px])
    return f"{rules[tissue.rule]}, {where}" + (f", closed with {closings}" if closings else "")


def _low_resolution(settings: LowResolutionSettings) -> str:
    if windows := settings.windows:
        scale = f"{windows.side_mm:g} mm at {windows.mpp:.4g} um/px"
        return f"windows of {scale}, whose results are blended"
    if settings.level != "at-least":
        return COARSEST[settings.level]
    return f"the coarsest level with at least {settings.min_side_px} px per side"


def _licence(card: Card) -> str:
    url = licence_url(card.licence)
    text = f"[{card.licence}]({url})." if url else f"{_capital(card.licence)}."
    return f"Author: {card.author}.\n\n{text}" if card.author else text


def _with_fast(card: Card) -> str:
    name = card.preprocessing.fast_version
    if name is None or card.find_export("fast") is None:
        return ""
    program = ", which FastPathology 1.1.3 is built on" if name == "4.9" else ""
    return WITH_FAST.format(versions=FAST_VERSIONS[name].span, program=program)


def _and(items: Sequence[str]) -> str:
    return " and ".join([part for part in (", ".join(items[:-1]), *items[-1:]) if part])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".")


def _limitations(card: Card) -> Iterator[str]:
    """Sentences about limitations, each derived from a fact of the card."""
    yield from _of_training(card)
    yield from _of_scores(card)
    yield from _of_preprocessing(card)
    yield from _of_exports(card)


def _of_training(card: Card) -> Iterator[str]:
    if card.training is None:
        yield "The training data are unknown."
        return
    slides = card.training.slides.get("train", 0)
    patients = card.training.patients.get("train")
    whose = f" of {patients} patient{_plural(patients)}" if patients else ""
    yield (
        f"Trained on {slides} slide{_plural(slides)}{whose}. It has seen no other stains, "
        "scanners, tissues or tumours."
    )
    if not patients:
        yield "The cohort table names no patients; slides of one patient may be in several splits."
    elif patients < FEW_PATIENTS:
        yield f"{patients} patient{_plural(patients)} are too few to expect such scores elsewhere."
    rare = [grade for grade, count in card.training.grades.items() if count < 3]
    if len(card.training.grades) > 1 and rare:
        yield f"Fewer than three training slides each of: {', '.join(rare)}."


def _of_scores(card: Card) -> Iterator[str]:
    if not card.scores:
        yield "Not evaluated on slides that it had not seen."
        return
    slides = card.training.slides.get("test", 0) if card.training else 0
    if 0 < slides < FEW_PATIENTS:
        yield f"The scores are means over {slides} slide{_plural(slides)} only."
    yield "There are no scores on slides of another laboratory."


def _of_preprocessing(card: Card) -> Iterator[str]:
    patch = card.preprocessing.patch
    if card.takes_patches:
        yield (
            f"Slides need a known resolution of {patch.mpp:g} um/px or finer. Regions smaller "
            f"than a patch ({patch.size_px * patch.mpp:g} um) may be missed."
        )
    else:
        yield "It sees the slide only at low resolution and cannot tell cells apart."
    if card.preprocessing_change:
        yield "It runs with other preprocessing than in training, so the scores do not apply."


def _of_exports(card: Card) -> Iterator[str]:
    if card.preprocessing.fast_version == "4.9" and card.find_export("fast"):
        yield (
            "FAST 4.9 needs um/px in the slide's properties and at least two patches of tissue. On "
            "Windows it reads levels a pixel further up and left than elsewhere."
        )
    unchecked = [f"{e.format} {e.precision}" for e in card.exports if e.check is None]
    if unchecked:
        yield f"Exported without a check: {', '.join(unchecked)}."
    noise = [
        f"{e.format} {e.precision}" for e in card.exports if e.check and e.check.pixels == "noise"
    ]
    if noise:
        yield f"Checked on noise, not on slides: {', '.join(noise)}."
    if any(e.precision == "int8" and (not e.cost or not e.cost.dice) for e in card.exports):
        yield "The loss of Dice in int8 was not measured."


def _plural(count: int) -> str:
    return "" if count == 1 else "s"
