"""Debian's own prometheus tools, which `make test` installs."""

import shutil

import pytest


@pytest.fixture
def promtool() -> str:
    """Path of promtool."""
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed: `make debian` installs it where it may (Debian: prometheus)")
    return path
