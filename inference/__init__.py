"""From a scan to a verdict: engine, image quality, regions, policy, overlays, commands.

Importing anything from here first switches ONNX Runtime's telemetry off: from version 1.29 on its
official builds report usage unless this variable is set before they are imported, and a customs
workstation makes no outside connection.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
