"""The bounds that numbers of many settings share."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""0 lets the system choose."""
PerMinute = Annotated[int, msgspec.Meta(gt=0)]
Dollars = Annotated[float, msgspec.Meta(gt=0)]
