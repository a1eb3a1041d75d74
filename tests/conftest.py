"""Machines that many tests look at: each is booted once a session and only ever read."""

from collections.abc import Iterator

import pytest

from lab.stopped import Stopped, at_checkpoint

MIXED_THEN_OVERFLOW = "scenario=mixed,overflow seed=42 ops=2000"


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
