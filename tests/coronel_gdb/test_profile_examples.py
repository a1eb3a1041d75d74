"""The profiles that docs/profiles.md shows are profiles: every key in them is one, and none is missing."""

import re
import tomllib

import pytest

from coronel_gdb.profiles.keys.catalogue import section
from coronel_gdb.profiles.resolve import parse
from lab.paths import ROOT

EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs" / "profiles.md").read_text(), re.M | re.S)


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_a_profile(text: str) -> None:
    profile = parse(text)
    schemed = {name: table for name, table in tomllib.loads(text).items() if isinstance(table, dict)}
    assert schemed
    for name, table in schemed.items():
        keys = section(name)
        scheme = keys.scheme(table["scheme"]) if keys is not None else None
        assert scheme is not None
        named = {key.name: key for key in scheme.keys}
        assert set(table) - set(named) <= {"scheme", "lacks"}
        for key in scheme.keys:
            if key.name in table:
                roles = {role.name for role in key.roles}
                assert not roles or set(table[key.name]) <= roles
                assert not key.of or scheme.required(key) <= set(profile.places(name, key.name))
            else:
                assert key.absent or {*key.one_of} & set(table)


def test_there_are_some() -> None:
    assert len(EXAMPLES) == 2
