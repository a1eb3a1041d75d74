"""What is said of a scheme that is not Coronel's: one row a scheme, for each section.

A scheme is imported when a kernel has it: few have, and it takes longer than most commands run.
"""

import argparse
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType

from coronel_gdb.commands.roles.role import Role
from coronel_gdb.commands.survey import Survey
from coronel_gdb.profiles.schema import Section
from coronel_gdb.report import Report

Reporter = Callable[[Survey, Section, argparse.Namespace | None], Report]

_REPORTERS = {("heap", "boundary_tags"): "arena_report", ("frames", "run_list"): "runs_report"}
Teller = Callable[[Survey, Section, int], Iterator[Role]]

_TELLERS = {("heap", "boundary_tags"): "chunk_roles", ("frames", "run_list"): "page_roles"}


def other_roles(survey: Survey, name: str, address: int) -> Iterator[Role] | None:
    """What an address is to a section in a scheme of its own; None when it is in Coronel's, or not there."""
    profile = survey.context.profile
    scheme = profile.scheme(name)
    if (name, scheme) not in _TELLERS:
        return None
    teller: Teller = getattr(_module(scheme), _TELLERS[name, scheme])
    return teller(survey, profile.sections[name], address)


def other_report(survey: Survey, name: str, options: argparse.Namespace | None) -> Report | None:
    """The report about a section in a scheme of its own; None when it is in Coronel's, or not there."""
    profile = survey.context.profile
    scheme = profile.scheme(name)
    if (name, scheme) not in _REPORTERS:
        return None
    reporter: Reporter = getattr(_module(scheme), _REPORTERS[name, scheme])
    return reporter(survey, profile.sections[name], options)


def _module(scheme: str) -> ModuleType:
    return import_module(f"coronel_gdb.commands.schemes.{scheme}")
