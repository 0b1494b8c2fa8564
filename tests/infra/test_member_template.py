"""The template for other accounts and Regions: its role, what it forwards, and what the pages about it promise."""

import itertools
import json
import re

import botocore.session
import pytest
from botocore import xform_name
from cfnlint.api import ManualArgs, lint
from moto.events.models import EventPattern
from samtranslator.yaml_helper import yaml_parse

RESPONDER = "012345678912"
MEMBER = "111122223333"
HOME = "eu-central-1"
ELSEWHERE = "us-east-1"

# Which switch is for which rule of the default bus, by what the rule matches.
SOURCES = {
    "GuardDutyAlerts": ("aws.guardduty", "GuardDuty Finding"),
    "HealthAlerts": ("aws.health", "AWS Health Event"),
    "TrustedAdvisorAlerts": ("aws.trustedadvisor", "Trusted Advisor Check Item Refresh Notification"),
    "SecurityHubAlerts": ("aws.securityhub", "Security Hub Findings - Imported"),
    "SecurityHubV2Alerts": ("aws.securityhub", "Findings Imported V2"),
}
ALL_ON = dict.fromkeys(SOURCES, "on")
SEVERITIES = ["LOW", "MEDIUM", "HIGH", "CRITICAL"]


@pytest.fixture(scope="session")
def written(root):
    """member-template.yaml as it is written."""
    return yaml_parse((root / "member-template.yaml").read_text())


NOTHING = {"Ref": "AWS::NoValue"}


class Deployed:
    """A template with values for its parameters. SAM's own resolver takes a False in a pattern for something missing."""

    def __init__(self, template, **values):
        defaults = {name: one["Default"] for name, one in template["Parameters"].items() if "Default" in one}
        self.values = {"AWS::Partition": "aws", **defaults, **values}
        self.conditions = template["Conditions"]

    def holds(self, condition):
        ((function, given),) = ({"Condition": condition} if isinstance(condition, str) else condition).items()
        if function == "Condition":
            return self.holds(self.conditions[given])
        if function == "Fn::Equals":
            left, right = map(self.of, given)
            return left == right
        parts = [self.holds(one) for one in given]
        return {"Fn::Not": not parts[0], "Fn::And": all(parts), "Fn::Or": any(parts)}[function]

    def of(self, part):
        """A part of the template with every value in its place; what only CloudFormation knows stays as it is."""
        if isinstance(part, list):
            return [one for one in map(self.of, part) if one != NOTHING]
        if not isinstance(part, dict):
            return part
        if set(part) == {"Fn::If"}:
            condition, then, otherwise = part["Fn::If"]
            return self.of(then if self.holds(condition) else otherwise)
        if set(part) == {"Ref"}:
            return self.values.get(part["Ref"], part)
        if set(part) == {"Fn::Sub"} and isinstance(part["Fn::Sub"], str):
            return re.sub(r"\$\{([\w:]+)\}", lambda name: self.values.get(name[1], name[0]), part["Fn::Sub"])
        found = {name: self.of(one) for name, one in part.items()}
        return {name: one for name, one in found.items() if one != NOTHING}


@pytest.fixture(scope="session")
def stack(written):
    """What a stack with these parameters consists of: resources by logical ID, without those whose condition is false."""

    def made(account=MEMBER, region=ELSEWHERE, **parameters):
        needed = {"ResponderAccount": RESPONDER, "ResponderRegion": HOME, "ResponderRoleName": "stack-ResponderRole-1A"}
        assert set(needed) == {name for name, one in written["Parameters"].items() if "Default" not in one}
        assert set(parameters) <= set(written["Parameters"])
        pseudo = {"AWS::AccountId": account, "AWS::Region": region}
        deployed = Deployed(written, **pseudo, **needed, **parameters)
        return {
            name: {"Type": one["Type"], **deployed.of(one["Properties"])}
            for name, one in written["Resources"].items()
            if "Condition" not in one or deployed.holds(one["Condition"])
        }

    return made


def of_type(stack, kind):
    return {name: one for name, one in stack.items() if one["Type"] == kind}


def rules(stack):
    return of_type(stack, "AWS::Events::Rule")


