"""What is said of a scheme that is not Coronel's: one row a scheme, for each section."""

import argparse
from collections.abc import Callable, Iterator

from coronel_gdb.commands.roles.role import Role
from coronel_gdb.commands.schemes.boundary_tags import arena_report, chunk_roles
from coronel_gdb.commands.schemes.run_list import page_roles, runs_report
from coronel_gdb.commands.survey import Survey
from coronel_gdb.profiles.schema import Section
from coronel_gdb.report import Report

Reporter = Callable[[Survey, Section, argparse.Namespace | None], Report]

_REPORTERS: dict[tuple[str, str], Reporter] = {
    ("heap", "boundary_tags"): arena_report,
    ("frames", "run_list"): runs_report,
}


Teller = Callable[[Survey, Section, int], Iterator[Role]]

_TELLERS: dict[tuple[str, str], Teller] = {
    ("heap", "boundary_tags"): chunk_roles,
    ("frames", "run_list"): page_roles,
}


def other_roles(survey: Survey, name: str, address: int) -> Iterator[Role] | None:
    """What an address is to a section in a scheme of its own; None when it is in Coronel's, or not there."""
    profile = survey.context.profile
    teller = _TELLERS.get((name, profile.scheme(name)))
    return None if teller is None else teller(survey, profile.sections[name], address)


def other_report(survey: Survey, name: str, options: argparse.Namespace | None) -> Report | None:
    """The report about a section in a scheme of its own; None when it is in Coronel's, or not there."""
    profile = survey.context.profile
    reporter = _REPORTERS.get((name, profile.scheme(name)))
    return None if reporter is None else reporter(survey, profile.sections[name], options)
