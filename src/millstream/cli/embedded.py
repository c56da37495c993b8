"""Have the embedded model here before it is needed, where it is the model that answers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from typer.exceptions import TyperException

from millstream.cli.known import Known
from millstream.config import Config

INSTALL = 'pip install "millstream[embedded]"'


class ModelMissing(TyperException):
    """The embedded model cannot answer. The message is one line that says why and what to do."""


def is_meant(names: Known, model: str) -> bool:
    return names.providers[names.routes.resolve(model).provider].kind == "embedded"


def is_default(names: Known) -> bool:
    return is_meant(names, names.routes.default)


def is_installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


def file(tree: Config) -> Path | None:
    """The model's file if it is here."""
    from millstream.providers.model_file import model_path

    if tree.embedded.model is None:
        return model_path()
    own = Path(tree.embedded.model).expanduser()
    return own if own.is_file() else None


def prepare(tree: Config, names: Known, model: str) -> None:
    """Fetches the embedded model, with its progress on standard error, if ``model`` means it and it is not here.

    Raises ``ModelMissing``.
    """
    from millstream.providers.model_file import ModelFileError, ensure_model

    if not is_meant(names, model):
        return
    if not is_installed():
        raise ModelMissing(f"the embedded model is not installed: {INSTALL}, or set the key of a provider")
    if tree.embedded.model is not None:
        if file(tree) is None:
            raise ModelMissing(f"embedded.model: there is no file {tree.embedded.model}")
        return
    try:
        ensure_model(sys.stderr)
    except ModelFileError as error:
        raise ModelMissing(str(error)) from error
