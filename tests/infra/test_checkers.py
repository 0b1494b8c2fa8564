"""What checkers of others say of the templates: checkov, cfn-guard with our own rules, parliament; and cargo-deny.

They get both templates as AWS deploys them (as_deployed.py), with the defaults and with everything switched on, checkov
also what AWS SAM makes of the template. Each finding that stays is argued here. One that is new fails the tests, and so
does an argument that nothing needs any more. That a checker sees a fault at all is tested with one.
"""

import copy
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from as_deployed import Deployment, policies
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
RULES = Path(__file__).parent / "guard"

# How the templates are deployed ---------------------------------------------------------------------------------------

KEY = "arn:aws:kms:eu-central-1:012345678912:key/11112222-3333-4444-5555-666677778888"
MEMBER = {"ResponderAccount": "111122223333", "ResponderRegion": "eu-central-1", "ResponderRoleName": "responder-role"}

# By name: the template, and the parameters that are not left at their defaults. With "all" no condition is false but
# those that exclude one another; a test says so. (The member template goes to eu-central-1, as as_deployed.py says.)
DEPLOYMENTS = {
    "default": ("template.yaml", {}),
    "all": (
        "template.yaml",
        {
            "ProtectedBuckets": "keep-me,and-me",
            "SearchRegions": "eu-central-1,us-east-1",
            "MemberRoleName": "lightsail-key-responder",
            "MemberExternalId": "external-id",
            "AllowedAccounts": "111122223333,444455556666",
            "OrganizationId": "o-a1b2c3d4e5",
            "SecurityHubActionArn": "arn:aws:securityhub:eu-central-1:012345678912:action/custom/DeleteKey",
            "NotificationEmail": "security@example.com",
            "ChatNotifications": "on",
            "SecurityHubNotes": "on",
            "Tracing": "on",
            "ReservedConcurrency": "10",
            "KmsKeyArn": KEY,
        },
    ),
    "member-default": ("member-template.yaml", MEMBER),
    "member-all": (
        "member-template.yaml",
        {
            **MEMBER,
            "MemberExternalId": "external-id",
            "RoleRegion": "eu-central-1",
            "SecurityHubAlerts": "on",
            "SecurityHubV2Alerts": "on",
            "AlarmTopicName": "alarms",
        },
    ),
}
# The threshold is another one, and the member template is not deployed where the responder is.
THRESHOLDS = {"FromLow", "FromHigh", "FromCritical"}
FALSE_CONDITIONS = {"all": THRESHOLDS, "member-all": THRESHOLDS | {"IsResponderAccount"}}

# Findings that stay, and why ------------------------------------------------------------------------------------------

OWN_KEY = (
    "Encrypted with a key that AWS keeps. Whoever wants a key of their own names it in KmsKeyArn; then this is gone."
)
# checkov, by check: why, and {deployment: resources}.
ARGUED_BY_CHECKOV = {
    "CKV_AWS_27": (
        OWN_KEY
        + " The check knows SqsManagedSseEnabled not as encryption. The member's queue holds alerts that could not be"
        " forwarded, which name a key's ID and no secret, and a key of KMS costs more than all the rest there.",
        {
            "default": ["AlertDeadLetterQueue", "AlertQueue", "FailureQueue"],
            "member-default": ["UndeliveredAlerts"],
            "member-all": ["UndeliveredAlerts"],
        },
    ),
    "CKV_AWS_158": (OWN_KEY, {"default": ["RecordLogGroup", "ResponderLogGroup"]}),
    "CKV_AWS_173": (OWN_KEY + " No variable is a secret.", {"default": ["ResponderFunction"]}),
    "CKV_AWS_26": (
        "Neither EventBridge nor CloudWatch can publish to a topic under AWS's own key for SNS, so without KmsKeyArn there is"
        " none. What it sends leaves by e-mail anyway, and names no secret.",
        {"default": ["NotificationTopic"]},
    ),
    "CKV_AWS_115": (
        "Without ReservedConcurrency none is reserved: an account with the smallest quota could not deploy with a number."
        " docs/security.md says what a flood takes then.",
        {"default": ["ResponderFunction"]},
    ),
    "CKV_AWS_116": (
        "What fails goes to FailureQueue as the on-failure destination, which also says why; the check knows only the older"
        " DeadLetterConfig, with which the answer would be lost.",
        {"default": ["ResponderFunction"], "all": ["ResponderFunction"], "sam": ["ResponderFunction"]},
    ),
    "CKV_AWS_117": (
        "The function speaks to public endpoints of AWS only, and Lightsail has none in a VPC: a NAT gateway would be one more"
        " thing that can stop a response.",
        {"default": ["ResponderFunction"], "all": ["ResponderFunction"], "sam": ["ResponderFunction"]},
    ),
}
# parliament, by (policy, issue): why, and in which deployments.
ARGUED_BY_PARLIAMENT = {}

