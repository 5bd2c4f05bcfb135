"""OpenVINO, without its usage reports.

With the package openvino_telemetry, OpenVINO and nncf report each use of them, imports included, to
Google Analytics without asking; without it they work as well. So OpenVINO is imported from here.
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402  after the line above

__all__ = ["openvino"]
