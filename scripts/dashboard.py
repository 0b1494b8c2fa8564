"""Reads the dashboard of template.yaml, for its picture and its tests.

CloudFormation fills names into the text of the dashboard body. This module fills in placeholders instead, and expands
the short form of the rows of a metric widget.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).resolve().parents[1] / "template.yaml"


@dataclass(frozen=True)
class Metric:
    """One row of a metric widget. An expression has no name."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    options: Mapping[str, Any]

    @property
    def expression(self) -> str | None:
        return self.options.get("expression")


class Tagged(yaml.SafeLoader):
    """Loads CloudFormation's short forms, such as `!Sub`, as their long forms."""

    def function(self, suffix: str, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            value = self.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = self.construct_sequence(node, deep=True)
        else:
            value = self.construct_mapping(node, deep=True)
        if suffix == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Tagged.add_multi_constructor("!", Tagged.function)


def template(file: Path = TEMPLATE) -> dict[str, Any]:
    return yaml.load(file.read_text(), Tagged)


def body(template: Mapping[str, Any], holds: bool = True, **names: str) -> dict[str, Any]:
    """Returns the dashboard with every name filled in: from `names`, else the text between `${` and `}` in the
    template. `holds` is the value of every condition of the template."""
    value = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    return json.loads(filled_in(value, holds, names))


def filled_in(value: Any, holds: bool, names: Mapping[str, str]) -> str:
    """Evaluates `Fn::Sub` and `Fn::If`."""
    if isinstance(value, str):
        return value
    ((function, given),) = value.items()
    if function == "Fn::If":
        return filled_in(given[1 if holds else 2], holds, names)
    text, variables = given if isinstance(given, list) else (given, {})
    known = {**names, **{name: filled_in(inner, holds, names) for name, inner in variables.items()}}
    return re.sub(r"\$\{([^}]+)\}", lambda match: known.get(match[1], match[1]), text)


def metrics(widget: Mapping[str, Any]) -> Iterator[Metric]:
    """Yields the rows of a metric widget. In a row, `.` repeats the value above it, and `...` repeats the row above
    except the values that follow it (CloudWatch API reference, "Dashboard Body Structure and Syntax")."""
    above: list[str] = []
    for row in widget["properties"]["metrics"]:
        options = row[-1] if isinstance(row[-1], dict) else {}
        values = [value for value in row if isinstance(value, str)]
        if "expression" in options:
            yield Metric("", "", {}, options)
            continue
        if values[0] == "...":
            values = above[: len(above) - len(values) + 1] + values[1:]
        above = [above[index] if value == "." else value for index, value in enumerate(values)]
        namespace, name, *dimensions = above
        yield Metric(namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True)), options)


def alarms(template: Mapping[str, Any]) -> list[str]:
    """Returns the logical IDs of the template's alarms."""
    resources = template["Resources"].items()
    return [name for name, resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"]
