"""`make status` sees each way in which a deployment can be switched off. The answers have the shapes of AWS's own models."""

import sys
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore.stub import Stubber

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import status  # noqa: E402

NAME = "lightsail-key-responder"
GUARDDUTY, EXPOSED, ALARM = f"{NAME}-GuardDuty", f"{NAME}-ExposedKey", f"{NAME}-ResponderErrors-1A"
RESOURCES = [
    ("ResponderFunctionGuardDutyFinding", GUARDDUTY, "AWS::Events::Rule"),
    ("ExposedKeyAlerts", f"lightsail-key-alerts|{EXPOSED}", "AWS::Events::Rule"),
    ("ResponderErrors", ALARM, "AWS::CloudWatch::Alarm"),
]


@pytest.fixture
def run_status(monkeypatch, capsys):
    """Runs the command on a stack in this state: its exit code and its lines."""

    def run(
        reserved=None, mode="enforce", mapping=("Enabled",), guardduty="ENABLED", exposed="ENABLED", actions=True, **parameters
    ):
        clients = {
            service: boto3.client(service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
            for service in ("cloudformation", "lambda", "events", "cloudwatch")
        }
        stubs = {service: Stubber(client) for service, client in clients.items()}
        given = {"ReservedConcurrentExecutions": reserved} if reserved is not None else {}
        stubs["lambda"].add_response("get_function_concurrency", given, {"FunctionName": "F"})
        variables = {"Environment": {"Variables": {"RESPONDER_MODE": mode}}}
        stubs["lambda"].add_response("get_function_configuration", variables, {"FunctionName": "F"})
        mappings = {"EventSourceMappings": [{"State": state} for state in mapping]}
        stubs["lambda"].add_response("list_event_source_mappings", mappings, {"FunctionName": "F"})
        summaries = [
            {
                "LogicalResourceId": logical,
                "PhysicalResourceId": physical,
                "ResourceType": kind,
                "LastUpdatedTimestamp": "2026-11-24T03:00:00Z",
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for logical, physical, kind in RESOURCES
        ]
        listed = {"StackResourceSummaries": summaries}
        stubs["cloudformation"].add_response("list_stack_resources", listed, {"StackName": NAME})
        for name, bus, state in ((GUARDDUTY, "default", guardduty), (EXPOSED, "lightsail-key-alerts", exposed)):
            asked = {"Name": name, "EventBusName": bus}
            if state:
                stubs["events"].add_response("describe_rule", {"Name": name, "State": state}, asked)
            else:
                stubs["events"].add_client_error("describe_rule", "ResourceNotFoundException", expected_params=asked)
        alarms = [] if actions is None else [{"AlarmName": ALARM, "ActionsEnabled": actions}]
        stubs["cloudwatch"].add_response(
            "describe_alarms", {"MetricAlarms": alarms}, {"AlarmNames": [ALARM], "MaxRecords": status.ALARMS_A_CALL}
        )
        for stub in stubs.values():
            stub.activate()

        class Stack(SimpleNamespace):
            def client(self, service):
                return clients[service]

            def __getitem__(self, output):
                return {"FunctionName": "F"}[output]

        given = {"Mode": "enforce", "GuardDutyAlerts": "on", "ScannerAlerts": "on", **parameters}
        monkeypatch.setattr(status, "Stack", lambda name: Stack(name=name, parameters=given))
        code = status.main([])
        for stub in stubs.values():
            stub.assert_no_pending_responses()
        return code, capsys.readouterr().out.splitlines()

    return run


def test_deployment_as_made_is_on(run_status):
    for reserved in (None, 10):
        code, lines = run_status(reserved=reserved)
        assert code == 0 and lines[-1] == "Nothing is switched off by hand."
        assert len(lines) == 7 and all(line.startswith("on ") for line in lines[:-1])


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({"reserved": 0}, "OFF  function F: concurrency 0"),
        ({"mode": "dry_run"}, "OFF  deletes: mode dry_run"),
        ({"mapping": ["Disabled"]}, "OFF  mapping of the alert queue: Disabled"),
        ({"mapping": []}, "OFF  mapping of the alert queue: deleted"),
        ({"guardduty": "DISABLED"}, f"OFF  rule {GUARDDUTY}: disabled"),
        ({"guardduty": None}, f"OFF  rule {GUARDDUTY}: deleted"),
        ({"guardduty": None, "GuardDutyAlerts": "off"}, f"OFF  rule {GUARDDUTY}: deleted"),
        ({"exposed": "DISABLED"}, f"OFF  rule {EXPOSED}: disabled"),
        ({"actions": False}, f"OFF  alarm {ALARM}: actions off"),
        ({"actions": None}, f"OFF  alarm {ALARM}: deleted"),
    ],
)
def test_what_is_switched_off_by_hand_is_seen(state, line, run_status):
    code, lines = run_status(**state)
    assert code == 1 and line in lines
    assert lines[-1] == "1 switched off by hand: docs/runbook.md, Kill switch"


@pytest.mark.parametrize(
    ("state", "line"),
    [
        ({"guardduty": "DISABLED", "GuardDutyAlerts": "off"}, f"off  rule {GUARDDUTY}: disabled, by a parameter"),
        ({"mode": "dry_run", "Mode": "dry_run"}, "off  deletes: mode dry_run, by a parameter"),
    ],
)
def test_what_parameters_switch_off_is_no_fault(state, line, run_status):
    code, lines = run_status(**state)
    assert code == 0 and line in lines


def test_switches_are_those_of_the_template(resources, template):
    conditions = {name: one["Fn::Equals"][0]["Ref"] for name, one in template["Conditions"].items() if "Fn::Equals" in one}
    conditions["HasSecurityHubAction"] = "SecurityHubActionArn"
    expected = {
        name: conditions[rule["State"]["Fn::If"][0]]
        for name, rule in resources("AWS::Events::Rule").items()
        if isinstance(rule["State"], dict)
    }
    assert status.SWITCHES == expected
