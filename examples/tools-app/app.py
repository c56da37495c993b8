"""An agent with three tools that are plain Python functions, served as it is.

pip install uvicorn 'millstream[tools]'
uvicorn app:app
"""

import asyncio
import math
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

import millstream


@millstream.tool
def time_in(zone: Annotated[str, Meta(description="Such as Europe/Rome.")]) -> str:
    """The time of day in a time zone."""
    try:
        return datetime.now(ZoneInfo(zone)).strftime("%H:%M on %A")
    except (ZoneInfoNotFoundError, ValueError):
        raise millstream.ToolError(f"there is no time zone {zone!r}; write Area/City") from None


@millstream.tool(timeout=60)
async def primes(below: Annotated[int, Meta(ge=2, le=1_000_000)], report: millstream.Report) -> dict[str, int]:
    """How many primes there are below a number, and the largest of them. Says how far it is."""
    found, largest = 0, 0
    for number in range(2, below):
        if number % 1000 == 0:
            report(number, below, f"{found} so far")
            await asyncio.sleep(0)  # others get their turn
        if all(number % divisor for divisor in range(2, math.isqrt(number) + 1)):
            found, largest = found + 1, number
    return {"count": found, "largest": largest}


@millstream.tool(permission="ask")
def send_mail(to: str, subject: str, body: str) -> str:
    """Send a mail. The run waits until somebody has said that it may."""
    print(f"To: {to}\nSubject: {subject}\n\n{body}")  # where a mail would leave
    return "sent"


app = millstream.App(tools=[time_in, primes, send_mail])