def kind(pattern):
    """Source and first detail-type: what tells the rules of one bus apart."""
    (source,) = pattern["source"]
    return source, pattern["detail-type"][0]


# AWS's own tool ------------------------------------------------------------------------------------------------------


def findings(text):
    config = ManualArgs(regions=["us-east-1", "eu-central-1"], include_checks=["I"])
    return [f"{match.rule.id} {match.message}" for match in lint(text, config=config)]


def test_cfn_lint_finds_nothing_in_the_template_for_members(root):
    assert findings((root / "member-template.yaml").read_text()) == []


def test_cfn_lint_would_find_a_fault_in_it(root):
    broken = (root / "member-template.yaml").read_text().replace("SqsManagedSseEnabled", "SqsManagedSse")
    assert any("SqsManagedSse" in finding for finding in findings(broken))


def test_stack_sets_can_take_it_as_it_is(root, written):
    # CloudFormation user guide, "StackSets": no transforms that package code; API reference, "CreateStackSet": 51,200
    # bytes of template body.
    assert "Transform" not in written
    assert (root / "member-template.yaml").stat().st_size <= 51_200


def test_what_both_templates_ask_for_they_ask_for_in_the_same_words(written, template):
    shared = set(written["Parameters"]) & set(template["Parameters"])
    assert {"AlertBusName", "FindingSeverity", "MemberRoleName", "MemberExternalId", *SOURCES} <= shared
    for name in ["FindingSeverity", *SOURCES]:
        assert written["Parameters"][name]["AllowedValues"] == template["Parameters"][name]["AllowedValues"], name
    for name in ["AlertBusName", "FindingSeverity"]:
        assert written["Parameters"][name]["Default"] == template["Parameters"][name]["Default"], name
    assert written["Parameters"]["MemberExternalId"]["AllowedPattern"] == (
        template["Parameters"]["MemberExternalId"]["AllowedPattern"]
    )
    role = written["Parameters"]["MemberRoleName"]["Default"]
    assert re.fullmatch(template["Parameters"]["MemberRoleName"]["AllowedPattern"], role)


# The role ------------------------------------------------------------------------------------------------------------


def statements(role):
    (policy,) = role["Policies"]
    return {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}


def test_the_role_allows_exactly_the_lightsail_calls_of_the_code_and_nothing_else(stack, root):
    source = (root / "src/aws/lightsail.rs").read_text()
    called = re.findall(r"self\s*\.client\s*\.(\w+)\(\)", source)
    assert len(called) == source.count("send!(") > 0, "a call is made in a way that this test does not see"
    assert ".send()" not in source
    operations = botocore.session.get_session().get_service_model("lightsail").operation_names
    names = {xform_name(operation): operation for operation in operations}
    role = stack()["MemberRole"]
    assert "ManagedPolicyArns" not in role
    allowed = [action for one in statements(role).values() if one["Effect"] == "Allow" for action in one["Action"]]
    assert sorted(allowed) == sorted(f"lightsail:{names[call]}" for call in called)


def test_the_role_says_of_lightsail_what_the_responders_own_role_says(written, template):
    (policy,) = template["Resources"]["ResponderRole"]["Properties"]["Policies"]
    own = {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"] if "Sid" in one}
    there = statements(written["Resources"]["MemberRole"]["Properties"])
    lightsail = {sid for sid, one in own.items() if any(action.startswith("lightsail:") for action in one["Action"])}
    assert set(there) == lightsail
    assert there == {sid: own[sid] for sid in there}


def test_it_deletes_in_its_own_account_only(stack):
    delete = statements(stack()["MemberRole"])["DeleteKeys"]
    assert delete["Resource"] == f"arn:aws:lightsail:*:{MEMBER}:Bucket/*"


def test_only_the_responders_role_may_assume_it_and_only_in_a_session_that_is_named_for_an_alert(stack, code):
    (trust,) = stack()["MemberRole"]["AssumeRolePolicyDocument"]["Statement"]
    # The function names its sessions in src/respond/accounts.rs.
    prefix = code("respond/accounts.rs", r'let prefix = "([^"]+)"')
    assert trust == {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{RESPONDER}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "ArnEquals": {"aws:PrincipalArn": f"arn:aws:iam::{RESPONDER}:role/stack-ResponderRole-1A"},
            "StringLike": {"sts:RoleSessionName": f"{prefix}*"},
        },
    }


