"""`make status`: what is switched off at the deployed stack. No deployment switches it on again by itself.

    0  nothing is off but what the stack's parameters switch off
    1  something is off: the lines say what
    2  wrong use
"""

from collections.abc import Iterator
from typing import Any

from stack import NOT_DONE, OK, Stack, arguments, run

# The parameters that switch rules off, by the rule's logical ID.
SWITCHES = {
    "ResponderFunctionGuardDutyFinding": "GuardDutyAlerts",
    "ResponderFunctionHealthRisk": "HealthAlerts",
    "ResponderFunctionTrustedAdvisorExposedKey": "TrustedAdvisorAlerts",
    "ResponderFunctionSecurityHubFinding": "SecurityHubAlerts",
    "ResponderFunctionSecurityHubAction": "SecurityHubActionArn",
    "ResponderFunctionSecurityHubV2Finding": "SecurityHubV2Alerts",
    "ExposedKeyAlerts": "ScannerAlerts",
}
# CloudWatch API reference, "DescribeAlarms".
ALARMS_A_CALL = 100

# What it is, whether it is on, and whether a parameter switches it off.
State = tuple[str, bool, bool]


def main(given: list[str]) -> int:
    stack = Stack(arguments("Lists what is switched off at the deployed stack.").parse_args(given).stack)
    states = list(states_of(stack))
    for what, on, by_parameter in states:
        print("on " if on else "off" if by_parameter else "OFF", "", what + (", by a parameter" if by_parameter and not on else ""))
    off = sum(not on and not by_parameter for _, on, by_parameter in states)
    print(f"{off} switched off by hand: docs/runbook.md, Kill switch" if off else "Nothing is switched off by hand.")
    return NOT_DONE if off else OK


def states_of(stack: Stack) -> Iterator[State]:
    yield from function_states(stack)
    pages = stack.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack.name)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    yield from rule_states(stack, resources)
    yield from alarm_states(stack, resources)


def function_states(stack: Stack) -> Iterator[State]:
    functions, name = stack.client("lambda"), stack["FunctionName"]
    # The answer has no number where none is reserved (Lambda API reference, "GetFunctionConcurrency").
    reserved = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    yield f"function {name}: concurrency {'not reserved' if reserved is None else reserved}", reserved != 0, False
    variables = functions.get_function_configuration(FunctionName=name).get("Environment", {}).get("Variables", {})
    mode = variables.get("RESPONDER_MODE", "enforce")
    yield f"deletes: mode {mode}", mode == "enforce", stack.parameters.get("Mode") == mode
    mappings = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    states = [mapping["State"] for mapping in mappings]
    on = bool(states) and not {"Disabled", "Disabling"} & set(states)
    yield f"mapping of the alert queue: {', '.join(states) or 'deleted'}", on, False


def rule_states(stack: Stack, resources: list[dict[str, Any]]) -> Iterator[State]:
    events = stack.client("events")
    for resource in resources:
        if resource["ResourceType"] != "AWS::Events::Rule":
            continue
        # The physical ID of a rule on a bus of its own has the bus before the name.
        *bus, name = resource["PhysicalResourceId"].split("|")
        try:
            state = events.describe_rule(Name=name, EventBusName=bus[0] if bus else "default")["State"]
        except events.exceptions.ResourceNotFoundException:
            state = "deleted"
        switch = stack.parameters.get(SWITCHES.get(resource["LogicalResourceId"], ""), "on")
        yield f"rule {name}: {state.lower()}", state.startswith("ENABLED"), state == "DISABLED" and switch in ("off", "")


def alarm_states(stack: Stack, resources: list[dict[str, Any]]) -> Iterator[State]:
    names = [one["PhysicalResourceId"] for one in resources if one["ResourceType"] == "AWS::CloudWatch::Alarm"]
    found = stack.client("cloudwatch").describe_alarms(AlarmNames=names, MaxRecords=ALARMS_A_CALL)["MetricAlarms"]
    enabled = {alarm["AlarmName"]: alarm["ActionsEnabled"] for alarm in found}
    for name in names:
        what = {True: "actions on", False: "actions off", None: "deleted"}[enabled.get(name)]
        yield f"alarm {name}: {what}", enabled.get(name) is True, False


if __name__ == "__main__":
    run(main)