# Running them ---------------------------------------------------------------------------------------------------------


def tool(variable):
    path = os.environ.get(variable)
    assert path, f"{variable} must name the tool: run `make test-release`"
    return str((ROOT / path).absolute())


def run(command, home, **more):
    """A child that finds nothing of the caller's settings, and nobody to speak to."""
    nobody = "http://127.0.0.1:9"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "HTTP_PROXY": nobody, "HTTPS_PROXY": nobody}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, **more)


@pytest.fixture(scope="session")
def templates(cloudformation):
    """Both templates as CloudFormation gets them."""
    return {
        "template.yaml": cloudformation,
        "member-template.yaml": yaml_parse((ROOT / "member-template.yaml").read_text()),
    }


@pytest.fixture(scope="session")
def deployed(templates):
    """Every deployment by its name."""
    return {
        name: Deployment(templates[template], **parameters).resolved()
        for name, (template, parameters) in DEPLOYMENTS.items()
    }


@pytest.mark.parametrize("name", FALSE_CONDITIONS)
def test_with_everything_switched_on_no_condition_leaves_anything_out(templates, name):
    template, parameters = DEPLOYMENTS[name]
    deployment = Deployment(templates[template], **parameters)
    false = {one for one in templates[template]["Conditions"] if not deployment.condition(one)}
    assert false == FALSE_CONDITIONS[name]


def unargued_and_unneeded(found, argued):
    """The findings without an argument, and the arguments without a finding."""
    return sorted(set(found) - set(argued)), sorted(set(argued) - set(found))


# checkov --------------------------------------------------------------------------------------------------------------


def checkov(templates, directory):
    """What checkov finds in these templates: [(check, template, resource)], and how many checks passed in each."""
    command = [tool("CHECKERS_PYTHON"), "-m", "checkov.main", "--framework", "cloudformation", "--skip-download"]
    for name, template in templates.items():
        (directory / f"{name}.json").write_text(json.dumps(template, indent=1))
        command += ["--file", f"{name}.json"]
    done = run([*command, "--output", "json"], directory, cwd=directory)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0

    def of(kind):
        return [
            (one["check_id"], Path(one["file_path"]).stem, one["resource"].split(".", 1)[1])
            for one in report["results"][kind]
        ]

    passed = [template for _check, template, _resource in of("passed_checks")]
    return of("failed_checks"), {name: passed.count(name) for name in templates}


def test_checkov_finds_nothing_that_is_not_argued_and_everything_that_is(deployed, cloudformation, tmp_path, capsys):
    failed, passed = checkov({**deployed, "sam": cloudformation}, tmp_path)
    assert all(passed.values()), passed
    argued = [
        (check, template, resource)
        for check, (_why, places) in ARGUED_BY_CHECKOV.items()
        for template, resources in places.items()
        for resource in resources
    ]
    with capsys.disabled():
        print(f"\ncheckov: passed {passed}, argued {len(argued)}, failed {len(failed)}")
    assert unargued_and_unneeded(failed, argued) == ([], [])


