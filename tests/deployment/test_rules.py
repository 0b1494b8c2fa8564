"""Which events reach the function, and by which rule; judged by moto's matcher, not by one of our own."""

import copy
import json

import pytest
from moto.events.models import EventPattern

GUARDDUTY = "ResponderFunctionGuardDutyFinding"
EXPOSED = "ResponderFunctionExposedKey"

# Each file of events/: the rule that passes it, and why.
BY_FILE = {
    "cloudtrail-caller.json": (None, "the key was used, not exposed"),
    "exposed-key-event.json": (EXPOSED, "our own event"),
    "gitguardian.json": (None, "a webhook's body"),
    "github-secret-scanning-with-secret.json": (None, "no rule for GitHub: its sender puts our own event, or invokes the function"),
    "github-secret-scanning.json": (None, "a webhook's body: no EventBridge event"),
    "guardduty-actor-only.json": (None, "the key only changed a configuration"),
    "guardduty-attack-sequence.json": (GUARDDUTY, "a key and a bucket in an attack sequence"),
    "guardduty-bare.json": (None, "a finding by itself"),
    "guardduty-iam-compromised-credentials.json": (GUARDDUTY, "a long-term key; the bucket is searched for"),
    "guardduty-no-access-key.json": (None, "about an instance"),
    "guardduty-other-account.json": (GUARDDUTY, "the function must refuse it loudly"),
    "guardduty-replayed.json": (GUARDDUTY, "a replay is delivered like the first time"),
    "guardduty-s3-exfiltration.json": (GUARDDUTY, "key and bucket"),
    "guardduty-sample.json": (GUARDDUTY, "how people try out a deployment"),
    "guardduty-temporary-credential.json": (None, "no bucket has an ASIA credential"),
    "health-credentials-exposed.json": (None, "no rule for Health in this version"),
    "health-instance-retirement.json": (None, "no rule for Health in this version"),
    "manual-already-gone.json": (None, "by hand: no EventBridge event"),
    "manual-key-only.json": (None, "by hand"),
    "manual-malformed-key.json": (None, "by hand"),
    "manual-several-keys.json": (None, "by hand"),
    "manual-temporary-credential.json": (None, "by hand"),
    "manual-too-many-keys.json": (None, "by hand"),
    "manual-unknown-key.json": (None, "by hand"),
    "manual-unknown-member.json": (None, "by hand"),
    "manual-dry-run.json": (None, "by hand"),
    "manual-other-account.json": (None, "by hand"),
    "manual-wrong-bucket.json": (None, "by hand"),
    "manual.json": (None, "by hand"),
    "not-an-object.json": (None, "by hand"),
    "security-hub-archived.json": (None, "no rule for Security Hub in this version"),
    "security-hub-custom-action.json": (None, "no rule for Security Hub in this version"),
    "security-hub-imported.json": (None, "no rule for Security Hub in this version"),
    "security-hub-v2.json": (None, "no rule for Security Hub in this version"),
    "sns.json": (None, "what Lambda gets from SNS"),
    "sqs-batch-with-a-failure.json": (None, "what Lambda gets from SQS"),
    "sqs-batch.json": (None, "what Lambda gets from SQS"),
    "sqs-sns-raw.json": (None, "what Lambda gets from SQS"),
    "sqs-sns.json": (None, "what Lambda gets from SQS"),
    "trufflehog.json": (None, "a scanner's own result"),
    "trusted-advisor-exposed-access-keys.json": (None, "no rule for Trusted Advisor in this version"),
    "trusted-advisor-recovered.json": (None, "no rule for Trusted Advisor in this version"),
    "unknown-event.json": (None, "another service's event"),
}


@pytest.fixture
def passed_by(patterns):
    """The rules that pass an event."""

    def rules(event, **parameters):
        loaded = {name: EventPattern.load(json.dumps(one)) for name, one in patterns(**parameters).items()}
        return [name for name, pattern in loaded.items() if pattern.matches_event(event)]

    return rules


@pytest.fixture
def event(root):
    """An event of events/, changed at some of its paths; None removes what is there."""

    def changed(file, changes=()):
        event = copy.deepcopy(json.loads((root / "events" / file).read_text()))
        for path, value in dict(changes).items():
            *parents, last = path.split("/")
            place = event
            for parent in parents:
                place = place[parent]
            if value is None:
                del place[last]
            else:
                place[last] = value
        return event

    return changed


