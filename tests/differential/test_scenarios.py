"""Scenarios that docs/spec.md §11 fixes step by step: the model does what the kernel does."""

import pytest

from lab.stopped import BOOT_SECONDS
from model import scenarios
from model.types import VirtualAddress
from tests.differential.kernel_side import compare
from tests.differential.replay import Replay, replay
from tests.differential.test_processes import left_open, physical_range


def check_steps(both: Replay) -> None:
    assert both.essences() == both.essences_of(both.kernel.trace())
    assert both.lines_printed() == both.kernels_lines()


@pytest.mark.parametrize("scenario", ["fragmentation", "large"])
def test_scenarios_that_give_everything_back(scenario: str) -> None:
    with replay(f"scenario={scenario} seed=3", [], "32M") as both:
        both.kernel.gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        if scenario == "large":
            size = scenarios.large(both.model)
            assert f"coronel: large: the largest block has {size} bytes\n" in both.kernel.qemu.serial()
        else:
            scenarios.fragmentation(both.model, 3)
        check_steps(both)
        assert compare(both.kernel, both.model, left_open(both.model)) == []


@pytest.mark.parametrize("seed", [1, 5])
def test_the_overflow_hits_the_same_header(seed: int) -> None:
    with replay(f"scenario=mixed,overflow seed={seed} ops=500", []) as both:
        gdb, model = both.kernel.gdb, both.model
        for _ in range(2):
            gdb.run_to("coronel_checkpoint", BOOT_SECONDS)
        fault = {
            name: gdb.evaluate(f"g_seeded_fault.{name}")
            for name in ("victim", "culprit", "address", "length")
        }
        slots = scenarios.mixed(model, seed, 500)
        open_before = list(left_open(model))
        text = both.kernel.physical(model.memory.translate(VirtualAddress(fault["culprit"] + 48)), 88)
        assert text.isascii()
        did = scenarios.overflow(model, seed, text)
        assert did is not None
        assert fault == {
            "victim": did.victim,
            "culprit": did.culprit,
            "address": did.address,
            "length": len(did.written),
        }
        check_steps(both)
        buffers = [event.result for event in both.events if event.operation == "malloc"][-8:]
        others = [one for buffer in buffers for one in physical_range(model, buffer, 64)]
        assert compare(both.kernel, model, [*open_before, *others]) == []
        assert len(set(slots)) > 50
