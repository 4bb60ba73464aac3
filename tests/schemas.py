"""What `--json` prints, held against docs/schemas: strict, so that a field that is new or renamed has to be told."""

import json
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"
COMMON = "common"


def list_schemas():
    """Return the schemas by the command they are of."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


@cache
def make_validator(command):
    schemas = list_schemas()
    resources = [(f"{name}.json", Resource.from_contents(schema)) for name, schema in schemas.items()]
    return Draft202012Validator(schemas[command], registry=Registry().with_resources(resources))


def check_output(command, text):
    """Return a command's JSON object; fail unless it is what its schema says."""
    told = json.loads(text)
    errors = [f"{error.json_path}: {error.message}" for error in make_validator(command).iter_errors(told)]
    assert not errors, errors
    return told
