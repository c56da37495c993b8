"""Which upstream a model name means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from millstream.core.errors import ClientFault, Kind

_MAX_ALIAS_STEPS = 8


@dataclass(frozen=True, slots=True)
class Route:
    """``provider`` by name, and the model in the provider's own words."""

    provider: str
    model: str

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Routes:
    """The table that names are looked up in. ``providers`` maps each provider to its default model, if it has one."""

    providers: Mapping[str, str | None]
    default: str
    aliases: Mapping[str, str]
    unknown: Literal["error", "default"] = "error"
    own_models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each provider, patterns of the names by which its models are known everywhere. Such a name alone means the
    default model's provider, if it is one of that one's."""

    def names(self) -> list[str]:
        """Every routable name worth showing: aliases without wildcards, the default, each provider's own default."""
        found = [name for name in self.aliases if not _is_pattern(name)]
        found.append(self.default)
        found += [name if name == "embedded" else f"{name}/{model}" for name, model in self.providers.items() if model]
        return list(dict.fromkeys(found))

    def resolve(self, model: str) -> Route:
        """Exact alias, then ``provider/model``, then a provider's bare name, then alias patterns in their order, then
        the names that the default model's provider knows.

        Raises ``ClientFault`` (404) that lists near names, unless ``unknown`` sends strangers to the default.
        """
        found = self._find(model, _MAX_ALIAS_STEPS)
        if found is None:
            found = self._of_default(model)
        if found is None:
            raise ClientFault(self._unknown(model), Kind.NOT_FOUND, code="model_not_found", param="model")
        return found

    def _find(self, model: str, steps: int) -> Route | None:
        if steps == 0:
            raise ClientFault(f"the aliases of model {model!r} lead in a circle", Kind.NOT_FOUND, param="model")
        if model in self.aliases:
            return self._find(self.aliases[model], steps - 1)
        name, slash, rest = model.partition("/")
        if slash and rest and name in self.providers:
            return Route(name, rest)
        own_default = self.providers.get(model)
        if own_default is not None:
            return Route(model, own_default)
        for pattern, goal in self.aliases.items():
            if _is_pattern(pattern) and fnmatchcase(model, pattern):
                return self._find(goal, steps - 1)
        return None

    def _of_default(self, model: str) -> Route | None:
        default = self._find(self.default, _MAX_ALIAS_STEPS)
        if default is None:
            return None
        if any(fnmatchcase(model, pattern) for pattern in self.own_models.get(default.provider, ())):
            return Route(default.provider, model)
        return default if self.unknown == "default" else None

    def _unknown(self, model: str) -> str:
        near = difflib.get_close_matches(model, self.names(), n=3, cutoff=0.5)
        if near:
            return f"no model {model!r} here; near it: {', '.join(near)}. GET /v1/models lists all"
        return f"no model {model!r} here; write provider/model (groq/…) or a name that GET /v1/models lists"


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")
