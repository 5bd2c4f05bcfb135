from __future__ import annotations

from h2g.models.architectures.patch_classifier import patch_classifier


def test_options_reach_the_head_and_the_backbone() -> None:
    model = patch_classifier("mobilenet_v2", (32, 32, 3), 4, dropout=0.25, alpha=0.35)
    assert model.get_layer("head_dropout").rate == 0.25
    assert model.get_layer("Conv1").filters == 16
    assert model.output_shape == (None, 4)
    assert model.name == "mobilenet_v2"