def test_every_event_is_in_the_table(root):
    assert sorted(BY_FILE) == sorted(path.name for path in (root / "events").glob("*.json"))


@pytest.mark.parametrize("file", BY_FILE)
def test_an_event_is_passed_by_its_rule_and_no_other(file, event, passed_by):
    rule, why = BY_FILE[file]
    assert passed_by(event(file)) == ([rule] if rule else []), why


@pytest.mark.parametrize(
    ("threshold", "severity", "passes"),
    [
        ("LOW", 1, True),
        ("LOW", 0.9, False),
        ("MEDIUM", 4, True),
        ("MEDIUM", 4.0, True),
        ("MEDIUM", 3.9, False),
        ("HIGH", 7, True),
        ("HIGH", 6.9, False),
        ("HIGH", 9.5, True),
    ],
)
def test_findings_below_the_chosen_severity_stay_out(threshold, severity, passes, event, passed_by):
    finding = event("guardduty-s3-exfiltration.json", {"detail/severity": severity})
    assert passed_by(finding, GuardDutySeverity=threshold) == ([GUARDDUTY] if passes else [])


def test_the_severity_is_compared_as_a_number(patterns):
    for threshold in ("LOW", "MEDIUM", "HIGH"):
        ((severity,),) = [patterns(GuardDutySeverity=threshold)[GUARDDUTY]["detail"]["severity"]]
        operator, value = severity["numeric"]
        assert operator == ">=" and isinstance(value, int), "EventBridge refuses to compare with a string"


@pytest.mark.parametrize(
    "kind",
    [
        "Policy:S3/BucketBlockPublicAccessDisabled",
        "Policy:IAMUser/RootCredentialUsage",
        "Stealth:IAMUser/CloudTrailLoggingDisabled",
        "DefenseEvasion:IAMUser/BedrockLoggingDisabled",
    ],
)
def test_an_actor_of_a_configuration_change_stays_out_whatever_the_severity(kind, event, passed_by):
    finding = event("guardduty-s3-exfiltration.json", {"detail/type": kind, "detail/severity": 8})
    assert passed_by(finding) == []


def test_other_defense_evasion_is_passed(event, passed_by):
    kind = {"detail/type": "DefenseEvasion:IAMUser/AnomalousBehavior"}
    assert passed_by(event("guardduty-s3-exfiltration.json", kind)) == [GUARDDUTY]


@pytest.mark.parametrize("key", ["ASIAIOSFODNN7EXAMPLE", "", "****", None])
def test_a_finding_without_a_long_term_key_stays_out(key, event, passed_by):
    finding = event("guardduty-s3-exfiltration.json", {"detail/resource/accessKeyDetails/accessKeyId": key})
    assert passed_by(finding) == []


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        ("AttackSequence:IAM/CompromisedCredentials", True),
        ("AttackSequence:S3/CompromisedData", True),
        ("AttackSequence:EKS/CompromisedCluster", False),
        ("AttackSequence:EC2/CompromisedInstanceGroup", False),
    ],
)
def test_attack_sequences_that_are_about_credentials_arrive_to_raise_the_alarm(kind, passes, event, passed_by):
    sequence = {"detail/type": kind, "detail/severity": 9, "detail/resource": {"resourceType": "AttackSequence"}}
    assert passed_by(event("guardduty-s3-exfiltration.json", sequence)) == ([GUARDDUTY] if passes else [])


@pytest.mark.parametrize(
    "changes", [{"detail-type": "GuardDuty Malware Protection Object Scan Result"}, {"source": "example"}]
)
def test_only_findings_of_guardduty_itself_are_passed(changes, event, passed_by):
    assert passed_by(event("guardduty-s3-exfiltration.json", changes)) == []


@pytest.mark.parametrize(
    "changes",
    [{"source": "aws.guardduty"}, {"source": "aws.partner/example"}, {"account": "111122223333"}, {"account": None}],
)
def test_our_own_event_is_not_taken_from_aws_sources_or_other_accounts(changes, event, passed_by):
    assert passed_by(event("exposed-key-event.json", changes)) == []


@pytest.mark.parametrize("detail", [{}, {"accessKeyId": 5}, {"key": "AKIAIOSFODNN7EXAMPLE"}])
def test_a_malformed_event_of_ours_arrives_so_that_it_fails_loudly(detail, event, passed_by):
    assert passed_by(event("exposed-key-event.json", {"detail": detail})) == [EXPOSED]
