"""``millstream tools``: every tool that runs in the gateway and where it comes from, and logging in to MCP servers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millstream.cli import options

if TYPE_CHECKING:
    from millstream.agent.toolbox import Listing
    from millstream.config import Config

EXAMPLE = """\b
Examples:
  millstream tools
  millstream tools --json | jq -r '.tools[].name'
  millstream tools login NAME
"""
LOGIN_EXAMPLE = """\b
Examples:
  millstream tools login github
  millstream tools --config gateway.toml login github
"""
EXIT_MISSING = 1
_SUMMARY = 100

app = typer.Typer(
    help="List the tools that run in the gateway, with where each comes from.",
    epilog=EXAMPLE,
    rich_markup_mode=None,
    invoke_without_command=True,
)


@app.callback()
def tools(
    context: typer.Context,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    as_json: options.AsJson = False,
) -> int:
    if context.invoked_subcommand is not None:
        context.obj = (config, settings)
        return 0
    import asyncio

    found = asyncio.run(_listing(options.load(config, settings)))
    if as_json:
        from millstream.cli.output import print_json

        print_json(_as_json(found))
    else:
        _show(found)
    return EXIT_MISSING if found.missing else 0


@app.command(epilog=LOGIN_EXAMPLE)
def login(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An MCP server of the configuration.")],
) -> int:
    """Log in to an MCP server that wants OAuth, in the browser. The tokens stay on this machine."""
    from millstream.config import ConfigError
    from millstream.server.mcp import mcp_settings

    config, settings = context.obj or (None, None)
    servers = mcp_settings(options.load(config, settings).mcp_servers, os.environ)
    if name not in servers:
        raise ConfigError(f"mcp_servers.{name} is not configured; known: {', '.join(sorted(servers)) or 'none'}")
    from millstream.cli.mcp_login import log_in

    return log_in(name, servers[name])


async def _listing(config: Config) -> Listing:
    from millstream.agent.toolbox import Rules, Toolbox
    from millstream.server.agent.sources import ToolSources

    rules = config.tools
    async with ToolSources(config, os.environ) as sources:
        box = Toolbox(sources.sources, Rules(rules.allow, rules.permissions, rules.timeouts, rules.most_output))
        try:
            return await box.list()
        finally:
            await box.aclose()


def _as_json(found: Listing) -> dict[str, Any]:
    rows = [
        {
            "name": tool.name,
            "source": tool.spec.source,
            "permission": tool.permission,
            "timeout": tool.timeout,
            "description": tool.spec.description,
            "parameters": tool.spec.parameters,
        }
        for tool in found.tools.values()
    ]
    return {"tools": rows, "missing": list(found.missing)}


def _show(found: Listing) -> None:
    from millstream.cli.output import console, print_table

    if found.tools:
        rows = [
            [tool.name, tool.spec.source, tool.permission, _summary(tool.spec.description)]
            for tool in found.tools.values()
        ]
        print_table(["tool", "source", "permission", "what it does"], rows)
    elif not found.missing:
        console(stderr=True).print(
            "No tools: configure [mcp_servers.NAME] or [tools.workspace] (docs/mcp.md, docs/configuration.md)."
        )
    for line in found.missing:
        console(stderr=True).print(line, style="yellow")


def _summary(description: str) -> str:
    line = description.strip().split("\n")[0]
    return line if len(line) <= _SUMMARY else line[: _SUMMARY - 1] + "…"
