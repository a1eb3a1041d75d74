"""What one plugin brings, taken out of its module and looked at before anything of it is used."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar

from coronel_gdb import api
from coronel_gdb.checks import catalogue
from coronel_gdb.checks.catalogue import Code
from coronel_gdb.commands import memcheck
from coronel_gdb.commands.additions import Check
from coronel_gdb.commands.command import Command
from coronel_gdb.dumps.reader import DumpReader
from coronel_gdb.dumps.recognise import HEAD_BYTES, READERS
from coronel_gdb.errors import CoronelError
from coronel_gdb.plugins.built_in import RESERVED
from coronel_gdb.profiles.missing import missing
from coronel_gdb.profiles.resolve import built_in as profiles
from coronel_gdb.profiles.resolve import parse
from coronel_gdb.profiles.schema import Profile
from coronel_gdb.render.formats import Renderer

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from coronel_gdb.plugins.loaded import Loaded

TABLES = ("COMMANDS", "CHECKS", "PROFILES", "RENDERERS", "DUMP_READERS")
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_CODE = re.compile(r"[A-Z]+[0-9]{3}")

T = TypeVar("T")


class Unfit(Exception):
    """Why a plugin is not used."""


class ProfileFile(Protocol):
    """A profile's TOML: a `Path`, or a resource of the plugin's package."""

    @property
    def name(self) -> str:
        """The file's name."""

    def read_text(self, encoding: str) -> str:
        """What it holds."""


Taken = dict[str, set[str]]
"""Names that are given away, by kind: `command`, `check`, `code`, `profile`, `format`, `magic`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The tables of a plugin."""

    commands: tuple[Command, ...]
    checks: tuple[Check, ...]
    profiles: tuple[Profile, ...]
    renderers: tuple[Renderer, ...]
    readers: tuple[DumpReader, ...]

    def describe(self) -> str:
        """In words, for `coronel status`."""
        words = [f"command {command.name}" for command in self.commands]
        for check in self.checks:
            codes = ", ".join(code.code for code in check.codes)
            words.append(f"check {check.name} ({codes})" if codes else f"check {check.name}")
        words += [f"profile {profile.name}" for profile in self.profiles]
        words += [f"format {renderer.name}" for renderer in self.renderers]
        words += [f"dumps {reader.name}" for reader in self.readers]
        return ", ".join(words)

    def names(self) -> Taken:
        """The names that it takes."""
        return {
            "command": {command.name for command in self.commands},
            "check": {check.name for check in self.checks},
            "code": {code.code for check in self.checks for code in check.codes},
            "profile": {profile.name for profile in self.profiles},
            "format": {renderer.name for renderer in self.renderers},
            "magic": {reader.magic.hex(" ") for reader in self.readers},
        }


def built_in(loaded: "Loaded") -> Taken:
    """The names that are taken before the first plugin, words of the surfaces among them."""
    return {
        "command": {*RESERVED, *(command.name for command in loaded.commands)},
        "check": {check.name for check in memcheck.CHECKS},
        "code": {value.code for value in vars(catalogue).values() if isinstance(value, Code)},
        "profile": {profile.name for profile in profiles()},
        "format": set(loaded.renderers),
        "magic": {reader.magic.hex(" ") for reader in READERS},
    }


def read(entry: "EntryPoint", taken: Taken) -> Parts:
    """What the plugin brings; `Unfit` when it cannot be imported or used, or a name is taken.

    `taken` has the plugin's names afterwards.
    """
    try:
        with redirect_stdout(sys.stderr):  # what is printed would be part of a report
            parts = _parts(entry.load())
        names = parts.names()
    except Unfit:
        raise
    except (Exception, SystemExit) as error:
        raise Unfit(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    for kind, theirs in names.items():
        for name in sorted(theirs & taken[kind]):
            raise Unfit(f"there is a {kind} {name} already")
    for kind, theirs in names.items():
        taken[kind] |= theirs
    return parts


def _parts(module: ModuleType) -> Parts:
    version = getattr(module, "API_VERSION", api.API_VERSION)
    if version != api.API_VERSION:
        raise Unfit(f"is for version {version!r} of the plugin interface, and this is {api.API_VERSION}")
    if not any(hasattr(module, table) for table in TABLES):
        raise Unfit(f"{module.__name__} has none of {', '.join(TABLES)}")
    parts = Parts(
        tuple(_items(module, "COMMANDS", Command)),
        tuple(_items(module, "CHECKS", Check)),
        tuple(map(_profile, _items(module, "PROFILES", None))),
        tuple(_items(module, "RENDERERS", Renderer)),
        tuple(_items(module, "DUMP_READERS", DumpReader)),
    )
    _judge(parts)
    return parts


def _items(module: ModuleType, table: str, kind: type[T] | None) -> Iterator[T]:
    found = getattr(module, table, ())
    if not isinstance(found, Sequence) or isinstance(found, str | bytes):
        raise Unfit(f"{table} is {type(found).__name__}, not a tuple or list")
    for item in found:
        if kind is not None and not isinstance(item, kind):
            raise Unfit(f"{table} holds {type(item).__name__}, not {kind.__name__}")
        yield item


def _profile(file: ProfileFile) -> Profile:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, AttributeError, UnicodeDecodeError) as error:
        raise Unfit(f"PROFILES: {file} cannot be read: {error}") from error
    try:
        profile = parse(text)
    except CoronelError as error:
        raise Unfit(f"PROFILES: {file.name}: {error}") from error
    for wrong in missing(profile, None):
        raise Unfit(f"PROFILES: {file.name}: {wrong.where}: {wrong.what}")
    return profile


def _judge(parts: Parts) -> None:
    """What the classes alone do not say: names that can be typed, codes in their form, options."""
    for command in parts.commands:
        _named("command", command.name, _NAME)
        _tried(f"command {command.name}", command.help)
    for check in parts.checks:
        for code in check.codes:
            _named("code", code.code, _CODE)
    for renderer in parts.renderers:
        _named("format", renderer.name, _NAME)
    for reader in parts.readers:
        if not isinstance(reader.magic, bytes) or not 0 < len(reader.magic) <= HEAD_BYTES:
            raise Unfit(f"dump reader {reader.name}: magic is not 1 to {HEAD_BYTES} bytes")


def _named(kind: str, name: object, form: re.Pattern[str]) -> None:
    if not isinstance(name, str) or not form.fullmatch(name):
        raise Unfit(f"{kind} {name!r} is no name: {form.pattern}")


def _tried(what: str, function: Callable[[], object]) -> None:
    try:
        function()
    except Exception as error:  # whatever argparse makes of the plugin's options
        raise Unfit(f"{what}: {type(error).__name__}: {error}") from error
