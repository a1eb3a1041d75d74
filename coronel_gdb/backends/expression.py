"""Expressions where there is no debugger: integers, `$register`, `symbol`, `&symbol`, sums of integers.

A symbol of 1, 2, 4 or 8 bytes gives its value, a larger one and a function its address, as a debugger would
show them. Nothing is ever handed to an interpreter.
"""

import re
from collections.abc import Callable

from coronel_gdb.errors import CoronelError, UsageError
from coronel_gdb.layout.symbols import Symbol
from model.types import U64_MASK

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|[0-9]+)(?![\w])|\$(?P<register>\w+)|(?P<operator>[-+])"
    r"|(?P<address>&\s*)?(?:'(?P<quoted>[^']+)'|(?P<name>(?:::)?[A-Za-z_]\w*(?:::~?\w+)*)))\s*"
)
_LONGEST = 1024
_ALIASES = {"pc": "rip", "sp": "rsp", "fp": "rbp"}
_CAN = "without a debugger: numbers, $registers, symbols, &symbols, and sums of numbers and registers"


class Evaluator:
    """What an expression may refer to: registers, symbols, and the unsigned integers in memory."""

    def __init__(
        self,
        register: Callable[[str], int],
        symbol: Callable[[str], Symbol | None],
        read: Callable[[int, int], int],
    ) -> None:
        self._register = register
        self._symbol = symbol
        self._read = read

    def evaluate(self, expression: str) -> int:
        """The value modulo 2^64; `UsageError` says what cannot be understood, found or read."""
        try:
            return self._sum(expression[:_LONGEST]) & U64_MASK
        except UsageError as error:
            raise UsageError(f"cannot evaluate {expression[:80]}: {error}") from error
        except CoronelError as error:
            raise UsageError(f"cannot evaluate {expression[:80]}: {error}") from error

    def _sum(self, text: str) -> int:
        total, sign, at, wanted = 0, 1, 0, True
        plain, terms = True, 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise UsageError(f"not understood at `{text[at : at + 20].strip()}` ({_CAN})")
            at = found.end()
            if operator := found["operator"]:
                sign = sign * (-1 if operator == "-" else 1) if wanted else (-1 if operator == "-" else 1)
                wanted = True
                continue
            if not wanted:
                raise UsageError(f"an operator is missing ({_CAN})")
            value, numeric = self._term(found)
            total, sign, wanted, plain, terms = total + sign * value, 1, False, plain and numeric, terms + 1
        if wanted:
            raise UsageError("it ends too early" if text.strip() else "it is empty")
        if terms > 1 and not plain:
            raise UsageError(
                f"the type of a symbol is not known here, so nothing can be added to it ({_CAN})"
            )
        return total

    def _term(self, found: re.Match[str]) -> tuple[int, bool]:
        """Value, and whether it is a plain integer."""
        if number := found["number"]:
            return int(number, 16 if number[:2] in ("0x", "0X") else 10), True
        if register := found["register"]:
            return self._register(_ALIASES.get(register, register)), True
        name = found["quoted"] or found["name"]
        symbol = self._symbol(name)
        if symbol is None:
            raise UsageError(f"no symbol {name} in the kernel file")
        if found["address"] is not None or symbol.is_function or symbol.size_bytes not in (1, 2, 4, 8):
            return symbol.address, False
        return self._read(symbol.address, symbol.size_bytes), False
