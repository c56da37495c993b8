"""A small MCP server over a SQLite file, by the SDK: ``mcp_sqlite.py FILE``, read-only. A real one for the tests: the
published server still wants the first major version of the SDK."""

from __future__ import annotations

import sqlite3
import sys
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("sqlite")


def _rows(query: str) -> list[dict[str, Any]]:
    database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
    try:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query)]
    except sqlite3.Error as error:
        raise ToolError(str(error)) from error
    finally:
        database.close()


@server.tool()
def list_tables() -> list[str]:
    """The names of the tables."""
    return [row["name"] for row in _rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


@server.tool()
def describe_table(table: str) -> list[dict[str, Any]]:
    """The columns of a table."""
    return _rows(f"SELECT name, type FROM pragma_table_info({table!r})")


@server.tool()
def read_query(query: str) -> list[dict[str, Any]]:
    """The rows that a SELECT gives."""
    return _rows(query)


if __name__ == "__main__":
    server.run()
