"""Findings about calls that a manager refused: its structures are sound, some caller is not."""

from collections.abc import Callable, Iterable, Sequence

from coronel_gdb.checks.catalogue import Code
from coronel_gdb.report import Finding

_SHOWN = 3
# docs/spec.md §8.1: the order of memory::error_kind. Running out of something is no bug.
_KINDS = {2: "corruption detected", 3: "double free", 4: "invalid pointer"}


def refused_findings(
    manager: str,
    address: int,
    errors: Sequence[int],
    code: Code,
    callers: Callable[[int], Iterable[str]] = lambda _: (),
) -> list[Finding]:
    """One finding when the manager at `address` has refused bad calls; `callers` tells who made the last."""
    bad = {name: errors[index] for index, name in _KINDS.items() if index < len(errors) and errors[index]}
    if not bad:
        return []
    told = list(callers(_SHOWN))
    lines = (
        *(f"{name}: refused {count:,} time{'s' * (count != 1)}" for name, count in bad.items()),
        f"the {manager} changed nothing then; the caller is at fault, the serial log has the address",
        *told,
        "rule     errors_ counts no double free, invalid pointer or corruption (docs/spec.md §8.1)",
    )
    data = {"invariant": "errors.refused", "manager": manager, "refused": bad, "callers": told}
    return [Finding(code.code, code.title, address, lines, data)]
