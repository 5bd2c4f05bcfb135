"""MODEL_CARD.md says what the card says, and what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from h2g.engines.engine import HEATMAP_INPUT, IMAGE_INPUT
from h2g.exporters.licences import licence_url
from h2g.exporters.model_card import model_card
from h2g.folders.bundle import Card, Check, Export, QuantisationCost, TrainingData
from h2g.recipes.preprocessing import PROFILES, PatchSettings
from tests.markdown_text import narrow
from tests.network_cards import patch_card, refinement_card

CHECK = Check(
    engine="onnxruntime 1.31.1",
    reference="keras 3.15.1",
    pixels="slides",
    max_difference={"patch": 1.2e-6, "refinement": 3e-5},
)
ONNX = Export(
    format="onnx",
    precision="float32",
    h2g_version="0.1.0",
    networks={"patch": "patch.onnx", "refinement": "refinement.onnx"},
    files={"patch.onnx": "a", "refinement.onnx": "b"},
    opset=17,
    check=CHECK,
)


def card(**changes: Any) -> Card:
    networks = {
        "patch": patch_card(classes=3, parameters=2_385_102, sees="a patch -> its classes"),
        "refinement": refinement_card(classes=3, parameters=11_569_186, sees="a slide -> a map"),
    }
    values: dict[str, Any] = {
        "name": "breast",
        "description": "tumour in two stages",
        "class_names": ("background", "tumour", "in situ"),
        "preprocessing": PROFILES["paper"],
        "networks": networks,
        "training": TrainingData(
            slides={"train": 40, "val": 8, "test": 30},
            patients={"train": 38, "val": 8, "test": 29},
            grades={"1": 20, "2": 18, "3": 2},
        ),
        "scores": {
            "patchwise": {"dice": 0.801, "recall": 0.702, "precision": 0.903},
            "refined": {"dice": 0.904, "recall": 0.905, "precision": 0.906},
        },
        "exports": (ONNX,),
    }
    return Card(**{**values, **changes})


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


def test_what_it_is_and_what_it_is_for() -> None:
    text = model_card(card())
    assert text.startswith("# breast\n\nTumour in two stages.\n")
    assert "Finds tumour and in situ" in section(text, "Use")
    assert "not for diagnosis" in section(text, "Use")
    networks = narrow(section(text, "Networks"))
    assert "| patch | a patch -> its classes | mobilenet_v2 | 2,385,102 |" in networks
    assert "| refinement | a slide -> a map | unet | 11,569,186 |" in networks
    assert "research use only" in section(text, "Licence").lower()


def test_author_and_licence() -> None:
    licence = section(model_card(card(licence="MIT", author="Jane Doe")), "Licence")
    assert licence.strip() == "Author: Jane Doe.\n\n[MIT](https://spdx.org/licenses/MIT.html)."
    assert "Author" not in section(model_card(card()), "Licence")


@pytest.mark.parametrize(
    ("licence", "page"),
    [
        ("CC BY-NC 4.0", "CC-BY-NC-4.0"),
        ("apache-2.0", "Apache-2.0"),
        ("Apache", None),
        ("research use only", None),
    ],
)
def test_pages_of_licences(licence: str, page: str | None) -> None:
    assert licence_url(licence) == (f"https://spdx.org/licenses/{page}.html" if page else "")


def test_training_data_and_scores() -> None:
    text = narrow(model_card(card()))
    assert "| train | 40 | 38 |" in section(text, "Training data")
    assert "20 of 1, 18 of 2, 2 of 3" in section(text, "Training data")
    # Columns are dice, recall, precision.
    assert "| patchwise | 0.801 | 0.702 | 0.903 |" in section(text, "Scores")
    assert "test split (30)" in section(text, "Scores")
    assert "Prediction outputs `refined`" in section(text, "Scores")


def test_formats_with_their_differences() -> None:
    int8 = Export(
        format="openvino",
        precision="int8",
        h2g_version="0.1.0",
        networks={"patch": "patch.int8.xml"},
        files={},
        check=CHECK.model_copy(update={"pixels": "noise"}),
        cost=QuantisationCost(
            calibration={"patch": 256, "refinement": 4},
            accuracy={"patch": {"float32": 0.91, "int8": 0.9}},
            dice={"float32": 0.904, "int8": 0.899},
        ),
    )
    unchecked = Export(
        format="tflite", precision="float16", h2g_version="0.1.0", networks={}, files={}
    )
    text = narrow(model_card(card(exports=(ONNX, int8, unchecked))))
    files = section(text, "Files")
    assert "| onnx | float32 | `patch.onnx`, `refinement.onnx` | onnxruntime 1.31.1 |" in files
    assert "patch 1.2e-06, refinement 3.0e-05 to keras 3.15.1, on the run's slides" in files
    assert "noise, not slides" in files
    assert "| tflite | float16 | | not checked | |" in files
    assert "accuracy of the patch network 0.910 -> 0.900 and Dice of slides" in files
    assert "0.904 -> 0.899; calibrated on 256 inputs of patch and 4 inputs of refinement" in files
    limits = section(text, "Limitations")
    assert "Exported without a check: tflite float16." in limits
    assert "Checked on noise, not on slides: openvino int8." in limits


def test_preprocessing_in_words_with_units() -> None:
    text = section(model_card(card()), "From slide to networks")
    assert "saturation (8 bits) above 20, at 8 um/px, closed with 5 px and 3 px" in text
    assert "256 x 256 px at 1 um/px (256 um per side)" in text
    assert "more than 25% tissue" in text
    assert "at least 1024 px per side" in text
    assert "a level within 10% of that resolution is read unscaled" in text
    fast = PROFILES["fast"].model_copy(
        update={"patch": PatchSettings(rule="fast-4.9", mpp=0.5, size_px=512, min_tissue=0.5)}
    )
    changed = card(preprocessing=fast, preprocessing_change="trained with profile 'paper'.")
    text = model_card(changed)
    steps = section(text, "From slide to networks")
    assert "distance to white in RGB (8 bits) above 85, in the slide's coarsest level of" in steps
    assert "a level of exactly that resolution is read unscaled" in steps
    assert "512 x 512 px at 0.5 um/px (256 um per side)" in steps
    assert "sees the slide's coarsest level of at least 5 MiB" in steps
    assert "**Differs from training:** trained with profile 'paper'." in steps
    assert "scores do not apply" in section(text, "Limitations")


def test_fast_pathology_only_where_there_are_pipelines() -> None:
    assert "FastPathology" not in model_card(card())
    fast = ONNX.model_copy(update={"format": "fast"})
    for profile, sentence in (
        ("fast", "for FAST 4.9.0 to 4.9.2, which FastPathology 1.1.3 is built on."),
        ("fast-4.15", "for FAST 4.15.0 to 4.15.1."),
    ):
        text = model_card(card(exports=(fast,), preprocessing=PROFILES[profile]))
        assert sentence in section(text, "How to run")
        assert ("On Windows" in section(text, "Limitations")) == (profile == "fast")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Trained on 40 slides of 38 patients."),
        ({}, "Fewer than three training slides each of: 3."),
        ({"scores": {}}, "Not evaluated on slides that it had not seen."),
        ({"training": None}, "The training data are unknown."),
        (
            {"training": TrainingData(slides={"train": 1}, patients={}, grades={"all": 1})},
            "Trained on 1 slide. It has seen no other stains",
        ),
        (
            {"training": TrainingData(slides={"train": 1}, patients={}, grades={"all": 1})},
            "names no patients",
        ),
        (
            {
                "training": TrainingData(
                    slides={"train": 7, "test": 3}, patients={"train": 4}, grades={"all": 7}
                )
            },
            "The scores are means over 3 slides only.",
        ),
    ],
)
def test_limitations_come_from_facts(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in section(model_card(card(**changes)), "Limitations")


def test_what_does_not_hold_is_not_said() -> None:
    limits = section(model_card(card()), "Limitations")
    for words in ("too few", "only.", "without a check", "noise", "Not evaluated", "int8"):
        assert words not in limits


def test_one_stage_without_scores() -> None:
    networks = {"patch": patch_card()}
    text = model_card(card(networks=networks, scores={}, training=None))
    assert "Not evaluated" in section(text, "Scores")
    assert "Unknown" in section(text, "Training data")
    assert "refinement network sees" not in text


@pytest.mark.parametrize("inputs", [(IMAGE_INPUT,), (IMAGE_INPUT, HEATMAP_INPUT)])
def test_patches_are_told_of_where_a_network_takes_them(inputs: tuple[str, ...]) -> None:
    networks = {"refinement": refinement_card(takes=inputs)}
    text = model_card(card(networks=networks))
    assert "Patches of" not in section(text, "From slide to networks")
    assert "cannot tell cells apart" in section(text, "Limitations")
    text = model_card(card(networks={"patch": patch_card(), **networks}))
    assert "Patches of 256 x 256 px" in section(text, "From slide to networks")
    assert "may be missed" in section(text, "Limitations")
