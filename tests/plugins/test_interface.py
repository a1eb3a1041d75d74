"""docs/plugins.md describes all that plugins may import, with the arguments that it really has."""

import re
from dataclasses import fields

import pytest

from coronel_gdb import api
from lab.paths import ROOT

TEXT = (ROOT / "docs" / "plugins.md").read_text()


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_is_documented_and_there(name: str) -> None:
    assert hasattr(api, name)
    assert re.search(rf"(?<!\w){name}(?!\w)", TEXT)


@pytest.mark.parametrize("kind", [api.Command, api.Option, api.Check, api.Renderer, api.DumpReader, api.Code])
def test_arguments_are_those_of_the_class(kind: type) -> None:
    found = re.search(rf"`{kind.__name__}\(([\w, ]+)\)`", TEXT)
    assert found, kind.__name__
    documented = found[1].split(", ")
    assert documented == [field.name for field in fields(kind)][: len(documented)]


def test_the_version_is_that_of_the_document() -> None:
    assert f"`API_VERSION` there, now {api.API_VERSION}:" in re.sub(r"\s+", " ", TEXT)
