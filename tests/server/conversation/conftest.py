from pathlib import Path

import pytest

from millstream.providers.model_file import ModelFileError, ensure_model


@pytest.fixture(scope="session")
def model() -> Path:
    """The default model's file, downloaded once per machine."""
    pytest.importorskip("xllamacpp", reason="needs llama.cpp: pip install 'millstream[embedded]'")
    try:
        return ensure_model()
    except ModelFileError as error:
        pytest.skip(f"needs the default model: {error}")
