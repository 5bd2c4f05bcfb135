"""What a model is not known to do, derived from its card."""

from __future__ import annotations

from collections.abc import Iterator

from h2g.bundle import Card

# Below this many patients nothing is known of how scores vary.
FEW_PATIENTS = 20


def limitations(card: Card) -> Iterator[str]:
    """Sentences, each from a fact of the card."""
    yield from _of_training(card)
    yield from _of_scores(card)
    yield from _of_preprocessing(card)
    yield from _of_exports(card)


def _of_training(card: Card) -> Iterator[str]:
    if card.training is None:
        yield "What it was trained on is not known."
        return
    slides = card.training.slides.get("train", 0)
    patients = card.training.patients.get("train")
    whose = f" of {patients} patient{_s(patients)}" if patients else ""
    yield (
        f"Trained on {slides} slide{_s(slides)}{whose}. Other stains, scanners, tissues and "
        "tumours than theirs were not seen."
    )
    if not patients:
        yield ("The cohort table names no patients; slides of one may lie in several splits.")
    elif patients < FEW_PATIENTS:
        yield f"{patients} patient{_s(patients)} are too few to expect it to hold elsewhere."
    rare = [grade for grade, count in card.training.grades.items() if count < 3]
    if len(card.training.grades) > 1 and rare:
        yield f"Fewer than three training slides each of: {', '.join(rare)}."


def _of_scores(card: Card) -> Iterator[str]:
    if not card.scores:
        yield "Not evaluated on slides that it had not seen."
        return
    slides = card.training.slides.get("test", 0) if card.training else 0
    if 0 < slides < FEW_PATIENTS:
        yield f"The scores are means over {slides} slide{_s(slides)} only."
    yield "There are no scores on slides of another laboratory."


def _of_preprocessing(card: Card) -> Iterator[str]:
    patch = card.preprocessing.patch
    if "patch" in card.networks:
        yield (
            f"Slides need a known resolution, and at {patch.mpp:g} um/px or finer. Regions smaller "
            f"than a patch ({patch.size_px * patch.mpp:g} um) may be missed."
        )
    else:
        yield "It sees the slide at low resolution alone: no cell is told from another."
    if card.preprocessing_change:
        yield "It runs with another preprocessing than it was trained with; scores do not hold."


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
        yield "What int8 costs in Dice was not measured."


def _s(count: int) -> str:
    return "" if count == 1 else "s"
