"""The template is valid, least in privilege, and says the same as the code."""

import json
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name
from cfnlint.api import ManualArgs, lint

BIN = Path(sys.executable).parent
FUNCTION = {"Fn::GetAtt": ["ResponderFunction", "Arn"]}
QUEUE = {"Fn::GetAtt": ["FailureQueue", "Arn"]}


# AWS's own tools -----------------------------------------------------------------------------------------------------


def findings(text):
    config = ManualArgs(regions=["us-east-1", "eu-central-1"], include_checks=["I"])
    return [f"{match.rule.id} {match.message}" for match in lint(text, config=config)]


def test_cfn_lint_finds_nothing_in_the_template(root):
    assert findings((root / "template.yaml").read_text()) == []


def test_cfn_lint_would_find_a_fault(root):
    broken = (root / "template.yaml").read_text().replace("SqsManagedSseEnabled", "SqsManagedSse")
    assert any("SqsManagedSse" in finding for finding in findings(broken))


def test_sam_validate_is_content_and_speaks_to_nobody(root, sam_environment, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = "http://127.0.0.1:{}".format(proxy.getsockname()[1])
        dummies = {"HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
        environment = {**sam_environment, **dummies, "HTTPS_PROXY": address, "HTTP_PROXY": address}
        command = [BIN / "sam", "validate", "--lint", "--region", "us-east-1"]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is a valid SAM Template" in done.stdout


# What AWS SAM makes of the template ----------------------------------------------------------------------------------


def test_the_function_has_our_role_and_there_is_no_other(resources):
    (function,) = resources("AWS::Lambda::Function").values()
    assert function["Role"] == {"Fn::GetAtt": ["ResponderRole", "Arn"]}
    ((name, role),) = resources("AWS::IAM::Role").items()
    assert name == "ResponderRole"
    assert "ManagedPolicyArns" not in role


def test_the_only_queue_is_encrypted_and_keeps_failures_as_long_as_can_be(resources):
    queues = resources("AWS::SQS::Queue")
    assert queues == {"FailureQueue": {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 14 * 24 * 3600}}


def test_every_rule_delivers_to_the_function_again_and_again_and_then_to_the_queue(resources):
    rules = resources("AWS::Events::Rule")
    assert len(rules) == 2
    for name, rule in rules.items():
        assert "EventBusName" not in rule, "the default bus is the one on which nobody can pose as AWS"
        (target,) = rule["Targets"]
        assert target["Arn"] == FUNCTION, name
        assert target["DeadLetterConfig"] == {"Arn": QUEUE}, name
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 185}, name


def test_every_rule_and_nobody_else_may_invoke_the_function(resources):
    permissions = list(resources("AWS::Lambda::Permission").values())
    for permission in permissions:
        assert permission["Principal"] == "events.amazonaws.com"
        assert permission["Action"] == "lambda:InvokeFunction"
        assert permission["FunctionName"] == {"Ref": "ResponderFunction"}
    callers = sorted(permission["SourceArn"]["Fn::GetAtt"][0] for permission in permissions)
    assert callers == sorted(resources("AWS::Events::Rule"))


def test_only_our_rules_may_send_to_the_queue_and_only_over_tls(resources):
    (policy,) = resources("AWS::SQS::QueuePolicy").values()
    allow, deny = policy["PolicyDocument"]["Statement"]
    assert (allow["Effect"], allow["Principal"]) == ("Allow", {"Service": "events.amazonaws.com"})
    assert (allow["Action"], allow["Resource"]) == ("sqs:SendMessage", QUEUE)
    senders = [{"Fn::GetAtt": [rule, "Arn"]} for rule in resources("AWS::Events::Rule")]
    ((operator, keys),) = allow["Condition"].items()
    assert operator == "ArnEquals" and set(keys) == {"aws:SourceArn"}
    assert sorted(keys["aws:SourceArn"], key=str) == sorted(senders, key=str)
    assert (deny["Effect"], deny["Principal"], deny["Action"], deny["Resource"]) == ("Deny", "*", "sqs:*", QUEUE)
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_failed_invocation_is_tried_again_and_then_handed_to_the_queue(resources, template):
    (invoke,) = resources("AWS::Lambda::EventInvokeConfig").values()
    assert invoke["DestinationConfig"] == {"OnFailure": {"Destination": QUEUE}}
    assert invoke["MaximumRetryAttempts"] == 2
    # Lambda waits for one minute before the second try, and for two before the third.
    timeout = template["Resources"]["ResponderFunction"]["Properties"]["Timeout"]
    assert invoke["MaximumEventAgeInSeconds"] > 3 * timeout + 60 + 120


def test_alarms_watch_the_function_and_the_queue_and_stay_quiet_without_data(resources):
    alarms = resources("AWS::CloudWatch::Alarm").values()
    watched = {alarm["MetricName"]: alarm["Dimensions"] for alarm in alarms}
    assert watched == {
        "Errors": [{"Name": "FunctionName", "Value": {"Ref": "ResponderFunction"}}],
        "ApproximateNumberOfMessagesVisible": [
            {"Name": "QueueName", "Value": {"Fn::GetAtt": ["FailureQueue", "QueueName"]}}
        ],
    }
    for alarm in alarms:
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
        assert alarm["TreatMissingData"] == "notBreaching"


# Least privilege -----------------------------------------------------------------------------------------------------


@pytest.fixture
def statements(resources):
    """The statements of the role, those that depend on a parameter too."""
    (role,) = resources("AWS::IAM::Role").values()
    (policy,) = role["Policies"]
    return [one["Fn::If"][1] if "Fn::If" in one else one for one in policy["PolicyDocument"]["Statement"]]


def lightsail_operations():
    return botocore.session.get_session().get_service_model("lightsail").operation_names


def test_the_role_allows_exactly_the_lightsail_calls_of_the_code(statements, root):
    source = (root / "src/lightsail.rs").read_text()
    called = re.findall(r"self\s*\.client\s*\.(\w+)\(\)", source)
    assert len(called) == source.count(".send()") > 0, "a call is made in a way that this test does not see"
    names = {xform_name(operation): operation for operation in lightsail_operations()}
    expected = {f"lightsail:{names[call]}" for call in called}
    allowed = {action for one in statements if one["Effect"] == "Allow" for action in one["Action"]}
    assert {action for action in allowed if action.startswith("lightsail:")} == expected


def test_the_role_allows_nothing_else_but_its_own_log_and_queue(statements):
    allowed = {action: one["Resource"] for one in statements if one["Effect"] == "Allow" for action in one["Action"]}
    bucket = {"Fn::Sub": "arn:${AWS::Partition}:lightsail:*:${AWS::AccountId}:Bucket/*"}
    log = {"Fn::GetAtt": ["ResponderLogGroup", "Arn"]}
    assert allowed.pop("lightsail:DeleteBucketAccessKey") == bucket
    assert (allowed.pop("logs:CreateLogStream"), allowed.pop("logs:PutLogEvents")) == (log, log)
    assert allowed.pop("sqs:SendMessage") == QUEUE
    role = {"Fn::Sub": "arn:${AWS::Partition}:iam::*:role/${MemberRoleName}"}
    assert allowed.pop("sts:AssumeRole") == role
    # What is left reads, and has no resource type.
    assert all(re.fullmatch(r"lightsail:Get\w+", action) for action in allowed)
    assert set(allowed.values()) == {"*"}


def test_a_responder_that_was_taken_over_can_make_no_key_and_destroy_no_bucket(statements):
    (deny,) = [one for one in statements if one["Effect"] == "Deny" and "Condition" not in one]
    assert deny["Resource"] == "*"
    denied = {action.removeprefix("lightsail:") for action in deny["Action"]}
    assert {"CreateBucketAccessKey", "DeleteBucket"} <= denied
    assert denied <= set(lightsail_operations())


def test_a_role_elsewhere_is_assumed_only_where_it_is_configured_and_only_in_accounts_that_are_named(resources, root):
    (role,) = resources("AWS::IAM::Role").values()
    choices = [one["Fn::If"] for one in role["Policies"][0]["PolicyDocument"]["Statement"] if "Fn::If" in one]
    ((condition, statement, otherwise),) = choices
    assert (condition, otherwise) == ("HasMembers", {"Ref": "AWS::NoValue"})
    assert statement["Action"] == ["sts:AssumeRole"]
    assert statement["Condition"] == {"StringEquals": {"aws:ResourceAccount": {"Ref": "AllowedAccounts"}}}
    assert (root / "src/member.rs").read_text().count(".assume_role()") == 1


def test_a_bucket_with_the_tag_is_protected_by_iam_as_by_the_code(statements, code):
    (deny,) = [one for one in statements if one["Effect"] == "Deny" and "Condition" in one]
    key, value = quoted(code("policy.rs", r"pub const PROTECT_TAG: [^=]+= \((.*?)\);"))
    assert (deny["Action"], deny["Resource"]) == (["lightsail:DeleteBucketAccessKey"], "*")
    assert deny["Condition"] == {"StringEqualsIgnoreCase": {f"aws:ResourceTag/{key}": value}}


# Template and code ---------------------------------------------------------------------------------------------------


@pytest.fixture
def function(template):
    return template["Resources"]["ResponderFunction"]["Properties"]


def quoted(text):
    return re.findall(r'"([^"]+)"', text)


def test_the_variables_are_those_of_the_code_and_none_can_redirect_it(function, code):
    ours = quoted(code("config.rs", r"pub const OURS: [^=]+= \[(.*?)\];"))
    switch = code("config/reader.rs", r'const IGNORE: &str = "(\w+)"')
    variables = function["Environment"]["Variables"]
    assert sorted(variables) == sorted([*ours, switch])
    assert variables[switch] == "true"
    assert not [name for name in variables if name.startswith("AWS_ENDPOINT_URL")]


def test_the_modes_are_those_of_the_code(template, function, code):
    modes = quoted(code("policy.rs", r"impl Mode \{(.*?)\n\}"))
    assert function["Environment"]["Variables"]["RESPONDER_MODE"] == {"Ref": "Mode"}
    assert sorted(template["Parameters"]["Mode"]["AllowedValues"]) == sorted(modes)
    assert template["Parameters"]["Mode"]["Default"] in modes


def test_the_rules_pass_what_the_code_reads(patterns, code):
    # The other sources have no rule in this version.
    read = [code(f"incident/{file}.rs", r'const DETAIL_TYPE: &str = "([^"]+)"') for file in ("guardduty", "direct")]
    passed = [detail_type for pattern in patterns().values() for detail_type in pattern["detail-type"]]
    assert sorted(passed) == sorted(read)
    guardduty = patterns()["ResponderFunctionGuardDutyFinding"]
    assert guardduty["source"] == [code("incident/guardduty.rs", r'const SOURCE: &str = "([^"]+)"')]
    key, _sequence = guardduty["detail"]["$or"]
    sample = code("incident/finding.rs", r'bare_id\(id\)\.starts_with\("(\w+)"\)')
    keys = key["resource"]["accessKeyDetails"]["accessKeyId"]
    assert [text.startswith(sample) for text in keys if isinstance(text, str)] == [True]


def test_the_rule_leaves_out_the_finding_types_that_the_code_ignores(patterns, code):
    purposes = quoted(code("incident/finding_type.rs", r"matches!\(part\.split\(':'\)\.next\(\), Some\((.*?)\)\)"))
    marks = quoted(code("incident/finding_type.rs", r"\[([^\]]*)\]\.iter\(\)\.any\(\|mark\| kind\.contains\(mark\)\)"))
    key, _sequence = patterns()["ResponderFunctionGuardDutyFinding"]["detail"]["$or"]
    ((rule,),) = [key["type"]]
    left_out = [prefix.lower() for prefix in rule["anything-but"]["prefix"]]
    assert {f"{purpose}:" for purpose in purposes} <= set(left_out)
    others = set(left_out) - {f"{purpose}:" for purpose in purposes}
    assert others and all(any(mark in prefix for mark in marks) for prefix in others)


def test_three_of_the_longest_calls_and_the_reserve_fit_into_the_timeout(function, code):
    call = int(code("pace.rs", r"\n            call: Duration::from_secs\((\d+)\)"))
    reserve = int(code("deadline.rs", r"const RESERVE: Duration = Duration::from_secs\((\d+)\)"))
    assert 0 < 3 * call + reserve <= function["Timeout"]


def test_lambda_drops_no_audit_record(function, code):
    levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
    records = quoted(code("outcome.rs", r"fn log_level\(self\) -> &'static str \{(.*?)\n    \}"))
    assert sorted(records) == ["ERROR", "WARN"]
    kept = levels.index(function["LoggingConfig"]["ApplicationLogLevel"])
    assert all(kept <= levels.index(level) for level in records)
    assert function["LoggingConfig"]["LogFormat"] == "JSON"
    assert function["LoggingConfig"]["LogGroup"] == {"Ref": "ResponderLogGroup"}


def test_the_command_for_scanners_sends_an_event_that_the_code_reads(template, code):
    command = shlex.split(template["Outputs"]["PutEventsCommand"]["Value"]["Fn::Sub"])
    (entry,) = json.loads(command[-1])
    assert entry["DetailType"] == code("incident/direct.rs", r'const DETAIL_TYPE: &str = "([^"]+)"')
    members = quoted(code("incident/direct.rs", r"const MEMBERS: [^=]+= \[(.*?)\];"))
    assert set(json.loads(entry["Detail"])) <= set(members)


def test_the_command_for_people_names_an_event_that_exists(template, root):
    command = shlex.split(template["Outputs"]["InvokeCommand"]["Value"]["Fn::Sub"])
    payload = command[command.index("--payload") + 1]
    assert (root / payload.removeprefix("file://")).is_file()
