"""An MCP server whose tool asks the person in the middle of a call, for agents that are judged. Run as a program."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

server = MCPServer("asking")


class Day(BaseModel):
    day: str


async def which_day() -> Elicit[Day]:
    return Elicit("Which day?", Day)


@server.tool()
async def book(day: Annotated[Day, Resolve(which_day)]) -> str:
    """Books a seat."""
    return f"a seat for {day.day}"


if __name__ == "__main__":
    server.run()
