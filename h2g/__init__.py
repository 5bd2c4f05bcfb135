"""Tumour segmentation in whole slide images: the two-stage system of H2G-Net."""

import sys

__version__ = "0.1.0"

# With this package OpenVINO and nncf report each use of them, imports included, to Google
# Analytics without asking; without it they work as well.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
