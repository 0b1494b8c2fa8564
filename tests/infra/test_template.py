"""The template is valid, least in privilege, and says the same as the code."""

import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import as_deployed
import botocore.session
import pytest
from botocore import xform_name
from botocore.validate import ParamValidator
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


def target_of(rule):
    """The ARN of a rule's only target, or of each of several."""
    return [one["Fn::If"][1]["Arn"] if "Fn::If" in one else one["Arn"] for one in rule["Targets"]]


def arn(name):
    return {"Fn::GetAtt": [name, "Arn"]}


def by_key(kind="Ref"):
    """What a property is when KmsKeyArn is given, and that it is not there otherwise."""
    return {"Fn::If": ["HasKmsKey", {kind: "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]}


def test_the_function_has_our_role_and_there_is_no_other_but_those_of_security_hubs_notes(resources, cloudformation):
    (function,) = resources("AWS::Lambda::Function").values()
    assert function["Role"] == {"Fn::GetAtt": ["ResponderRole", "Arn"]}
    roles = resources("AWS::IAM::Role")
    assert set(roles) == {"ResponderRole", "SecurityHubNoteRole", "SecurityHubNoteStartRole"}
    for name, role in roles.items():
        assert "ManagedPolicyArns" not in role
        condition = cloudformation["Resources"][name].get("Condition")
        assert condition == (None if name == "ResponderRole" else "HasSecurityHubNotes")


def test_every_queue_is_encrypted_and_keeps_failures_as_long_as_can_be(resources):
    queues = resources("AWS::SQS::Queue")
    assert set(queues) == {"AlertQueue", "AlertDeadLetterQueue", "FailureQueue"}
    for queue in queues.values():
        assert queue["KmsMasterKeyId"] == by_key()
        assert queue["SqsManagedSseEnabled"] == {"Fn::If": ["HasKmsKey", {"Ref": "AWS::NoValue"}, True]}
    for name in ("AlertDeadLetterQueue", "FailureQueue"):
        assert queues[name]["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_a_message_is_tried_three_times_and_then_kept_for_a_person(resources, template):
    queue, dead = (resources("AWS::SQS::Queue")[name] for name in ("AlertQueue", "AlertDeadLetterQueue"))
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": arn("AlertDeadLetterQueue"), "maxReceiveCount": 3}
    # Written out, because the two queues cannot name each other.
    (source,) = dead["RedriveAllowPolicy"]["sourceQueueArns"]
    prefix = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"
    (name, parts), (whole, same) = queue["QueueName"]["Fn::Sub"], source["Fn::Sub"]
    assert (whole, same) == (prefix + name, parts)
    assert dead["RedriveAllowPolicy"]["redrivePermission"] == "byQueue"
    for other in ("AlertQueue", "FailureQueue"):
        assert resources("AWS::SQS::Queue")[other]["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}
    # Lambda guide: six times the time-out. SQS guide: dead letters keep the age that they have.
    timeout = template["Resources"]["ResponderFunction"]["Properties"]["Timeout"]
    assert queue["VisibilityTimeout"] >= 6 * timeout
    assert 3 * queue["VisibilityTimeout"] < queue["MessageRetentionPeriod"] < dead["MessageRetentionPeriod"]


def test_the_function_takes_messages_item_by_item_and_leaves_concurrency_for_the_rules(resources, template):
    (mapping,) = resources("AWS::Lambda::EventSourceMapping").values()
    assert mapping["EventSourceArn"] == arn("AlertQueue")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    reserved = template["Parameters"]["ReservedConcurrency"]
    pattern = re.compile(reserved["AllowedPattern"])
    smallest = min(number for number in range(0, 20) if pattern.fullmatch(str(number)))
    assert mapping["ScalingConfig"]["MaximumConcurrency"] < smallest
    # Lambda guide, "Configuring reserved concurrency": what a new account has cannot be reserved.
    assert reserved["Default"] == ""
    # 0 would be the kill switch.
    assert not pattern.fullmatch("0") and pattern.fullmatch("")
    (function,) = resources("AWS::Lambda::Function").values()
    assert function["ReservedConcurrentExecutions"]["Fn::If"][:2] == ["HasReservedConcurrency", {"Ref": "ReservedConcurrency"}]


def test_every_rule_delivers_again_and_again_and_then_to_the_failure_queue(resources):
    rules = resources("AWS::Events::Rule")
    targets = [(name, target) for name, rule in rules.items() for target in rule["Targets"]]
    assert len(rules) == 12 and len(targets) == 14
    for name, target in targets:
        target = target["Fn::If"][1] if "Fn::If" in target else target
        assert target["DeadLetterConfig"] == {"Arn": QUEUE}, name
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 185}, name


def test_every_alert_goes_to_the_function_by_a_rule_of_its_bus(resources):
    rules = resources("AWS::Events::Rule")
    function = {name: rule.get("EventBusName") for name, rule in rules.items() if target_of(rule) == [FUNCTION]}
    # The default bus is the one on which nobody can pose as AWS.
    default = [name for name, bus in function.items() if bus is None]
    assert len(default) == 6
    for name in default:
        assert all(source.startswith("aws.") for source in rules[name]["EventPattern"]["source"])
    assert set(function) == set(default)


def test_alert_bus_reaches_function_only_by_queue(resources, template):
    # What others can put on AlertBus waits in the queue, whose mapping has a concurrency limit of its own. Nothing of it is
    # among Lambda's asynchronous invocations, which are for events that only AWS can put on the default bus.
    rules = resources("AWS::Events::Rule").items()
    on_bus = {name: target_of(rule) for name, rule in rules if rule.get("EventBusName") == {"Ref": "AlertBus"}}
    assert on_bus == {name: [arn("AlertQueue")] for name in ("ExposedKeyAlerts", "ForwardedAlerts")}
    (mapping,) = resources("AWS::Lambda::EventSourceMapping").values()
    # Lambda guide, "Lambda quotas": a new account has ten concurrent executions. Half of them stay free of the queue.
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == 5
    reserved = re.compile(template["Parameters"]["ReservedConcurrency"]["AllowedPattern"])
    assert not [few for few in range(10) if reserved.fullmatch(str(few))]


def test_security_page_says_what_remains_in_a_flood(resources, root):
    (mapping,) = resources("AWS::Lambda::EventSourceMapping").values()
    section = (root / "docs/security.md").read_text().split("## What remains in a flood\n")[1].split("\n## ")[0]
    most = mapping["ScalingConfig"]["MaximumConcurrency"]
    assert f"at most {most} invocations" in section
    for sender in ("`AlertBus`", "`AlertQueue`", "`BatchImportFindings`", "`lambda:InvokeFunction`"):
        assert re.search(rf"^\| [^|]*{sender}", section, re.M), sender


@pytest.mark.parametrize(
    ("parameter", "rule"),
    [
        ("GuardDutyAlerts", "ResponderFunctionGuardDutyFinding"),
        ("HealthAlerts", "ResponderFunctionHealthRisk"),
        ("TrustedAdvisorAlerts", "ResponderFunctionTrustedAdvisorExposedKey"),
        ("SecurityHubAlerts", "ResponderFunctionSecurityHubFinding"),
        ("SecurityHubV2Alerts", "ResponderFunctionSecurityHubV2Finding"),
        ("ScannerAlerts", "ExposedKeyAlerts"),
    ],
)
def test_every_source_can_be_switched_off_by_itself(parameter, rule, resources, resolved):
    rules = resources("AWS::Events::Rule")
    assert resolved(rules[rule]["State"]) == "ENABLED"
    off = {name: resolved(one["State"], **{parameter: "off", "SecurityHubActionArn": "x"}) for name, one in rules.items()}
    assert [name for name, state in off.items() if state != "ENABLED"] == [rule]


def test_no_custom_action_is_listened_to_until_one_is_chosen(resources, resolved):
    state = resources("AWS::Events::Rule")["ResponderFunctionSecurityHubAction"]["State"]
    assert (resolved(state), resolved(state, SecurityHubActionArn="arn:x")) == ("DISABLED", "ENABLED")


def test_every_rule_and_nobody_else_may_invoke_the_function(resources):
    permissions = list(resources("AWS::Lambda::Permission").values())
    for permission in permissions:
        assert permission["Principal"] == "events.amazonaws.com"
        assert permission["Action"] == "lambda:InvokeFunction"
        assert permission["FunctionName"] == {"Ref": "ResponderFunction"}
    callers = sorted(permission["SourceArn"]["Fn::GetAtt"][0] for permission in permissions)
    rules = resources("AWS::Events::Rule").items()
    assert callers == sorted(name for name, rule in rules if target_of(rule) == [FUNCTION])


def queue_policy(resources, queue):
    (policy,) = [one for one in resources("AWS::SQS::QueuePolicy").values() if one["Queues"] == [{"Ref": queue}]]
    *allow, deny = policy["PolicyDocument"]["Statement"]
    assert (deny["Effect"], deny["Principal"], deny["Action"], deny["Resource"]) == ("Deny", "*", "sqs:*", arn(queue))
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for statement in allow:
        assert (statement["Effect"], statement["Principal"]) == ("Allow", {"Service": "events.amazonaws.com"})
        assert (statement["Action"], statement["Resource"]) == ("sqs:SendMessage", arn(queue))
    return [statement["Condition"] for statement in allow]


def test_only_our_rules_and_buses_may_send_to_the_failure_queue_and_only_over_tls(resources):
    (condition,) = queue_policy(resources, "FailureQueue")
    ((operator, keys),) = condition.items()
    assert operator == "ArnEquals" and set(keys) == {"aws:SourceArn"}
    senders = [one["Fn::If"][1] if "Fn::If" in one else one for one in keys["aws:SourceArn"]]
    expected = [arn(name) for kind in ("AWS::Events::Rule", "AWS::Events::EventBus") for name in resources(kind)]
    assert sorted(senders, key=str) == sorted(expected, key=str)
    for bus in resources("AWS::Events::EventBus").values():
        assert bus["DeadLetterConfig"] == {"Arn": QUEUE}


def test_only_rules_of_alert_bus_send_to_alert_queue(resources):
    senders = [arn("ExposedKeyAlerts"), arn("ForwardedAlerts")]
    assert queue_policy(resources, "AlertQueue") == [{"ArnEquals": {"aws:SourceArn": senders}}]
    assert queue_policy(resources, "AlertDeadLetterQueue") == []


def test_a_failed_invocation_is_tried_again_and_then_handed_to_the_queue(resources, template):
    (invoke,) = resources("AWS::Lambda::EventInvokeConfig").values()
    assert invoke["DestinationConfig"] == {"OnFailure": {"Destination": QUEUE}}
    assert invoke["MaximumRetryAttempts"] == 2
    # Lambda waits for one minute before the second try, and for two before the third.
    timeout = template["Resources"]["ResponderFunction"]["Properties"]["Timeout"]
    assert invoke["MaximumEventAgeInSeconds"] > 3 * timeout + 60 + 120


def test_alert_bus_takes_only_alerts_and_aws_forwards(resources, code):
    # One document of the bus itself: PutPermission replaces the whole policy, so that several resources made side by side
    # can lose a statement.
    policy = resources("AWS::Events::EventBus")["AlertBus"]["Policy"]
    assert set(resources("AWS::Events::EventBusPolicy")) == {"RecordBusPolicy"}
    own, limits, choice = policy["Statement"]
    condition, others, otherwise = choice["Fn::If"]
    assert (condition, otherwise) == ("HasOrganization", {"Ref": "AWS::NoValue"})
    # The bus cannot ask for its own ARN.
    bus = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${AlertBusName}"
    for statement in (own, limits, others):
        assert (statement["Action"], statement["Resource"]) == ("events:PutEvents", {"Fn::Sub": bus})
    assert [statement["Effect"] for statement in (own, limits, others)] == ["Allow", "Deny", "Allow"]
    detail_type = code("alert/direct.rs", r'const DETAIL_TYPE: &str = "([^"]+)"')
    sources = resources("AWS::Events::Rule")["ForwardedAlerts"]["EventPattern"]["source"]
    assert own["Principal"] == {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
    assert own["Condition"] == {"StringEquals": {"events:detail-type": detail_type}}
    assert (limits["Principal"], others["Principal"]) == ("*", "*")
    assert limits["Condition"] == {
        "StringNotEquals": {"events:detail-type": detail_type},
        "ForAnyValue:StringNotEquals": {"events:source": sources},
    }
    organization = {"aws:PrincipalOrgID": {"Ref": "OrganizationId"}}
    assert others["Condition"] == {"StringEquals": {**organization, "events:source": sources}}


# What a resource of each type is called in its account and Region. CloudFormation takes the StatementId for the physical ID.
NAMES = {
    "AWS::Events::Archive": "ArchiveName",
    "AWS::Events::EventBus": "Name",
    "AWS::Events::EventBusPolicy": "StatementId",
    "AWS::Events::Rule": "Name",
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::Logs::ResourcePolicy": "PolicyName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}


def names_in(template, stack, uuid, monkeypatch, **parameters):
    place = f"arn:aws:cloudformation:{as_deployed.REGION}:{as_deployed.ACCOUNT}:stack/{stack}/{uuid}"
    for name, value in {"AWS::StackName": stack, "AWS::StackId": place}.items():
        monkeypatch.setitem(as_deployed.PSEUDO, name, value)
    found = as_deployed.Deployment(template, SecurityHubNotes="on", ChatNotifications="on", **parameters).resolved()
    return {
        (one["Type"], one["Properties"][NAMES[one["Type"]]]): name
        for name, one in found["Resources"].items()
        if NAMES.get(one["Type"]) in one.get("Properties", {})
    }


def test_two_stacks_of_one_region_share_no_name(cloudformation, monkeypatch):
    first = names_in(cloudformation, "one", "11112222-3333-4444-5555-666677778888", monkeypatch)
    buses = {"AlertBusName": "alerts-2", "RecordBusName": "records-2"}
    second = names_in(cloudformation, "two", "99992222-3333-4444-5555-666677778888", monkeypatch, **buses)
    assert set(first.values()) == set(second.values()) and not set(first) & set(second)
    assert {"RecordBusPolicy", "AlertQueue", "RecordLogGroup", "RecordLogPolicy"} <= set(first.values())


def test_rules_have_legible_names_of_their_own(resources, cloudformation, monkeypatch, root):
    # CloudFormation would cut the names that it makes up to 64 characters, and three rules would look the same.
    text = (root / "docs/runbook.md").read_text()
    longest = int(re.search(r"at most (\d+) characters", text)[1])
    named = names_in(cloudformation, "s" * longest, "11112222-3333-4444-5555-666677778888", monkeypatch)
    rules = {name: logical for (kind, name), logical in named.items() if kind == "AWS::Events::Rule"}
    assert set(rules.values()) == set(resources("AWS::Events::Rule"))
    assert max(map(len, rules)) == 64
    for name in rules:
        assert name.startswith("s" * longest + "-")
        assert name.removeprefix("s" * longest) in text, "the kill switch goes by names"


def test_statement_id_fits(resources, cloudformation, monkeypatch):
    # EventBridge API reference, "PutPermission": 64 characters. A stack's name may have 128, and so it is the stack's ID.
    named = names_in(cloudformation, "s" * 46, "11112222-3333-4444-5555-666677778888", monkeypatch)
    ids = [name for kind, name in named if kind == "AWS::Events::EventBusPolicy"]
    assert ids == ["OnlyTheResponder-11112222-3333-4444-5555-666677778888"]
    assert re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", ids[0])


def test_nobody_but_the_function_may_put_records_on_their_bus(resources):
    statement = resources("AWS::Events::EventBusPolicy")["RecordBusPolicy"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "events:PutEvents")
    assert statement["Resource"] == arn("RecordBus")
    exception = {"aws:PrincipalArn": arn("ResponderRole")}
    assert statement["Condition"] == {"ArnNotEquals": exception, "Bool": {"aws:PrincipalIsAWSService": "false"}}


def test_all_that_is_stored_can_be_encrypted_with_a_key_of_ones_own(resources, cloudformation):
    properties = {
        "AWS::Lambda::Function": "KmsKeyArn",
        "AWS::Logs::LogGroup": "KmsKeyId",
        "AWS::SQS::Queue": "KmsMasterKeyId",
        "AWS::SNS::Topic": "KmsMasterKeyId",
        "AWS::Events::EventBus": "KmsKeyIdentifier",
        "AWS::Events::Archive": "KmsKeyIdentifier",
    }
    for kind, member in properties.items():
        assert resources(kind)
        for name, resource in resources(kind).items():
            assert resource[member] == by_key(), name
    machine = cloudformation["Resources"]["SecurityHubNote"]["Properties"]["EncryptionConfiguration"]["Fn::If"]
    assert machine[:2] == ["HasKmsKey", {"Type": "CUSTOMER_MANAGED_KMS_KEY", "KmsKeyId": {"Ref": "KmsKeyArn"}}]
    # Without a configuration Step Functions keeps the old key when KmsKeyArn is taken away.
    assert machine[2] == {"Type": "AWS_OWNED_KEY"}


def test_logs_and_records_are_kept_as_long_as_is_wished_and_alerts_as_long_as_in_a_queue(resources, cloudformation):
    archives = resources("AWS::Events::Archive")
    assert archives.pop("RecordArchive")["RetentionDays"] == {"Ref": "LogRetentionInDays"}
    assert {name: archive["RetentionDays"] for name, archive in archives.items()} == {
        "AlertArchive": 14,
        "DefaultBusArchive": 14,
    }
    for name, group in resources("AWS::Logs::LogGroup").items():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionInDays"}
        assert cloudformation["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"
    for name in resources("AWS::SQS::Queue"):
        assert cloudformation["Resources"][name]["DeletionPolicy"] == "RetainExceptOnCreate"


def test_tracing_is_sent_only_where_it_is_switched_on(resources, resolved, statements):
    (function,) = resources("AWS::Lambda::Function").values()
    mode = function["TracingConfig"]["Mode"]
    assert (resolved(mode), resolved(mode, Tracing="on")) == ("PassThrough", "Active")


# Who is told ---------------------------------------------------------------------------------------------------------


def test_only_our_rules_and_the_accounts_alarms_may_publish_and_only_over_tls(resources, cloudformation):
    rules = {"ArnEquals": {"aws:SourceArn": [arn("RecordsWithKey"), arn("RecordsWithoutKey")]}}
    alarms = {"Fn::Sub": "arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:*"}
    account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    expected = {
        "NotificationTopic": {
            "events.amazonaws.com": rules,
            "cloudwatch.amazonaws.com": {"ArnLike": {"aws:SourceArn": alarms}, **account},
        },
        "ChatTopic": {"events.amazonaws.com": rules},
    }
    assert set(resources("AWS::SNS::Topic")) == set(expected)
    for topic, publishers in expected.items():
        policies = resources("AWS::SNS::TopicPolicy").values()
        (policy,) = [policy for policy in policies if policy["Topics"] == [{"Ref": topic}]]
        *allow, deny = policy["PolicyDocument"]["Statement"]
        for statement in [*allow, deny]:
            assert (statement["Action"], statement["Resource"]) == ("sns:Publish", {"Ref": topic})
        assert {one["Principal"]["Service"]: one["Condition"] for one in allow} == publishers
        assert all(statement["Effect"] == "Allow" for statement in allow)
        assert (deny["Effect"], deny["Principal"]) == ("Deny", "*")
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    for name in ("ChatTopic", "ChatTopicPolicy"):
        assert cloudformation["Resources"][name]["Condition"] == "HasChat"
    assert cloudformation["Resources"]["NotificationSubscription"]["Condition"] == "HasEmail"


def test_people_are_told_of_every_outcome_but_two(resources, outcomes):
    rules = resources("AWS::Events::Rule")
    for name in ("RecordsWithKey", "RecordsWithoutKey"):
        first, ends = rules[name]["EventPattern"]["detail"]["$or"]
        ((silent,),) = [first["status_code"]]
        assert silent == {"anything-but": ["ignored", "already_absent"]}
        assert set(silent["anything-but"]) <= set(outcomes)
        # Of a retry, what ends the work on a message: every outcome of these that is no error.
        ended = {outcome for outcome, error in outcomes.items() if not error} - set(silent["anything-but"])
        assert set(ends["status_code"]) == ended and set(ends) == {"status_code"}


def test_all_records_go_to_the_log_group_and_eventbridge_may_write_there(resources, template):
    rule = resources("AWS::Events::Rule")["RecordsToLog"]
    assert "detail" not in rule["EventPattern"]
    group = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${RecordLogGroup}"
    assert target_of(rule) == [{"Fn::Sub": group}]
    assert resources("AWS::Logs::LogGroup")["RecordLogGroup"]["LogGroupName"]["Fn::Sub"][0].startswith("/aws/events/")
    (policy,) = resources("AWS::Logs::ResourcePolicy").values()
    text, parts = policy["PolicyDocument"]["Fn::Sub"]
    assert parts == {"Group": arn("RecordLogGroup"), "Rule": arn("RecordsToLog")}
    document = json.loads(text)
    for statement in document["Statement"]:
        assert (statement["Effect"], statement["Resource"]) == ("Allow", "${Group}")
        assert statement["Principal"] == {"Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"]}
    assert {one["Action"]: one.get("Condition") for one in document["Statement"]} == {
        "logs:CreateLogStream": None,
        "logs:PutLogEvents": {"ArnEquals": {"aws:SourceArn": "${Rule}"}},
    }


def test_the_rules_of_the_record_bus_match_what_the_function_puts_there(resources, code):
    source = code("audit/bus.rs", r'const SOURCE: &str = "([^"]+)"')
    detail_type = code("audit/bus.rs", r'const DETAIL_TYPE: &str = "([^"]+)"')
    rules = resources("AWS::Events::Rule").items()
    of_records = {name: rule for name, rule in rules if rule.get("EventBusName") == {"Ref": "RecordBus"}}
    assert set(of_records) == {"RecordsWithKey", "RecordsWithoutKey", "RecordsToLog", "RecordsToSecurityHub"}
    for rule in of_records.values():
        pattern = rule["EventPattern"]
        assert (pattern["source"], pattern["detail-type"]) == ([source], [detail_type])


# Security Hub --------------------------------------------------------------------------------------------------------


def test_security_hub_is_told_only_of_keys_that_are_gone_and_only_where_that_is_switched_on(resources, cloudformation):
    names = ["RecordsToSecurityHub", "SecurityHubNote", "SecurityHubNoteRole", "SecurityHubNoteStartRole"]
    for name in [*names, "SecurityHubNotesFailed"]:
        assert cloudformation["Resources"][name]["Condition"] == "HasSecurityHubNotes"
    assert cloudformation["Parameters"]["SecurityHubNotes"]["Default"] == "off"
    rule = resources("AWS::Events::Rule")["RecordsToSecurityHub"]
    # Any other would stay NEW, come back by the note's own event, and so for ever.
    assert rule["EventPattern"]["detail"]["status_code"] == ["revoked", "already_absent"]
    assert target_of(rule) == [{"Ref": "SecurityHubNote"}]


def test_the_note_is_a_call_that_security_hub_knows(cloudformation):
    machine = cloudformation["Resources"]["SecurityHubNote"]["Properties"]["Definition"]
    note = machine["States"]["Note"]
    assert note["Resource"]["Fn::Sub"].endswith(":states:::aws-sdk:securityhub:batchUpdateFindings")
    model = botocore.session.get_session().get_service_model("securityhub")
    shape = model.operation_model("BatchUpdateFindings").input_shape
    assert ParamValidator().validate(note["Arguments"], shape).generate_report() == ""
    assert "UnprocessedFindings" in machine["States"]["Noted"]["Choices"][0]["Condition"]
    assert "UnprocessedFindings" in model.operation_model("BatchUpdateFindings").output_shape.members
    # What the expressions take out of the record's event is what the rule asks for.
    paths = set(re.findall(r"\$states\.input\.([\w.]+)", json.dumps(note["Arguments"])))
    assert paths == {"detail.metadata.correlation_uid", "detail.unmapped.alert.product_arn", "detail.message"}


def test_the_state_machine_may_note_in_findings_and_nothing_else(resources):
    note, start = (resources("AWS::IAM::Role")[name] for name in ("SecurityHubNoteRole", "SecurityHubNoteStartRole"))
    (statement,) = start["Policies"][0]["PolicyDocument"]["Statement"]
    assert (statement["Action"], statement["Resource"]) == (["states:StartExecution"], {"Ref": "SecurityHubNote"})
    statement, key = note["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == ["securityhub:BatchUpdateFindings"]
    hub = "arn:${AWS::Partition}:securityhub:${AWS::Region}:${AWS::AccountId}:hub/default"
    assert statement["Resource"] == {"Fn::Sub": hub}
    assert statement["Condition"] == {"StringEquals": {"securityhub:ASFFSyntaxPath/Workflow.Status": "NOTIFIED"}}
    assert key["Fn::If"][0] == "HasKmsKey" and key["Fn::If"][1]["Resource"] == {"Ref": "KmsKeyArn"}
    for role in (note, start):
        assert len(role["Policies"]) == 1
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


# Alarms --------------------------------------------------------------------------------------------------------------

OWN = "LightsailKeyResponder"

# Metrics of AWS that alarms watch, and their dimensions (Lambda guide, "Types of metrics for Lambda functions"; SQS guide,
# "Available CloudWatch metrics for Amazon SQS"; EventBridge user guide, "Monitoring Amazon EventBridge"; Step Functions
# developer guide, "Monitoring Step Functions metrics using Amazon CloudWatch").
AWS_METRICS = {
    "AWS/Lambda": {
        ("FunctionName",): {"Errors", "Throttles", "AsyncEventsDropped", "DestinationDeliveryFailures"},
    },
    "AWS/SQS": {("QueueName",): {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}},
    "AWS/Events": {
        ("RuleName",): {"FailedInvocations", "InvocationsFailedToBeSentToDlq"},
        ("EventBusName", "RuleName"): {"FailedInvocations", "InvocationsFailedToBeSentToDlq"},
    },
    "AWS/States": {("StateMachineArn",): {"ExecutionsFailed"}},
}


@pytest.fixture
def outcomes(code):
    """The outcomes of the code: those that are errors to Lambda, and the others."""
    body = code("outcome.rs", r"pub fn code\(self\) -> &'static str \{(.*?)\n    \}")
    names = dict(re.findall(r'Self::(\w+) => "(\w+)"', body))
    body = code("outcome.rs", r"pub fn error_type\(self\) -> Option<&'static str> \{(.*?)\n    \}")
    errors = set(re.findall(r"Self::(\w+) => Some\(", body))
    assert errors and len(names) == len(errors) + len(re.search(r"(.*?) => None", body, re.DOTALL)[1].split("|"))
    return {outcome: name in errors for name, outcome in names.items()}


@pytest.fixture
def watched(resources):
    """The metrics that each alarm watches: namespace, name, and values of the dimensions by name."""

    def metrics(alarm):
        if "MetricName" in alarm:
            return [alarm]
        listed = [one["Fn::If"][1] if "Fn::If" in one else one for one in alarm["Metrics"]]
        stats = [one["MetricStat"] for one in listed if "MetricStat" in one]
        assert all(one["ReturnData"] is ("Expression" in one) for one in listed)
        assert [one["Expression"] for one in listed if "Expression" in one] == ["SUM(FILL(METRICS(), 0))"]
        # CloudWatch user guide, "Create a CloudWatch alarm based on a metric math expression": at most ten metrics.
        assert len(stats) <= 10 and all(stat["Stat"] == "Sum" for stat in stats)
        return [stat["Metric"] for stat in stats]

    def told(metric):
        dimensions = {one["Name"]: one["Value"] for one in metric["Dimensions"]}
        return metric["Namespace"], metric["MetricName"], dimensions

    alarms = resources("AWS::CloudWatch::Alarm").items()
    return {name: [told(metric) for metric in metrics(alarm)] for name, alarm in alarms}


def test_every_metric_of_an_alarm_is_one_that_somebody_sends(watched, outcomes, root):
    source = (root / "src/audit/metrics.rs").read_text()
    sent = {name for name in re.findall(r'rename = "(\w+)"', source) if name not in ("_aws", "FunctionName", "Outcome")}
    assert f'const NAMESPACE: &str = "{OWN}"' in source
    used = set()
    for alarm, metrics in watched.items():
        assert metrics
        for namespace, name, dimensions in metrics:
            if namespace != OWN:
                assert name in AWS_METRICS[namespace][tuple(dimensions)], alarm
                continue
            used.add(name)
            assert name in sent, alarm
            assert dimensions.pop("FunctionName") == {"Ref": "ResponderFunction"}
            assert set(dimensions) == ({"Outcome"} if name == "Records" else set())
            assert dimensions.get("Outcome", "revoked") in outcomes, alarm
    assert used == {"Records", "RecordsNotPublished", "SearchesIncomplete"}


def test_every_error_outcome_raises_the_alarm(watched, outcomes):
    rung = {dimensions["Outcome"] for _, _, dimensions in watched["ErrorOutcomes"]}
    assert rung == {outcome for outcome, error in outcomes.items() if error}
    assert [one["Outcome"] for _, _, one in watched["KeysElsewhere"]] == ["not_lightsail_key"]
    assert [one["Outcome"] for _, _, one in watched["ManyRevocations"]] == ["revoked"]


def test_the_function_and_every_queue_have_their_alarms(watched, resources):
    found = {(name, str(dimensions)) for metrics in watched.values() for _, name, dimensions in metrics}
    function = str({"FunctionName": {"Ref": "ResponderFunction"}})
    for name in ("Errors", "Throttles", "AsyncEventsDropped", "DestinationDeliveryFailures"):
        assert (name, function) in found
    for name, queue in [
        ("ApproximateNumberOfMessagesVisible", "FailureQueue"),
        ("ApproximateNumberOfMessagesVisible", "AlertDeadLetterQueue"),
        ("ApproximateAgeOfOldestMessage", "AlertQueue"),
    ]:
        assert (name, str({"QueueName": {"Fn::GetAtt": [queue, "QueueName"]}})) in found


@pytest.mark.parametrize("metric", ["FailedInvocations", "InvocationsFailedToBeSentToDlq"])
def test_every_rule_has_an_alarm_for_what_it_could_not_deliver(metric, watched, resources):
    expected = []
    for name, rule in resources("AWS::Events::Rule").items():
        if "EventBusName" in rule:
            # The rule's own reference is the bus and the rule.
            last = {"Fn::Select": [2, {"Fn::Split": ["/", arn(name)]}]}
            expected.append({"EventBusName": rule["EventBusName"], "RuleName": last})
        else:
            expected.append({"RuleName": {"Ref": name}})
    found = [dimensions for metrics in watched.values() for _, name, dimensions in metrics if name == metric]
    assert sorted(found, key=str) == sorted(expected, key=str)


# Alarms on a level, which stay until a person has dealt with it, and the one on an hour. Every failure behind the first two also
# rings ResponderErrors or ErrorOutcomes.
LEVELS = {"FailuresWaiting", "AlertsGivenUp", "AlertsWaiting"}


def test_second_failure_minutes_later_notifies_again(resources):
    # An alarm notifies when its state changes. Without FILL a minute without data keeps the last value, for a time that AWS
    # does not publish (CloudWatch user guide, "Configuring how CloudWatch alarms treat missing data"). With FILL the state is
    # OK again after three minutes. One minute would not do: where data comes late, the newest minute is always filled (the same
    # guide, "Using metric math", FILL).
    alarms = resources("AWS::CloudWatch::Alarm").items()
    single = {name for name, alarm in alarms if "MetricName" in alarm}
    assert single == LEVELS | {"ManyRevocations"}
    for name, alarm in alarms:
        if name not in single:
            assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3, 1), name
            stats = [one["Fn::If"][1] if "Fn::If" in one else one for one in alarm["Metrics"]]
            assert {one["MetricStat"]["Period"] for one in stats if "MetricStat" in one} == {60}


def test_keys_elsewhere_alarm_can_be_switched_off(cloudformation, resources):
    assert cloudformation["Resources"]["KeysElsewhere"]["Condition"] == "HasKeysElsewhereAlarm"
    assert cloudformation["Parameters"]["KeysElsewhereAlarm"]["Default"] == "on"
    for switch in ("on", "off"):
        found = as_deployed.Deployment(cloudformation, KeysElsewhereAlarm=switch).resolved()["Resources"]
        assert ("KeysElsewhere" in found) == (switch == "on")
        listed = json.loads(found["Dashboard"]["Properties"]["DashboardBody"])["widgets"]
        (alarms,) = [widget["properties"]["alarms"] for widget in listed if widget["type"] == "alarm"]
        named = {arn.rsplit(":", 1)[1] for arn in alarms}
        assert named == {name for name, one in found.items() if one["Type"] == "AWS::CloudWatch::Alarm"}


def test_every_alarm_tells_people_what_it_means_and_stays_quiet_without_data(resources):
    alarms = resources("AWS::CloudWatch::Alarm")
    assert len(alarms) == 16
    thresholds = {}
    for name, alarm in alarms.items():
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == [{"Ref": "NotificationTopic"}]
        *_, end = alarm["AlarmDescription"].split(". ")
        assert end == f"docs/runbook.md, {name}" and len(alarm["AlarmDescription"]) < 400
        thresholds[name] = alarm["Threshold"]
    others = {name: threshold for name, threshold in thresholds.items() if threshold != 0}
    # Longer than a message takes, and shorter than the pause after which a failed one is tried again.
    assert others == {"AlertsWaiting": 300, "ManyRevocations": {"Ref": "UnusualRevocations"}}
    assert others["AlertsWaiting"] < resources("AWS::SQS::Queue")["AlertQueue"]["VisibilityTimeout"]
    assert alarms["ManyRevocations"]["Period"] == 3600


# Least privilege -----------------------------------------------------------------------------------------------------


@pytest.fixture
def statements(resources):
    """The statements of the function's role, those that depend on a parameter too."""
    (policy,) = resources("AWS::IAM::Role")["ResponderRole"]["Policies"]
    return [one["Fn::If"][1] if "Fn::If" in one else one for one in policy["PolicyDocument"]["Statement"]]


def lightsail_operations():
    return botocore.session.get_session().get_service_model("lightsail").operation_names


def test_the_readme_has_exactly_the_actions_that_the_role_allows(statements, root):
    allowed = [action for one in statements if one["Effect"] == "Allow" for action in one["Action"]]
    section = (root / "README.md").read_text().split("### What it may do\n")[1].split("\n### ")[0]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([a-z]+:\w+)`", " ".join(cells))) == sorted(allowed)


def test_the_readme_has_every_switch_of_a_source(template, root):
    switches = {name for name in template["Parameters"] if name.endswith("Alerts")} | {"SecurityHubActionArn"}
    rows = re.findall(r"\| `(\w+)` \|$", (root / "README.md").read_text(), re.M)
    assert switches <= set(rows)


def test_the_role_allows_exactly_the_lightsail_calls_of_the_code(statements, root):
    source = (root / "src/aws/lightsail.rs").read_text()
    called = re.findall(r"self\s*\.client\s*\.(\w+)\(\)", source)
    assert len(called) == source.count("send!(") > 0, "a call is made in a way that this test does not see"
    assert ".send()" not in source
    names = {xform_name(operation): operation for operation in lightsail_operations()}
    expected = {f"lightsail:{names[call]}" for call in called}
    allowed = {action for one in statements if one["Effect"] == "Allow" for action in one["Action"]}
    assert {action for action in allowed if action.startswith("lightsail:")} == expected


def test_the_role_allows_nothing_else_but_its_own_log_queues_bus_key_and_traces(statements):
    allowed = {action: one["Resource"] for one in statements if one["Effect"] == "Allow" for action in one["Action"]}
    bucket = {"Fn::Sub": "arn:${AWS::Partition}:lightsail:*:${AWS::AccountId}:Bucket/*"}
    log = {"Fn::GetAtt": ["ResponderLogGroup", "Arn"]}
    assert allowed.pop("lightsail:DeleteBucketAccessKey") == bucket
    assert (allowed.pop("logs:CreateLogStream"), allowed.pop("logs:PutLogEvents")) == (log, log)
    assert allowed.pop("sqs:SendMessage") == QUEUE
    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"):
        assert allowed.pop(action) == arn("AlertQueue")
    assert allowed.pop("events:PutEvents") == arn("RecordBus")
    role = {"Fn::Sub": "arn:${AWS::Partition}:iam::*:role/${MemberRoleName}"}
    assert allowed.pop("sts:AssumeRole") == role
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert allowed.pop(action) == {"Ref": "KmsKeyArn"}
    # Neither has a resource type.
    assert (allowed.pop("xray:PutTraceSegments"), allowed.pop("xray:PutTelemetryRecords")) == ("*", "*")
    # What is left reads, and has no resource type.
    assert all(re.fullmatch(r"lightsail:Get\w+", action) for action in allowed)
    assert set(allowed.values()) == {"*"}


def test_a_responder_that_was_taken_over_can_make_no_key_and_destroy_no_bucket(statements):
    (deny,) = [one for one in statements if one["Effect"] == "Deny" and "Condition" not in one]
    assert deny["Resource"] == "*"
    denied = {action.removeprefix("lightsail:") for action in deny["Action"]}
    assert {"CreateBucketAccessKey", "DeleteBucket"} <= denied
    assert denied <= set(lightsail_operations())


def test_the_function_can_put_records_in_its_own_name_only(statements, root, code):
    (allow,) = [one for one in statements if one["Action"] == ["events:PutEvents"]]
    source = code("audit/bus.rs", r'const SOURCE: &str = "([^"]+)"')
    detail_type = code("audit/bus.rs", r'const DETAIL_TYPE: &str = "([^"]+)"')
    assert allow["Condition"] == {"StringEquals": {"events:source": source, "events:detail-type": detail_type}}
    assert (root / "src/aws/eventbridge.rs").read_text().count(".put_events()") == 1
    # The only caller, with the only event that it makes.
    callers = [path for path in (root / "src").rglob("*.rs") if ".put_events(&" in path.read_text()]
    assert callers == [root / "src/audit/bus.rs"]
    assert code("audit/bus.rs", r"\bEvent \{ .*?\}").count("source: SOURCE, detail_type: DETAIL_TYPE") == 1


def test_what_is_only_needed_for_a_parameter_is_only_allowed_with_it(resources):
    (policy,) = resources("AWS::IAM::Role")["ResponderRole"]["Policies"]
    choices = [one["Fn::If"] for one in policy["PolicyDocument"]["Statement"] if "Fn::If" in one]
    assert {condition: statement["Sid"] for condition, statement, _ in choices} == {
        "HasMembers": "ActInMemberAccounts",
        "HasKmsKey": "UseKey",
        "TracingOn": "SendTraces",
    }
    assert all(otherwise == {"Ref": "AWS::NoValue"} for _, _, otherwise in choices)


def test_a_role_elsewhere_is_assumed_only_where_it_is_configured_and_only_in_accounts_that_are_named(resources, root):
    role = resources("AWS::IAM::Role")["ResponderRole"]
    choices = [one["Fn::If"] for one in role["Policies"][0]["PolicyDocument"]["Statement"] if "Fn::If" in one]
    ((condition, statement, otherwise),) = [choice for choice in choices if choice[0] == "HasMembers"]
    assert (condition, otherwise) == ("HasMembers", {"Ref": "AWS::NoValue"})
    assert statement["Action"] == ["sts:AssumeRole"]
    accounts = {"Fn::Split": [",", {"Ref": "AllowedAccounts"}]}
    assert statement["Condition"] == {"StringEquals": {"aws:ResourceAccount": accounts}}
    assert (root / "src/aws/sts.rs").read_text().count(".assume_role()") == 1


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
    # Every detail-type that the code reads by name has a rule of its own, and no rule has another.
    own = [code(f"alert/{file}.rs", r'const DETAIL_TYPE: &str = "([^"]+)"') for file in ("guardduty", "direct")]
    reader = code("alert.rs", r"\nfn reader\(.*?\n\}")
    arms = re.findall(r'\("(aws\.\w+)",\s*("[^)]*?)\)', reader)
    # Of Security Hub CSPM it reads whatever there is. Insights name no key (Security Hub user guide, "EventBridge event
    # formats").
    assert '("aws.securityhub", _) => Some(security_hub::read)' in reader
    action = "Security Hub Findings - Custom Action"
    read = {kind for _, kinds in arms for kind in quoted(kinds)} | {"Security Hub Findings - Imported", action}
    to_function = {
        name: pattern
        for name, pattern in patterns(SecurityHubActionArn="x").items()
        if name.startswith("ResponderFunction") or name == "ExposedKeyAlerts"
    }
    passed = [kind for pattern in to_function.values() for kind in pattern["detail-type"]]
    assert sorted(passed) == sorted([*own, *read])
    forwarded = patterns()["ForwardedAlerts"]
    assert sorted(forwarded["detail-type"]) == sorted({own[0], *read} - {action})
    sources = {source for source, _ in arms} | {code("alert/guardduty.rs", r'const SOURCE: &str = "([^"]+)"')}
    assert set(forwarded["source"]) == sources
    guardduty = patterns()["ResponderFunctionGuardDutyFinding"]
    assert guardduty["source"] == [code("alert/guardduty.rs", r'const SOURCE: &str = "([^"]+)"')]
    key, *_sequences = guardduty["detail"]["$or"]
    # The one kind of key that the code ignores. Samples, and what is no key at all, are the function's to judge.
    temporary = code("names.rs", r'\(true, Some\("(\w+)"\)\) => Err\(NameError::TemporaryKey\)')
    assert key["resource"]["accessKeyDetails"]["accessKeyId"] == [{"anything-but": {"prefix": temporary}}]


def test_the_rule_of_health_has_the_codes_of_the_code(patterns, code):
    parts = quoted(code("alert/health.rs", r"const ABOUT_KEYS: [^=]+= \[(.*?)\];"))
    detail = patterns()["ResponderFunctionHealthRisk"]["detail"]
    assert detail["eventTypeCode"] == [{"wildcard": f"*{part}*"} for part in parts]
    assert code("alert/health.rs", r'if service != "(\w+)"') in detail["service"]
    check = code("alert/trusted_advisor.rs", r'const CHECK: &str = "([^"]+)"')
    detail = patterns()["ResponderFunctionTrustedAdvisorExposedKey"]["detail"]
    assert detail["check-name"] == [check]
    # The one status that the code ignores.
    taken_back = code("alert/trusted_advisor.rs", r'"(\w+)" => Err\(Ignored::Closed')
    assert detail["status"] == [{"anything-but": taken_back}, {"exists": False}]


def test_the_rule_leaves_out_the_finding_types_that_the_code_ignores(patterns, code):
    purposes = quoted(code("alert/finding_type.rs", r"matches!\(part\.split\(':'\)\.next\(\), Some\((.*?)\)\)"))
    marks = quoted(code("alert/finding_type.rs", r"\[([^\]]*)\]\.iter\(\)\.any\(\|mark\| kind\.contains\(mark\)\)"))
    key, *_sequences = patterns()["ResponderFunctionGuardDutyFinding"]["detail"]["$or"]
    ((rule,),) = [key["type"]]
    left_out = [prefix.lower() for prefix in rule["anything-but"]["prefix"]]
    assert {f"{purpose}:" for purpose in purposes} <= set(left_out)
    others = set(left_out) - {f"{purpose}:" for purpose in purposes}
    assert others and all(any(mark in prefix for mark in marks) for prefix in others)


def test_three_of_the_longest_calls_and_the_reserve_fit_into_the_timeout(function, code):
    call = int(code("deadline.rs", r"\n            call: Duration::from_secs\((\d+)\)"))
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
    assert entry["EventBusName"] == "${AlertBus}"
    assert entry["DetailType"] == code("alert/direct.rs", r'const DETAIL_TYPE: &str = "([^"]+)"')
    fields = code("alert/direct.rs", r'const ACCEPTED: &str = "([^"]+)"').split(", ")
    assert set(json.loads(entry["Detail"])) <= set(fields)


def test_the_command_for_people_names_an_event_that_exists(template, root):
    command = shlex.split(template["Outputs"]["InvokeCommand"]["Value"]["Fn::Sub"])
    payload = command[command.index("--payload") + 1]
    assert (root / payload.removeprefix("file://")).is_file()


# People who deploy ---------------------------------------------------------------------------------------------------


def test_every_parameter_says_what_it_is_for_stands_in_one_group_and_can_be_left_alone(template):
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    listed = [name for group in groups for name in group["Parameters"]]
    assert sorted(listed) == sorted(template["Parameters"])
    for name, parameter in template["Parameters"].items():
        assert parameter["Description"] and "Default" in parameter, name
        if parameter["Type"] == "Number":
            assert "AllowedValues" in parameter or {"MinValue", "MaxValue"} <= parameter.keys(), name
        elif "AllowedValues" not in parameter:
            assert parameter["ConstraintDescription"], name
            assert re.fullmatch(parameter["AllowedPattern"], parameter["Default"]), name
        if parameter.get("AllowedValues") == ["on", "off"]:
            assert parameter["Default"] in ("on", "off"), "YAML takes the bare words for booleans"


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("AlertBusName", ["lightsail-key-alerts", "a.b_c-1"], ["default", "", "a/b", "a b", "x" * 257]),
        ("RecordBusName", ["lightsail-key-records"], ["default", "aws.partner/x"]),
        ("OrganizationId", ["", "o-a1b2c3d4e5"], ["a1b2c3d4e5", "o-A1b2c3d4e5", "*"]),
        ("NotificationEmail", ["", "security@example.com"], ["security", "a@b", "a b@example.com"]),
        ("ReservedConcurrency", ["", "10", "1000"], ["0", "9", "010", "ten"]),
        (
            "SecurityHubActionArn",
            ["", "arn:aws:securityhub:eu-west-1:111122223333:action/custom/DeleteKey"],
            ["*", "arn:aws:securityhub:eu-west-1:111122223333:action/custom/", "DeleteKey"],
        ),
        (
            "KmsKeyArn",
            ["", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
            ["alias/key", "arn:aws:kms:eu-west-1:111122223333:alias/key", "1234abcd-12ab-34cd-56ef-1234567890ab"],
        ),
        (
            "AllowedAccounts",
            ["", "111122223333", "111122223333,444455556666"],
            ["1111222233334", "*", "111122223333,", "111122223333,,444455556666"],
        ),
        ("ProtectedBuckets", ["", "photos", "photos,My.Bucket_1"], ["My/Bucket", "photos,", "photos, backups"]),
        ("SearchRegions", ["", "eu-west-1,eu-central-1"], ["Ireland", "eu-west-1;eu-west-2"]),
    ],
)
def test_a_parameter_takes_what_it_should_and_nothing_else(parameter, good, bad, template):
    pattern = template["Parameters"][parameter]["AllowedPattern"]
    assert all(re.fullmatch(pattern, value) for value in good)
    assert not [value for value in bad if re.fullmatch(pattern, value)]


MEMBERS = {"MemberRoleName": "responder", "AllowedAccounts": "111122223333,444455556666"}


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({}, None),
        (MEMBERS, None),
        ({**MEMBERS, "MemberExternalId": "external-id"}, None),
        ({"MemberRoleName": "responder"}, "MemberRoleName needs AllowedAccounts"),
        ({"AllowedAccounts": "111122223333"}, "AllowedAccounts needs MemberRoleName"),
        ({"MemberExternalId": "external-id"}, "MemberExternalId needs MemberRoleName"),
        ({"AlertBusName": "one", "RecordBusName": "one"}, "AlertBusName and RecordBusName"),
    ],
)
def test_combination_that_fails_at_start_is_refused(parameters, part, cloudformation):
    refused = as_deployed.Deployment(cloudformation, **parameters).refused()
    assert [text.startswith(part) for text in refused] == ([True] if part else []), refused


def test_regions_without_lightsail_are_refused(template, root):
    pattern = re.compile(template["Parameters"]["SearchRegions"]["AllowedPattern"])
    regions = re.findall(r'\("([a-z]+-[a-z]+-\d)", (?:true|false)\)', (root / "src/regions.rs").read_text())
    assert len(regions) == 19 and all(map(pattern.fullmatch, regions)) and pattern.fullmatch(",".join(regions))
    for wrong in ("us-west-1", "me-south-1", "eu-west-1,", ",eu-west-1", "eu-west-1,me-south-1", "eu-west-10", "eu-west-1eu-west-2"):
        assert not pattern.fullmatch(wrong), wrong


def test_the_metadata_of_the_repository_are_those_of_the_package(template, root):
    application = template["Metadata"]["AWS::ServerlessRepo::Application"]
    package = tomllib.loads((root / "Cargo.toml").read_text())["package"]
    assert (application["Name"], application["SemanticVersion"]) == (package["name"], package["version"])
    assert application["SpdxLicenseId"] == package["license"]
    for file in ("LicenseUrl", "ReadmeUrl"):
        assert (root / application[file]).is_file()


def test_the_outputs_are_those_that_other_tools_read(template):
    assert {
        "FunctionName",
        "FunctionArn",
        "RoleName",
        "LogGroupName",
        "AlertBusName",
        "AlertBusArn",
        "AlertQueueUrl",
        "AlertDeadLetterQueueUrl",
        "FailureQueueUrl",
        "RecordBusName",
        "RecordBusArn",
        "RecordLogGroupName",
        "AlertArchiveName",
        "DefaultBusArchiveName",
        "RecordArchiveName",
        "NotificationTopicArn",
        "InvokeCommand",
        "PutEventsCommand",
    } <= template["Outputs"].keys()
    assert all(output["Description"] for output in template["Outputs"].values())