def test_no_name_of_a_role_can_be_a_pattern_that_fits_others(written):
    pattern = written["Parameters"]["ResponderRoleName"]["AllowedPattern"]
    assert re.fullmatch(pattern, "lightsail-key-responder-ResponderRole-AbC1=,.@_+")
    for name in ("*", "stack-ResponderRole-?", "", "path/name", "${aws:username}"):
        assert not re.fullmatch(pattern, name), name


def test_an_external_id_is_asked_for_where_one_is_given(stack):
    (trust,) = stack(MemberExternalId="a-b-c")["MemberRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"] == {"sts:ExternalId": "a-b-c"}
    assert set(trust["Condition"]) == {"ArnEquals", "StringLike", "StringEquals"}


def test_the_code_assumes_a_role_of_that_name_without_a_path_for_no_longer_than_it_may(stack, code):
    role = stack()["MemberRole"]
    assert code("aws/sts.rs", r'format!\("(arn:aws:iam::\{account\}:role/\{role\})"') and "Path" not in role
    assert role["RoleName"] == "lightsail-key-responder"
    assert int(code("aws/sts.rs", r"const SESSION_SECONDS: i32 = (\d+)")) <= role["MaxSessionDuration"] == 3600


@pytest.mark.parametrize(
    ("account", "region", "parameters", "made"),
    [
        (MEMBER, ELSEWHERE, {}, True),
        (MEMBER, HOME, {}, False),
        (MEMBER, HOME, {"RoleRegion": HOME}, True),
        (MEMBER, ELSEWHERE, {"RoleRegion": ""}, False),
        (RESPONDER, ELSEWHERE, {}, False),
        (RESPONDER, HOME, {"RoleRegion": HOME}, False),
    ],
)
def test_the_role_is_made_once_in_an_account_and_not_in_the_responders_own(account, region, parameters, made, stack):
    assert ("MemberRole" in stack(account, region, **parameters)) is made


# Forwarding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", SOURCES)
def test_each_source_has_its_switch(switch, stack):
    off = dict.fromkeys(SOURCES, "off")
    (rule,) = rules(stack(**{**off, switch: "on"})).values()
    assert kind(rule["EventPattern"]) == SOURCES[switch]
    assert rules(stack(**off)) == {}
    assert len(rules(stack(**{**ALL_ON, switch: "off"}))) == len(SOURCES) - 1


def test_where_the_responder_is_nothing_is_forwarded_to_itself(stack):
    assert set(stack(RESPONDER, HOME, **ALL_ON)) == {"UndeliveredAlerts", "UndeliveredAlertsPolicy", "AlertsNotForwarded"}
    assert len(rules(stack(RESPONDER, ELSEWHERE, **ALL_ON))) == len(SOURCES)
    assert len(rules(stack(MEMBER, HOME, **ALL_ON))) == len(SOURCES)


def test_every_rule_forwards_to_the_alert_bus_and_what_it_does_not_take_to_the_queue(stack, written):
    bus = f"arn:aws:events:{HOME}:{RESPONDER}:event-bus/lightsail-key-alerts"
    for name, rule in rules(stack(**ALL_ON)).items():
        assert "EventBusName" not in rule, "the default bus is the one on which nobody can pose as AWS"
        (target,) = rule["Targets"]
        assert target["Arn"] == bus, name
        # AWS takes neither a RetryPolicy nor any Input for a bus (CDK API reference, "EventBusProps"; EventBridge API
        # reference, "PutTargets").
        assert set(target) == {"Id", "Arn", "RoleArn", "DeadLetterConfig"}, name
    for name, rule in rules(written["Resources"]).items():
        (target,) = rule["Properties"]["Targets"]
        assert target["RoleArn"] == {"Fn::GetAtt": ["ForwardingRole", "Arn"]}, name
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["UndeliveredAlerts", "Arn"]}}, name


