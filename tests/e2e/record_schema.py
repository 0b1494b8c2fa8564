"""Holds records against the project's own JSON Schema, docs/record.schema.json, and tells which parts of it they use.

OCSF's schema (ocsf.py) says nothing about what is below `unmapped`, and lets any of its own attributes come and go; this
one says exactly what a record has.
"""

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "record.schema.json"

# Part of the schema, by its JSON pointer -> what stood there: names of JSON types, or for an enumeration the values.
Uses = dict[str, set[Any]]


def faults(record: Any) -> list[str]:
    """Everything in `record` that the schema does not allow."""
    return [f"{error.json_path}: {error.message}" for error in validator().iter_errors(record)]


@cache
def validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    # Moments have a pattern beside their `format`, which this validator would only look at with one more package.
    return Draft202012Validator(schema)


def allowed() -> Uses:
    """Everything that the schema allows."""
    uses: Uses = defaultdict(set)
    schema = validator().schema
    for pointer, part in [("#", schema), *((f"#/$defs/{name}", part) for name, part in schema["$defs"].items())]:
        allow(pointer, part, uses)
    return dict(uses)


def allow(pointer: str, part: dict[str, Any], uses: Uses) -> None:
    uses[pointer] |= alternatives(part)
    for below, inner in inner_parts(pointer, part):
        allow(below, inner, uses)


def used(records: list[Any]) -> Uses:
    """What of it `records` use."""
    uses: Uses = defaultdict(set)
    for record in records:
        use("#", validator().schema, record, uses)
    return dict(uses)


def use(pointer: str, part: dict[str, Any], value: Any, uses: Uses) -> None:
    uses[pointer].add(value if "enum" in part else kind(value))
    if "$ref" in part:
        use(part["$ref"], validator().schema["$defs"][part["$ref"].rpartition("/")[2]], value, uses)
    for below, inner in inner_parts(pointer, part):
        word, _, name = below.removeprefix(f"{pointer}/").partition("/")
        if word == "properties" and isinstance(value, dict) and name in value:
            use(below, inner, value[name], uses)
        elif word == "items" and isinstance(value, list):
            for item in value:
                use(below, inner, item, uses)
        elif word in ("oneOf", "anyOf") and validator().evolve(schema=inner).is_valid(value):
            use(below, inner, value, uses)


def inner_parts(pointer: str, part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The parts directly inside of one, with their pointers."""
    members = [(f"{pointer}/properties/{name}", inner) for name, inner in part.get("properties", {}).items()]
    items = [(f"{pointer}/items", part["items"])] if "items" in part else []
    branches = [(f"{pointer}/{word}/{n}", inner) for word in ("oneOf", "anyOf") for n, inner in enumerate(part.get(word, []))]
    return [*members, *items, *branches]


def alternatives(part: dict[str, Any]) -> set[Any]:
    """The values of an enumeration, or the types, among which the part lets a record choose."""
    if "enum" in part:
        return set(part["enum"])
    types = part.get("type", [])
    return {types} if isinstance(types, str) else set(types)


def kind(value: Any) -> str:
    """The JSON type of a value, as a schema calls it. Severities may be whole numbers."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return "null" if value is None else names[type(value)]
