"""Two users of espeak-ng in one process, which no server has."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import espeakng_loader
import pytest

from providers.embedded import pronounce


@pytest.fixture(scope="session", autouse=True)
def espeak_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pronunciations from a copy of the library: its state is global, and tests of speech synthesis, which
    may run in the same process, end it. The recogniser has a process of its own."""
    library = Path(espeakng_loader.get_library_path())
    copy = shutil.copy(library, tmp_path_factory.mktemp("espeak") / f"own-{library.name}")
    loader = SimpleNamespace(get_library_path=lambda: str(copy), get_data_path=espeakng_loader.get_data_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pronounce, "espeakng_loader", loader)
        yield
