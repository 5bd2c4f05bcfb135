"""From a trained run to a bundle that runs without TensorFlow; imported as h2g.exporters.

source.py       what is exported: Keras networks and their card
to_*.py         one format each;  quantization*.py: int8 and what it costs
samples.py      what an export is tried on;  parity.py: how far it is from Keras
export_format.py  one export, written and checked;  export.py: all of them into a bundle
model_card.py   MODEL_CARD.md
"""
