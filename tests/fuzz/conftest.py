"""Where there is no atheris (it has wheels for Linux on x86-64, up to Python 3.13), its tests are not collected."""

from __future__ import annotations

import platform
import sys

HAS_ATHERIS = sys.platform == "linux" and platform.machine() == "x86_64" and sys.version_info < (3, 14)
collect_ignore = [] if HAS_ATHERIS else ["test_coverage_guided.py"]