def test_checkov_sees_a_fault(deployed, tmp_path):
    broken = copy.deepcopy(deployed["all"])
    del broken["Resources"]["NotificationTopic"]["Properties"]["KmsMasterKeyId"]
    properties(broken, "ResponderRole")["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] = {"AWS": "*"}
    failed, _passed = checkov({"broken": broken}, tmp_path)
    argued = [check for check, (_why, places) in ARGUED_BY_CHECKOV.items() if "all" in places]
    found = {(check, resource) for check, _template, resource in failed if check not in argued}
    assert found == {("CKV_AWS_26", "NotificationTopic"), ("CKV_AWS_60", "ResponderRole")}


# cfn-guard ------------------------------------------------------------------------------------------------------------


def rule_names(files):
    return [name for file in files for name in re.findall(r"^rule (\w+)", (RULES / file).read_text(), re.MULTILINE)]


FOR_EVERY_TEMPLATE, FOR_THE_RESPONDER = ["every-template.guard"], ["every-template.guard", "responder.guard"]


def guard(template, files, directory):
    """What cfn-guard says of each rule: {rule: "pass", "fail" or "skip"}."""
    data = directory / "template.json"
    data.write_text(json.dumps(template))
    rules = [argument for file in files for argument in ("--rules", str(RULES / file))]
    command = [tool("CFN_GUARD"), "validate", *rules, "--data", str(data)]
    done = run([*command, "--structured", "--output-format", "json", "--show-summary", "none"], directory)
    # 19: a rule failed. Anything else is an error of cfn-guard, a rule that it cannot read for one.
    assert done.returncode in (0, 19), done.stdout + done.stderr
    said = {}
    for report in json.loads(done.stdout):
        said |= {name: "pass" for name in report["compliant"]} | {name: "skip" for name in report["not_applicable"]}
        said |= {one["Rule"]["name"]: "fail" for one in report["not_compliant"]}
    assert sorted(said) == sorted(rule_names(files)), "cfn-guard left out a rule"
    return said


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_our_rules_hold_of_every_deployment(deployed, name, tmp_path):
    files = FOR_EVERY_TEMPLATE if name.startswith("member") else FOR_THE_RESPONDER
    said = guard(deployed[name], files, tmp_path)
    assert not [rule for rule, result in said.items() if result == "fail"]


def test_with_everything_switched_on_there_is_something_that_each_rule_is_about(deployed, tmp_path):
    said = guard(deployed["all"], FOR_THE_RESPONDER, tmp_path)
    assert not [rule for rule, result in said.items() if result == "skip"]


def properties(template, name):
    return template["Resources"][name]["Properties"]


def statements(template, name):
    own = properties(template, name)
    if "Policies" in own:
        return own["Policies"][0]["PolicyDocument"]["Statement"]
    return own["Policy" if "Policy" in own else "PolicyDocument"]["Statement"]


def statement(template, name, sid):
    return next(one for one in statements(template, name) if one.get("Sid") == sid)


def add(template, kind, **own):
    template["Resources"]["Added"] = {"Type": kind, "Properties": own}


def allow(template, name="ResponderRole", **more):
    statements(template, name).append({"Effect": "Allow", "Action": ["lightsail:GetBuckets"], "Resource": "*", **more})


QUEUE = "arn:aws:sqs:eu-central-1:012345678912:FailureQueue"
# For each rule, what it must not let pass. (The responder's and not the member's: one of each kind is enough.)
BREAKS = {
    "only_roles_have_permissions": [
        lambda t: add(t, "AWS::IAM::ManagedPolicy", PolicyDocument={}),
        lambda t: add(t, "AWS::IAM::AccessKey", UserName="responder"),
    ],
    "roles_have_no_managed_policies": [
        lambda t: properties(t, "ResponderRole").update(ManagedPolicyArns=["arn:aws:iam::aws:policy/ReadOnlyAccess"]),
        lambda t: properties(t, "SecurityHubNoteRole").update(ManagedPolicyArns=[]),
    ],
    "roles_name_each_action": [
        lambda t: allow(t, Action=["sqs:Send*"], Resource=QUEUE),
        lambda t: allow(t, Action="sqs:*", Resource=QUEUE),
        lambda t: allow(t, Action="*", Resource=QUEUE),
        lambda t: statements(t, "ResponderRole").append({"Effect": "Allow", "NotAction": "iam:*", "Resource": QUEUE}),
    ],
    "roles_allow_star_only_where_no_resource_can_be_named": [
        lambda t: allow(t, Action=["sqs:SendMessage"]),
        lambda t: allow(t, Action=["lightsail:GetBuckets", "sqs:SendMessage"]),
        lambda t: allow(t, Action="sqs:SendMessage", Resource=[QUEUE, "*"]),
        lambda t: allow(t, "SecurityHubNoteRole", Action=["securityhub:BatchUpdateFindings"]),
    ],
    "roles_are_assumed_by_a_service_or_a_role_and_never_by_anybody": [
        lambda t: properties(t, "ResponderRole")["AssumeRolePolicyDocument"]["Statement"][0].update(Principal="*"),
        lambda t: properties(t, "ResponderRole")["AssumeRolePolicyDocument"]["Statement"][0].update(
            Principal={"AWS": "*"}
        ),
    ],
    "queues_are_encrypted": [
        lambda t: properties(t, "AlertQueue").pop("KmsMasterKeyId"),
        lambda t: (
            properties(t, "AlertQueue").pop("KmsMasterKeyId")
            and properties(t, "AlertQueue").update(SqsManagedSseEnabled=False)
        ),
    ],
    "queues_without_a_queue_behind_them_keep_messages_for_14_days": [
        lambda t: properties(t, "FailureQueue").update(MessageRetentionPeriod=345600),
        lambda t: properties(t, "AlertDeadLetterQueue").pop("MessageRetentionPeriod"),
        lambda t: properties(t, "AlertQueue").pop("RedrivePolicy"),
    ],
    "queues_refuse_what_is_not_encrypted_on_the_way": [
        lambda t: statements(t, "AlertQueuePolicy").remove(statement(t, "AlertQueuePolicy", "OnlyEncrypted")),
        lambda t: statement(t, "AlertQueuePolicy", "OnlyEncrypted")["Condition"]["Bool"].update(
            {"aws:SecureTransport": "true"}
        ),
    ],
    "queues_take_messages_only_of_named_senders": [
        lambda t: statement(t, "FailureQueuePolicy", "UndeliveredEvents").pop("Condition"),
        lambda t: statement(t, "FailureQueuePolicy", "UndeliveredEvents").update(Principal="*"),
        lambda t: statement(t, "FailureQueuePolicy", "UndeliveredEvents").update(
            Action=["sqs:SendMessage", "sqs:PurgeQueue"]
        ),
    ],
    "topics_take_messages_only_of_named_senders": [
        lambda t: statement(t, "NotificationTopicPolicy", "Alarms").pop("Condition"),
        lambda t: statement(t, "NotificationTopicPolicy", "Alarms").update(Principal="*"),
        lambda t: statement(t, "ChatTopicPolicy", "Records").update(Action="sns:Subscribe"),
    ],
    "buses_are_open_to_an_organization_at_most": [
        lambda t: properties(t, "RecordBusPolicy")["Statement"].update(Effect="Allow"),
        lambda t: properties(t, "RecordBusPolicy")["Statement"].update(Effect="Allow", Principal={"AWS": "*"}),
        lambda t: properties(t, "RecordBusPolicy")["Statement"].update(Effect="Allow", Action="events:*"),
    ],
    "policies_of_buses_are_open_to_an_organization_at_most": [
        lambda t: statement(t, "AlertBus", "AlertsOfTheOrganization").pop("Condition"),
        lambda t: statement(t, "AlertBus", "ScannersOfThisAccount").update(Principal={"AWS": "*"}),
        lambda t: statement(t, "AlertBus", "ScannersOfThisAccount").update(Action="events:*"),
    ],
    "log_groups_have_a_retention": [
        lambda t: properties(t, "RecordLogGroup").pop("RetentionInDays"),
        lambda t: properties(t, "ResponderLogGroup").update(RetentionInDays=7),
    ],
    "archives_have_a_retention": [lambda t: properties(t, "AlertArchive").pop("RetentionDays")],
    "rule_targets_retry_and_have_a_queue_for_what_fails": [
        lambda t: properties(t, "ForwardedAlerts")["Targets"][0].pop("DeadLetterConfig"),
        lambda t: properties(t, "ForwardedAlerts")["Targets"][0].pop("RetryPolicy"),
        lambda t: properties(t, "RecordsWithKey")["Targets"][1].pop("DeadLetterConfig"),
        lambda t: properties(t, "ForwardedAlerts").update(Targets=[]),
    ],
    "rules_are_narrowed_to_sources_or_types": [
        lambda t: properties(t, "ForwardedAlerts")["EventPattern"].pop("detail-type"),
        lambda t: properties(t, "ForwardedAlerts").update(ScheduleExpression="rate(1 hour)"),
    ],
    "functions_are_invoked_only_by_named_resources": [
        lambda t: add(t, "AWS::Lambda::Permission", Principal="events.amazonaws.com", Action="lambda:InvokeFunction"),
        lambda t: add(t, "AWS::Lambda::Permission", Principal="*", SourceArn="arn:aws:events:eu-central-1:1:rule/r"),
    ],
    "responder_is_denied_making_keys_and_destroying_buckets": [
        lambda t: statements(t, "ResponderRole").remove(statement(t, "ResponderRole", "NeverOpenOrDestroyBuckets")),
        lambda t: statement(t, "ResponderRole", "NeverOpenOrDestroyBuckets").update(
            Condition={"Bool": {"aws:SecureTransport": "true"}}
        ),
        lambda t: statement(t, "ResponderRole", "NeverOpenOrDestroyBuckets")["Action"].remove(
            "lightsail:CreateBucketAccessKey"
        ),
    ],
    "responder_deletes_no_key_of_a_protected_bucket": [
        lambda t: statements(t, "ResponderRole").remove(statement(t, "ResponderRole", "LeaveProtectedBucketsAlone")),
        lambda t: statement(t, "ResponderRole", "LeaveProtectedBucketsAlone").pop("Condition"),
    ],
    "responder_deletes_keys_of_this_account_only": [
        lambda t: statement(t, "ResponderRole", "DeleteKeys").update(Resource="arn:aws:lightsail:*:*:Bucket/*"),
    ],
    "responder_assumes_only_a_role_that_is_named_and_only_in_accounts_that_are": [
        lambda t: statement(t, "ResponderRole", "ActInMemberAccounts").pop("Condition"),
        lambda t: statement(t, "ResponderRole", "ActInMemberAccounts").update(Resource="arn:aws:iam::*:role/*"),
    ],
    "function_has_nothing_that_can_redirect_it": [
        lambda t: properties(t, "ResponderFunction")["Environment"]["Variables"].update(
            AWS_ENDPOINT_URL_LIGHTSAIL="https://x"
        ),
        lambda t: properties(t, "ResponderFunction")["Environment"]["Variables"].pop(
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
        ),
        lambda t: properties(t, "ResponderFunction").update(
            Layers=["arn:aws:lambda:eu-central-1:111122223333:layer:x:1"]
        ),
    ],
    "function_logs_json_into_its_own_log_group": [
        lambda t: properties(t, "ResponderFunction")["LoggingConfig"].update(ApplicationLogLevel="ERROR"),
        lambda t: properties(t, "ResponderFunction")["LoggingConfig"].pop("LogGroup"),
    ],
    "what_fails_for_good_is_kept": [
        lambda t: next(one for one in t["Resources"].values() if one["Type"] == "AWS::Lambda::EventInvokeConfig")[
            "Properties"
        ].pop("DestinationConfig"),
    ],
    "queues_give_back_only_the_messages_that_failed": [
        lambda t: next(one for one in t["Resources"].values() if one["Type"] == "AWS::Lambda::EventSourceMapping")[
            "Properties"
        ].pop("FunctionResponseTypes"),
    ],
    "logs_and_queues_outlive_the_stack": [
        lambda t: t["Resources"]["RecordLogGroup"].pop("DeletionPolicy"),
        lambda t: t["Resources"]["FailureQueue"].update(UpdateReplacePolicy="Delete"),
    ],
    "alarms_tell_somebody_and_say_what_no_data_means": [
        lambda t: properties(t, "ResponderErrors").update(AlarmActions=[]),
        lambda t: properties(t, "FailuresWaiting").pop("TreatMissingData"),
    ],
}


@pytest.mark.parametrize("rule", sorted(BREAKS))
def test_each_rule_fails_where_the_template_is_broken_and_only_it(deployed, rule, tmp_path):
    for index, damage in enumerate(BREAKS[rule]):
        broken = copy.deepcopy(deployed["all"])
        damage(broken)
        said = guard(broken, FOR_THE_RESPONDER, tmp_path)
        assert [name for name, result in said.items() if result == "fail"] == [rule], f"number {index}"


def test_each_rule_has_been_seen_to_fail():
    assert sorted(BREAKS) == sorted(rule_names(FOR_THE_RESPONDER))


# parliament -----------------------------------------------------------------------------------------------------------


def parliament(template, directory):
    """What parliament finds in the policies of one deployment: {(policy, issue): details}."""
    found = {}
    for path, policy in policies(template):
        if path[-1] == "AssumeRolePolicyDocument":
            # It asks for a resource in every statement, and a trust policy has none: it is about its own role.
            role = f"arn:aws:iam::012345678912:role/{path[1]}"
            policy = {**policy, "Statement": [{**one, "Resource": role} for one in policy["Statement"]]}
        found["/".join(part for part in path[1:] if part not in ("Properties", "PolicyDocument"))] = policy
    command = [tool("CHECKERS_PYTHON"), str(Path(__file__).parent / "parliament_findings.py")]
    done = run(command, directory, input=json.dumps(found))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert sorted(said) == sorted(found)
    return {(policy, one["issue"]): one["detail"] for policy, findings in said.items() for one in findings}


# The types that have policies.
HOLDERS = (
    "AWS::Events::EventBusPolicy",
    "AWS::IAM::Role",
    "AWS::Logs::ResourcePolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_parliament_reads_every_policy_and_finds_only_what_is_argued(deployed, name, tmp_path):
    types = {resource: own["Type"] for resource, own in deployed[name]["Resources"].items()}
    assert not {kind for kind in types.values() if "Policy" in kind and kind not in HOLDERS}, "what is in that policy?"
    read = {path[1] for path, _policy in policies(deployed[name])}
    # A bus may have its policy itself.
    buses = {bus for bus, own in deployed[name]["Resources"].items() if "Policy" in own["Properties"]}
    assert read == buses | {resource for resource, kind in types.items() if kind in HOLDERS}
    found = parliament(deployed[name], tmp_path)
    argued = [finding for finding, (_why, deployments) in ARGUED_BY_PARLIAMENT.items() if name in deployments]
    assert unargued_and_unneeded(found, argued) == ([], []), found


FAULTS = {
    "UNKNOWN_ACTION": lambda t: allow(t, Action=["lightsail:DeleteBucketAccesKey"]),
    "RESOURCE_MISMATCH": lambda t: statement(t, "ResponderRole", "DeleteKeys").update(
        Resource="arn:aws:lightsail:*:012345678912:Disk/*"
    ),
    "RESOURCE_STAR": lambda t: statement(t, "ResponderRole", "DeleteKeys").update(Resource="*"),
    "UNKNOWN_CONDITION_FOR_ACTION": lambda t: statement(t, "ResponderRole", "DeleteKeys").update(
        Condition={"StringEquals": {"sqs:SourceArn": "x"}}
    ),
    "DUPLICATE_SID": lambda t: allow(t, Sid="DeleteKeys"),
    "UNKNOWN_PRINCIPAL": lambda t: statement(t, "FailureQueuePolicy", "UndeliveredEvents").update(
        Principal={"AWS": "nobody"}
    ),
    "UNKNOWN_OPERATOR": lambda t: properties(t, "SecurityHubNoteRole")["AssumeRolePolicyDocument"]["Statement"][
        0
    ].update(Condition={"StringMatches": {"aws:SourceAccount": "012345678912"}}),
}


@pytest.mark.parametrize("issue", FAULTS)
def test_parliament_sees_a_fault(deployed, issue, tmp_path):
    broken = copy.deepcopy(deployed["all"])
    FAULTS[issue](broken)
    assert issue in {found for _policy, found in parliament(broken, tmp_path)}


# cargo-deny -----------------------------------------------------------------------------------------------------------


def cargo_deny(configuration=ROOT / "deny.toml"):
    """What `make deny` says, with this configuration: each check and whether it passed."""
    recipe = subprocess.run(["make", "--no-print-directory", "--dry-run", "deny"], cwd=ROOT, capture_output=True, text=True, check=True)
    _tool, *arguments = shlex.split(recipe.stdout.splitlines()[-1])
    # Cargo must find its crates.
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("CARGO_", "RUST")) or name in ("PATH", "HOME")
    }
    command = [tool("CARGO_DENY"), "--config", str(configuration), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=300)
    said = re.findall(r"\b(advisories|bans|licenses|sources) (ok|FAILED)", done.stdout + done.stderr)
    assert {check for check, _result in said} == {"bans", "licenses", "sources"}, done.stdout + done.stderr
    assert (done.returncode == 0) == all(result == "ok" for _check, result in said)
    return {check for check, result in said if result == "FAILED"}, done.stdout + done.stderr


def test_cargo_deny_finds_nothing():
    failed, output = cargo_deny()
    assert not failed, output


LAXER_OR_STRICTER = {
    "a licence that is not allowed": ('"ISC", ', "", "licenses"),
    "an allowed licence that nothing has": ('"ISC", ', '"ISC", "GPL-3.0-only", ', "licenses"),
    "two versions of a crate": ('{ crate = "syn@', '{ crate = "no-such-crate@', "bans"),
    "a skip that nothing needs": ("skip = [\n", 'skip = [\n  { crate = "bytes", reason = "none" },\n', "bans"),
    "a crate that is forbidden": ('{ crate = "native-tls"', '{ crate = "ring"', "bans"),
    "a crate from elsewhere": ("allow-git = []", "allow-git = []\nallow-registry = []", "sources"),
}


@pytest.mark.parametrize("case", LAXER_OR_STRICTER)
def test_cargo_deny_sees(case, tmp_path):
    here, there, check = LAXER_OR_STRICTER[case]
    text = (ROOT / "deny.toml").read_text()
    assert text.count(here) == 1
    (tmp_path / "deny.toml").write_text(text.replace(here, there))
    failed, output = cargo_deny(tmp_path / "deny.toml")
    assert failed == {check}, output
