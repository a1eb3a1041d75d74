"""Machines that many tests look at: each is booted once a session and only ever read."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from lab.stopped import MIXED_THEN_OVERFLOW, Stopped, at_checkpoint

# The clock of a busy machine judges nothing.
settings.register_profile("coronel", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("coronel")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees, or leaves, what the tool keeps in the user's cache."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def healthy() -> Iterator[Stopped]:
    """The kernel after `mixed`."""
    with at_checkpoint(1, MIXED_THEN_OVERFLOW) as stopped:
        yield stopped


@pytest.fixture(scope="session")
def corrupted() -> Iterator[Stopped]:
    """The kernel after its own buffer overflow."""
    with at_checkpoint(2, MIXED_THEN_OVERFLOW) as stopped:
        yield stopped


@pytest.fixture(scope="session")
def dump(corrupted: Stopped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kdump of `corrupted`; its name has a blank, as a user's may."""
    path = tmp_path_factory.mktemp("dump") / "vm core"
    assert corrupted.machine.monitor(f'dump-guest-memory -z "{path}"') == ""
    return path
