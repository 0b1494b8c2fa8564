"""The dashboard of template.yaml, as its picture and its tests read it.

A deployment gets the body as text, with names in it that CloudFormation fills in. Here they are filled in with stand-ins, and
each row of a metric widget is written out.
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
    """One row of a metric widget; an expression has no name."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    options: Mapping[str, Any]

    @property
    def expression(self) -> str | None:
        return self.options.get("expression")


class Tagged(yaml.SafeLoader):
    """Reads CloudFormation's short forms, such as `!Sub`, as the long ones."""

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
    """The dashboard with every name filled in: one of `names`, or what stands in the template between `${` and `}`.
    `holds` says whether the conditions of the template do."""
    value = template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    return json.loads(filled_in(value, holds, names))


def filled_in(value: Any, holds: bool, names: Mapping[str, str]) -> str:
    """What `Fn::Sub` and `Fn::If` make of it."""
    if isinstance(value, str):
        return value
    ((function, given),) = value.items()
    if function == "Fn::If":
        return filled_in(given[1 if holds else 2], holds, names)
    text, own = given if isinstance(given, list) else (given, {})
    known = {**names, **{name: filled_in(inner, holds, names) for name, inner in own.items()}}
    return re.sub(r"\$\{([^}]+)\}", lambda found: known.get(found[1], found[1]), text)


def metrics(widget: Mapping[str, Any]) -> Iterator[Metric]:
    """The rows of a metric widget. In a row `.` repeats what stands above it, and `...` the row above but for what follows
    (CloudWatch API reference, "Dashboard Body Structure and Syntax")."""
    above: list[str] = []
    for row in widget["properties"]["metrics"]:
        options = row[-1] if isinstance(row[-1], dict) else {}
        words = [word for word in row if isinstance(word, str)]
        if "expression" in options:
            yield Metric("", "", {}, options)
            continue
        if words[0] == "...":
            words = above[: len(above) - len(words) + 1] + words[1:]
        above = [above[place] if word == "." else word for place, word in enumerate(words)]
        namespace, name, *dimensions = above
        yield Metric(namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True)), options)


def alarms(template: Mapping[str, Any]) -> list[str]:
    """The alarms of the template, by logical ID."""
    return [name for name, one in template["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"]
