"""OpenVINO, without its usage reports.

With the package openvino_telemetry, OpenVINO and nncf report each use, imports included, to Google
Analytics without asking. They also work without it. Always import OpenVINO from this module.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402  after the line above

__all__ = ["openvino"]