def test_the_forwarding_role_puts_events_on_exactly_that_bus_and_only_for_rules_of_its_account(stack):
    role = stack()["ForwardingRole"]
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", ["events:PutEvents"])
    assert statement["Resource"] == f"arn:aws:events:{HOME}:{RESPONDER}:event-bus/lightsail-key-alerts"
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": MEMBER},
        "ArnLike": {"aws:SourceArn": f"arn:aws:events:{ELSEWHERE}:{MEMBER}:rule/*"},
    }
    assert "ManagedPolicyArns" not in role


def test_there_are_two_roles_and_nothing_else_is_granted(stack):
    made = stack(**ALL_ON)
    assert sorted(of_type(made, "AWS::IAM::Role")) == ["ForwardingRole", "MemberRole"]
    kinds = {one["Type"] for one in made.values()}
    queue = {"AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "AWS::CloudWatch::Alarm"}
    assert kinds == {"AWS::IAM::Role", "AWS::Events::Rule", *queue}


def test_only_the_rules_that_are_there_may_send_to_the_encrypted_queue_and_only_over_tls(written):
    queue = {"Fn::GetAtt": ["UndeliveredAlerts", "Arn"]}
    properties = written["Resources"]["UndeliveredAlerts"]["Properties"]
    assert properties == {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 14 * 24 * 3600}
    document = written["Resources"]["UndeliveredAlertsPolicy"]["Properties"]["PolicyDocument"]
    choice, deny = document["Statement"]
    condition, allow, otherwise = choice["Fn::If"]
    assert (condition, otherwise) == ("Forwards", NOTHING)
    assert (allow["Effect"], allow["Principal"]) == ("Allow", {"Service": "events.amazonaws.com"})
    assert (allow["Action"], allow["Resource"]) == ("sqs:SendMessage", queue)
    senders = {
        rule["Condition"]: {"Fn::GetAtt": [name, "Arn"]} for name, rule in rules(written["Resources"]).items()
    }
    listed = allow["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert [one["Fn::If"] for one in listed] == [[name, arn, NOTHING] for name, arn in senders.items()]
    assert (deny["Effect"], deny["Principal"], deny["Action"], deny["Resource"]) == ("Deny", "*", "sqs:*", queue)
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_an_alarm_watches_the_queue_and_tells_a_topic_of_its_own_region(stack, written):
    alarm = written["Resources"]["AlertsNotForwarded"]["Properties"]
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": ["UndeliveredAlerts", "QueueName"]}}]
    assert (alarm["MetricName"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
        "ApproximateNumberOfMessagesVisible",
        "GreaterThanThreshold",
        0,
    )
    assert "AlarmActions" not in stack()["AlertsNotForwarded"]
    told = stack(AlarmTopicName="security")["AlertsNotForwarded"]["AlarmActions"]
    assert told == [f"arn:aws:sns:{ELSEWHERE}:{MEMBER}:security"]


# Forwarding and the responder's own rules ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def responder_rules(cloudformation):
    """The responder's rules with these parameters: logical ID -> (bus, pattern, targets)."""

    def made(**parameters):
        deployed = Deployed(cloudformation, **{"AWS::AccountId": RESPONDER, "AWS::Region": HOME}, **parameters)
        found = {name: one for name, one in cloudformation["Resources"].items() if one["Type"] == "AWS::Events::Rule"}
        return {
            name: (
                one["Properties"].get("EventBusName"),
                deployed.of(one["Properties"]["EventPattern"]),
                deployed.of(one["Properties"]["Targets"]),
            )
            for name, one in found.items()
        }

    return made


@pytest.mark.parametrize("severity", SEVERITIES)
def test_what_is_forwarded_is_what_the_responder_takes_from_its_own_account(severity, stack, responder_rules):
    own = {
        kind(pattern): pattern
        for bus, pattern, _ in responder_rules(FindingSeverity=severity).values()
        if bus is None and kind(pattern) in SOURCES.values()
    }
    forwarded = {
        kind(rule["EventPattern"]): rule["EventPattern"]
        for rule in rules(stack(**ALL_ON, FindingSeverity=severity)).values()
    }
    assert set(own) == set(SOURCES.values())
    assert forwarded == own


def variants(part):
    """An event with one object in the place of each array of objects, in every combination.

    EventBridge compares so: all members that a pattern has below an array must be those of one of its objects
    (EventBridge user guide, "Matching with arrays" and "Amazon EventBridge event patterns"); moto looks into no array.
    """
    if isinstance(part, list) and part and all(isinstance(one, dict) for one in part):
        return [variant for one in part for variant in variants(one)]
    if not isinstance(part, dict):
        return [part]
    choices = [[(name, variant) for variant in variants(one)] for name, one in part.items()]
    return [dict(chosen) for chosen in itertools.product(*choices)]


def matches(pattern, event):
    loaded = EventPattern.load(json.dumps(pattern))
    return any(loaded.matches_event(variant) for variant in variants(event))


def events(root):
    found = {path.name: json.loads(path.read_text()) for path in sorted((root / "events").glob("*.json"))}
    return {name: event for name, event in found.items() if isinstance(event, dict) and "detail-type" in event}


def test_every_alert_that_the_responder_takes_from_its_own_account_arrives_from_a_member_once(
    stack, responder_rules, root
):
    own = {
        name: pattern
        for name, (bus, pattern, _) in responder_rules().items()
        if bus is None and kind(pattern) in SOURCES.values()
    }
    on_bus = {name: pattern for name, (bus, pattern, _) in responder_rules().items() if bus == {"Ref": "AlertBus"}}
    to_queue = {
        name
        for name, (_, _, targets) in responder_rules().items()
        if [target["Arn"] for target in targets] == [{"Fn::GetAtt": ["AlertQueue", "Arn"]}]
    }
    forwarding = {name: rule["EventPattern"] for name, rule in rules(stack(**ALL_ON)).items()}
    taken = {}
    for file, event in events(root).items():
        by_own = [name for name, pattern in own.items() if matches(pattern, event)]
        theirs = {**event, "account": MEMBER, "region": ELSEWHERE}
        by_member = [name for name, pattern in forwarding.items() if matches(pattern, theirs)]
        assert len(by_member) == len(by_own) <= 1, file
        if by_member:
            arrives = [name for name, pattern in on_bus.items() if matches(pattern, theirs)]
            assert len(arrives) == 1 and set(arrives) <= to_queue, f"{file} on AlertBus is passed by {arrives}"
            taken[file] = by_member[0]
    assert sorted(set(taken.values())) == sorted(forwarding), "a rule forwards none of events/"


def test_an_event_of_our_own_kind_or_an_answer_is_never_forwarded(stack, root):
    own = events(root)["exposed-key-event.json"]
    record = {**own, "source": "lightsail-key-responder", "detail-type": "Lightsail Bucket Access Key Response"}
    for name, rule in rules(stack(**ALL_ON, FindingSeverity="LOW")).items():
        assert not matches(rule["EventPattern"], own), name
        assert not matches(rule["EventPattern"], record), name


def test_no_rule_of_the_alert_bus_sends_on_to_a_bus(responder_rules):
    for name, (bus, _, targets) in responder_rules().items():
        if bus == {"Ref": "AlertBus"}:
            assert "RoleArn" not in json.dumps(targets) and "event-bus" not in json.dumps(targets), name


# The pages -----------------------------------------------------------------------------------------------------------

PAGES = ["docs/multi-account.md", "docs/security.md"]


def fenced(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def policies(root):
    return [json.loads(block) for block in fenced((root / "docs/security.md").read_text(), "json")]


def test_every_policy_of_the_security_page_is_json_of_the_shape_of_one(root):
    found = policies(root)
    assert len(found) == 2, "the SCP and the key policy"
    for policy in found:
        assert policy["Version"] == "2012-10-17"
        sids = [statement["Sid"] for statement in policy["Statement"]]
        assert len(set(sids)) == len(sids) > 0
        for statement in policy["Statement"]:
            assert {"Sid", "Effect", "Action", "Resource"} <= set(statement)


def test_the_service_control_policy_only_denies_fits_and_leaves_a_way_to_deploy(root):
    scp, _ = policies(root)
    # Organizations user guide, "Quotas and service limits for AWS Organizations".
    assert len(json.dumps(scp, separators=(",", ":"))) <= 5_120
    exempt = {"arn:aws:iam::*:role/DEPLOY-ROLE", "arn:aws:iam::*:role/stacksets-exec-*"}
    for statement in scp["Statement"]:
        assert statement["Effect"] == "Deny" and "Principal" not in statement
        roles = statement["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
        assert "arn:aws:iam::*:role/DEPLOY-ROLE" in roles and set(roles) <= exempt, statement["Sid"]
    # The tag of the code, and nobody but who deploys may set it.
    (tag,) = [one for one in scp["Statement"] if "aws:TagKeys" in json.dumps(one)]
    assert tag["Condition"]["ForAnyValue:StringEqualsIgnoreCase"] == {"aws:TagKeys": "responder:protect"}
    assert 'PROTECT_TAG: (&str, &str) = ("responder:protect", "true")' in (root / "src/policy.rs").read_text()


def test_every_action_of_the_policies_is_one_that_aws_has(root, written):
    roles = [written["Resources"][name]["Properties"] for name in ("MemberRole", "ForwardingRole")]
    documents = policies(root) + [role["Policies"][0]["PolicyDocument"] for role in roles]
    actions = {action for one in documents for statement in one["Statement"] for action in statement["Action"]}
    session = botocore.session.get_session()
    # The one that is no call (IAM user guide, "Grant a user permissions to pass a role to an AWS service").
    for action in sorted(actions - {"iam:PassRole"}):
        service, name = action.split(":")
        pattern = re.compile(re.escape(name).replace(r"\*", ".*"))
        assert any(map(pattern.fullmatch, session.get_service_model(service).operation_names)), action


def test_what_a_page_calls_by_its_name_is_there(root, written, template):
    ours = {name for one in (written, template) for part in ("Parameters", "Resources") for name in one[part]}
    ours |= {statement["Sid"] for policy in policies(root) for statement in policy["Statement"]}
    # AWS's own names, and members of events and records.
    others = {"BatchImportFindings", "DeleteBucketAccessKey", "DisableRule", "DeleteRule", "RemoveTargets", "ProductArn"}
    others |= {"AwsAccountId", "PutRolePolicy", "AttachRolePolicy", "DeletionPolicy", "RawV2", "AssumeRole", "MatchedEvents"}
    for page in PAGES:
        words = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][A-Za-z0-9]*)+)`", (root / page).read_text()))
        assert words - ours - others == set(), page


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page, root):
    text = (root / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    assert links
    for link in links:
        file, _, heading = link.partition("#")
        target = (root / page).parent / file if file else root / page
        assert target.is_file(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, link


def test_the_commands_of_the_page_name_parameters_that_exist(root, written, template):
    text = (root / "docs/multi-account.md").read_text()
    blocks = fenced(text, "sh")
    members = "\n".join(block for block in blocks if "member-template.yaml" in block or "stack-set" in block)
    keys = set(re.findall(r"ParameterKey=(\w+)", members))
    assert {"ResponderAccount", "ResponderRegion", "ResponderRoleName"} <= keys <= set(written["Parameters"])
    own = "\n".join(block for block in blocks if "sam deploy" in block)
    overrides = set(re.findall(r"(\w+)=", own.partition("--parameter-overrides")[2]))
    assert {"MemberRoleName", "AllowedAccounts", "OrganizationId"} <= overrides <= set(template["Parameters"])
    assert f"MemberRoleName={written['Parameters']['MemberRoleName']['Default']}" in own


def test_what_the_commands_call_exists_in_the_aws_cli(root):
    text = (root / "docs/multi-account.md").read_text()
    session = botocore.session.get_session()
    commands = re.findall(r"aws ([a-z]+) ([a-z-]+)((?:[^\n]*\\\n)*[^\n]*)", "\n".join(fenced(text, "sh")))
    assert len(commands) >= 6
    for service, command, options in commands:
        if (service, command) == ("cloudformation", "deploy"):
            continue  # a command of the CLI's own
        model = session.get_service_model(service)
        names = {xform_name(operation, "-"): operation for operation in model.operation_names}
        assert command in names, f"aws {service} {command}"
        shape = model.operation_model(names[command]).input_shape
        members = {xform_name(member, "-") for member in (shape.members if shape else {})}
        for option in re.findall(r"--([a-z-]+)", options):
            of_the_cli = {"region", "query", "output", "cli-binary-format"}
            assert option in members | of_the_cli, f"aws {service} {command} --{option}"
