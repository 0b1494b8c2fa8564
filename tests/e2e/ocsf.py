"""Holds records against OCSF 1.8, class Remediation Activity with the cloud profile, as its own schema package has it.

Independent of the function: the schema is the published one, and the validator refuses any attribute that it lacks.
"""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema


def faults(record: Any) -> list[str]:
    """Everything in `record` that is not OCSF."""
    return [f"{error.json_path}: {error.message}" for error in validator().iter_errors(record)]


@cache
def validator() -> Draft202012Validator:
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    schema = schemas.get_class_schema("remediation_activity", ["cloud"])
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)
