"""A template as CloudFormation carries it out: parameters, conditions and references have become values.

Checkers of others know nothing of what `Fn::If` and `Ref` come to; this is what they are given instead. What does not
resolve raises, so that no checker is handed a half-read template and is content with it.
"""

import json
import re

ACCOUNT = "012345678912"
REGION = "eu-central-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "responder",
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/responder/11112222-3333-4444-5555-666677778888",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()

# What each type's ARN looks like after the account (Service Authorization Reference, "Resource types").
ARNS = {
    "AWS::CloudWatch::Alarm": "cloudwatch:{place}:alarm:{name}",
    "AWS::Events::Archive": "events:{place}:archive/{name}",
    "AWS::Events::EventBus": "events:{place}:event-bus/{name}",
    "AWS::Events::Rule": "events:{place}:rule/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::KMS::Key": "kms:{place}:key/{name}",
    "AWS::Lambda::Function": "lambda:{place}:function:{name}",
    "AWS::Logs::LogGroup": "logs:{place}:log-group:{name}:*",
    "AWS::SNS::Topic": "sns:{place}:{name}",
    "AWS::SQS::Queue": "sqs:{place}:{name}",
    "AWS::StepFunctions::StateMachine": "states:{place}:stateMachine:{name}",
}
# Types whose `Ref` is the ARN, and not the name.
REF_IS_ARN = ("AWS::SNS::Topic", "AWS::StepFunctions::StateMachine")


class Deployment:
    """One template with one choice of parameters; what is left out has its default."""

    def __init__(self, template, **parameters):
        self.template = template
        declared = template.get("Parameters", {})
        unknown = set(parameters) - set(declared)
        assert not unknown, f"the template has no parameter {sorted(unknown)}"
        self.parameters = {}
        for name, parameter in declared.items():
            value = parameters.get(name, parameter.get("Default"))
            assert value is not None, f"parameter {name} has no default, and no value is given"
            self.parameters[name] = self.typed(parameter["Type"], value)

    @staticmethod
    def typed(kind, value):
        if kind == "CommaDelimitedList" or kind.startswith("List<"):
            return str(value).split(",")
        # CloudFormation hands numbers over as text where a property asks for text; checkers want the number.
        return int(value) if kind == "Number" else str(value)

    def resolved(self):
        """The template without parameters, conditions and functions, and without what a condition leaves out."""
        resources = {}
        for name, resource in self.template["Resources"].items():
            if "Condition" in resource and not self.condition(resource["Condition"]):
                continue
            resources[name] = self.value({key: part for key, part in resource.items() if key != "Condition"})
        return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}

    def refused(self):
        """The assertions of the section Rules that these parameters do not keep, by what they say."""
        return [
            assertion["AssertDescription"]
            for rule in self.template["Rules"].values()
            if "RuleCondition" not in rule or self.truth(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self.truth(assertion["Assert"])
        ]

    def condition(self, name):
        return self.truth(self.template["Conditions"][name])

    def truth(self, expression):
        ((function, arguments),) = expression.items()
        if function == "Condition":
            return self.condition(arguments)
        if function == "Fn::Equals":
            left, right = (self.value(argument) for argument in arguments)
            return str(left) == str(right)
        inner = [self.truth(argument) for argument in arguments]
        return {"Fn::Not": lambda: not inner[0], "Fn::And": lambda: all(inner), "Fn::Or": lambda: any(inner)}[
            function
        ]()

    def value(self, node):
        if isinstance(node, list):
            return [one for one in map(self.value, node) if one is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, arguments),) = node.items()
            if function == "Ref":
                return self.reference(arguments)
            if function.startswith("Fn::"):
                return self.call(function, arguments)
        parts = {key: self.value(part) for key, part in node.items()}
        return {key: part for key, part in parts.items() if part is not NO_VALUE}

    def call(self, function, arguments):
        if function == "Fn::If":
            name, yes, no = arguments
            return self.value(yes if self.condition(name) else no)
        if function == "Fn::GetAtt":
            return self.attribute(*(arguments.split(".", 1) if isinstance(arguments, str) else arguments))
        if function == "Fn::Sub":
            text, own = (arguments, {}) if isinstance(arguments, str) else arguments
            return re.sub(r"\$\{(!?)([^}]+)\}", lambda found: self.substitute(found, own), text)
        if function == "Fn::Join":
            separator, parts = arguments
            return separator.join(str(part) for part in self.value(parts))
        if function == "Fn::Split":
            separator, text = arguments
            return self.value(text).split(separator)
        if function == "Fn::Select":
            index, parts = arguments
            return self.value(parts)[int(index)]
        raise AssertionError(f"{function} is not read here")

    def substitute(self, found, own):
        literal, name = found.groups()
        if literal:
            return "${" + name + "}"
        if name in own:
            return str(self.value(own[name]))
        if "." in name:
            return self.attribute(*name.split(".", 1))
        value = self.reference(name)
        return ",".join(value) if isinstance(value, list) else str(value)

    def reference(self, name):
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        resource = self.template["Resources"][name]
        bus = resource.get("Properties", {}).get("EventBusName")
        if resource["Type"] == "AWS::Events::Rule" and bus:
            # CloudFormation template reference, "AWS::Events::Rule", return values.
            return f"{self.value(bus)}|{name}"
        return self.arn(name) if resource["Type"] in REF_IS_ARN else name

    def attribute(self, name, attribute):
        resource = self.template["Resources"][name]
        if "Condition" in resource:
            assert self.condition(resource["Condition"]), f"{name}, which is left out, is asked for its {attribute}"
        return self.arn(name) if attribute == "Arn" else f"{name}.{attribute}"

    def arn(self, name):
        place = f"{REGION}:{ACCOUNT}"
        resource = self.template["Resources"][name]
        bus = resource.get("Properties", {}).get("EventBusName")
        if resource["Type"] == "AWS::Events::Rule" and bus:
            return f"arn:aws:events:{place}:rule/{self.value(bus)}/{name}"
        return "arn:aws:" + ARNS[self.template["Resources"][name]["Type"]].format(
            place=place, account=ACCOUNT, name=name
        )


def policies(node, path=()):
    """Every policy document of a resolved template with the path to it."""
    if isinstance(node, list):
        for index, one in enumerate(node):
            yield from policies(one, (*path, str(index)))
    elif isinstance(node, dict):
        if node.get("Type") == "AWS::Events::EventBusPolicy":
            # Its one statement stands alone.
            yield (*path, "Statement"), {"Version": "2012-10-17", "Statement": [node["Properties"]["Statement"]]}
        elif "Statement" in node:
            yield path, node
        else:
            for key, one in node.items():
                if key == "PolicyDocument" and isinstance(one, str):
                    # That of AWS::Logs::ResourcePolicy is text.
                    one = json.loads(one)
                yield from policies(one, (*path, key))
