"""What mkdocs does beyond its settings: pages that no section names come last, and links to files of the repository
that are no pages become plain text, if the files are there. Any other link that leads nowhere is a warning, by which
``mkdocs build --strict`` fails.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)\s#]+)(#[^)\s]*)?\)")
_log = logging.getLogger("mkdocs.hooks.site")


def on_config(config: Any) -> Any:
    docs = Path(config.docs_dir)
    named = set(_pages(config.nav))
    rest = sorted(str(page.relative_to(docs)) for page in docs.glob("*.md") if page.name not in named)
    if rest:
        config.nav.append({"More": rest})
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    docs = Path(config.docs_dir)
    here = (docs / page.file.src_uri).parent

    def plain(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            _log.warning("%s links to %s, which is not there", page.file.src_uri, link[2])
        return link[1]

    return _LINK.sub(plain, markdown)


def _pages(nav: Any) -> list[str]:
    """The paths in a navigation, however deep."""
    if isinstance(nav, str):
        return [nav]
    return [path for one in (nav.values() if isinstance(nav, dict) else nav) for path in _pages(one)]
