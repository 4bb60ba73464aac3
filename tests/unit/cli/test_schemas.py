"""docs/schemas: valid, one for each command that has --json, and each held against a real output somewhere."""

import re

import click
from conftest import ROOT
from jsonschema import Draft202012Validator
from schemas import COMMON, list_schemas

from alta_sdk.cli import COMMANDS, main


def list_json_commands():
    """Yield the commands with --json, those under others with a dash."""
    for name in COMMANDS:
        command = main.commands[name]
        under = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        for more, one in under:
            if any("--json" in parameter.opts for parameter in one.params):
                yield f"{name}-{more}".rstrip("-")


def test_every_command_with_json_has_a_schema():
    assert list_schemas().keys() == {*list_json_commands(), COMMON}


def test_every_schema_is_listed_on_their_page():
    page = (ROOT / "docs" / "schemas" / "README.md").read_text(encoding="utf-8")
    assert [name for name in list_schemas() if f"]({name}.json)" not in page] == []


def test_every_schema_is_valid_versioned_and_strict():
    for name, schema in list_schemas().items():
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"].endswith("2020-12/schema") and schema["$id"] == f"{name}.json"
        for one in schema.get("oneOf", [schema]) if name != COMMON else ():
            assert one["properties"]["schema_version"] == {"const": 1} and "schema_version" in one["required"]
            assert one["additionalProperties"] is False


def test_every_schema_is_held_against_a_real_output():
    used = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        used |= set(re.findall(r'check_output\(\s*"([a-z-]+)"', path.read_text(encoding="utf-8")))
    assert used == list_schemas().keys() - {COMMON}


def test_a_cosine_is_never_called_score():
    for name, schema in list_schemas().items():
        if name in ("locate", "rank"):
            assert '"score' not in str(schema).replace("'", '"') and "cosine" in str(schema)
