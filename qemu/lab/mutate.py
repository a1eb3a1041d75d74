"""`python -m lab mutate`: whether the project's own tests notice a wrong page walk.

Every operator, comparison, constant, condition and returned value of the modules of the walk is changed, one
at a time, and the tests of that part must fail. The score goes to the terminal with every survivor.
"""

import argparse
import ast
import copy
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.paths import ROOT

MODULES = ("page_entry", "paging", "denial", "access", "cpu_state", "memory_type")
TESTS = ("access", "denial", "cpu_state", "memory_type", "walk_space", "paging")
# A mutant that loops for ever is noticed as well, by the clock.
SECONDS_PER_MUTANT = 60

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.And: ast.Or, ast.Or: ast.And,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one change; `source` is what runs instead of it."""

    module: str
    line: int
    change: str
    source: ast.Module


def _swap(node: ast.AST) -> Any:
    other = _SWAPS.get(type(node))
    return other() if other is not None else None


def _variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in the place of an expression, each with its description."""
    before = ast.unparse(node)
    changed: ast.AST
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if new := _swap(op):
            changed = copy.deepcopy(node)
            changed.op = new
            yield f"{before}  →  {ast.unparse(changed)}", changed
        case ast.Compare(ops=[op]) if new := _swap(op):
            changed = copy.deepcopy(node)
            changed.ops = [new]
            yield f"{before}  →  {ast.unparse(changed)}", changed
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield f"{before}  →  {ast.unparse(operand)}", operand
        case ast.Constant(value=bool(value)):
            yield f"{value}  →  {not value}", ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield f"{value:#x}  →  {value + 1:#x}", ast.Constant(value + 1)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield f"{before}  →  {ast.unparse(body)}", body
            yield f"{before}  →  {ast.unparse(orelse)}", orelse
            yield f"not {ast.unparse(test)}", ast.IfExp(test, orelse, body)
        case ast.If(test=test, body=body, orelse=orelse):
            for value in (True, False):
                yield f"if {ast.unparse(test)}  →  if {value}", ast.If(ast.Constant(value), body, orelse)


def _does_not_run(parent: ast.AST, field: str) -> bool:
    """Annotations and docstrings do not run; `slots=True` and the like change no result."""
    return field in {"annotation", "returns", "decorator_list"} or isinstance(parent, ast.Expr)


def _places(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node that may be replaced: its parent, the field, the index in it, and the node."""
    for field, value in ast.iter_fields(parent):
        if _does_not_run(parent, field):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(node, ast.AST):
                yield parent, field, index, node
                yield from _places(node)


def mutants(module: str) -> Iterator[Mutant]:
    """Every mutant of a module of the model."""
    text = (ROOT / "model" / f"{module}.py").read_text()
    tree = ast.parse(text)
    for parent, field, index, node in list(_places(tree)):
        for change, replacement in _variants(node):
            _put(parent, field, index, replacement)
            source = ast.fix_missing_locations(copy.deepcopy(tree))
            _put(parent, field, index, node)
            yield Mutant(module, getattr(node, "lineno", 0), change, source)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


class _Replacement(MetaPathFinder, Loader):
    """Imports one module from a changed tree."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"model.{mutant.module}"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.source, f"<mutant of {self._name}>", "exec"), module.__dict__)


def _tests_fail(mutant: Mutant | None, tests: Sequence[Path]) -> bool:
    """Run the tests on a mutant (or on the modules as they are), in a process of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS_PER_MUTANT)
            if mutant is not None:
                sys.meta_path.insert(0, _Replacement(mutant))
            import pytest

            options = ["-x", "-q", "-o", "timeout=0", "--assert=plain", "--noconftest"]
            for plugin in ("cacheprovider", "unraisableexception", "threadexception"):
                options += ["-p", f"no:{plugin}"]
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                code = int(pytest.main([*options, *map(str, tests)]))
        except BaseException:  # a mutant that cannot even be imported is noticed
            code = 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] != 0


def main(arguments: list[str]) -> int:
    """Print the score; exit code 1 when it is below `--least` percent."""
    parser = argparse.ArgumentParser(prog="lab mutate", description=__doc__)
    parser.add_argument("--least", type=float, default=95.0, help="percent of mutants that must be killed")
    parser.add_argument("modules", nargs="*", default=MODULES, help="modules of model/")
    options = parser.parse_args(arguments)
    tests = [ROOT / "tests" / "model" / f"test_{name}.py" for name in TESTS]
    # Imported once, for all children: pytest and its plugins. The model itself is not.
    import pytest  # noqa: F401

    for plugin in entry_points(group="pytest11"):
        plugin.load()
    assert not any(name.startswith("model.") for name in sys.modules)
    if _tests_fail(None, tests):
        print("the tests fail without any mutant")
        return 2
    killed = total = 0
    for module in options.modules:
        survivors = []
        count = 0
        for mutant in mutants(module):
            count += 1
            if _tests_fail(mutant, tests):
                killed += 1
            else:
                survivors.append(mutant)
        total += count
        print(f"{module}: {count} mutants, {count - len(survivors)} killed")
        for survivor in survivors:
            print(f"  survived: line {survivor.line}: {survivor.change}")
    score = 100 * killed / total
    print(f"{killed} of {total} mutants killed ({score:.1f} %)")
    return 0 if score >= options.least else 1
