"""An MCP server by the official SDK, in its newest revision, that asks the person in the middle of a call."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel, Field

server = MCPServer("asking")


class Day(BaseModel):
    day: str = Field(pattern="^(mon|tue)$")


class Seats(BaseModel):
    seats: int = Field(ge=1, le=4)


async def which_day() -> Elicit[Day]:
    return Elicit("Which day?", Day)


async def how_many() -> Elicit[Seats]:
    return Elicit("How many seats?", Seats)


@server.tool()
async def book(day: Annotated[Day, Resolve(which_day)], seats: Annotated[Seats, Resolve(how_many)]) -> str:
    """Books seats."""
    return f"{seats.seats} for {day.day}"


if __name__ == "__main__":
    server.run()
