"""Export of a trained run to a bundle that runs without TensorFlow; imported as h2g.exporters.

source.py       the Keras networks to export, and their card
to_*.py         one format each;  quantization*.py: int8 and its cost
samples.py      inputs for checks;  parity.py: the difference from Keras
export_format.py  one export, written and checked;  export.py: all exports of a bundle
model_card.py   MODEL_CARD.md
"""
