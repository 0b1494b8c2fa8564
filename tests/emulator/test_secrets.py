"""No secret in anything that the function says, at any log level: not one in the event, and not its own."""

import copy
import json

import alerts
import cases
import harness
import pytest
from alerts import BUCKET, KEY, SIBLING

# A secret access key of the form that AWS gives. Its parts are looked for, so that no half of it gets out either.
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SECRET_PARTS = SECRET.split("/")
OWN_PARTS = ["oWnS3cr3tOfTheFunct1on", "NeverShow", "Me7XyZQ", "oWnSess10nToken"]
TEXT = f"leaked: {KEY}:{SECRET}, see the ticket"

PLANTED = {
    "reason": alerts.by_hand(reason=SECRET),
    "reason, within text": alerts.by_hand(reason=TEXT),
    "reason, many times over": alerts.by_hand(reason="x " * 5 + f"{SECRET} " * 40),
    "reason, as the end of a path": alerts.by_hand(reason=f"found at https://example.com/dump/{SECRET}"),
    "reason, before a slash": alerts.by_hand(reason=f"{SECRET}/"),
    "reason, next to the key": alerts.by_hand(reason=f"{KEY}{SECRET}"),
    "reason, as in a URL": alerts.by_hand(reason=f"?secret={SECRET.replace('/', '%2F')}"),
    "reason, of another type": alerts.by_hand(reason=[SECRET]),
    "accessKeyId": alerts.by_hand(accessKeyId=SECRET),
    "accessKeyId, after the key": alerts.by_hand(accessKeyId=f"{KEY}:{SECRET}"),
    "accessKeyId, of another type": alerts.by_hand(accessKeyId={SECRET: SECRET}),
    "bucketName": alerts.by_hand(bucketName=SECRET),
    "region": alerts.by_hand(region=SECRET),
    "value of an unknown member": alerts.by_hand(secretAccessKey=SECRET),
    "name of an unknown member": alerts.by_hand(**{SECRET: 1}),
    "title of a finding": alerts.guardduty({"title": TEXT, "description": SECRET}),
    "id of a finding": alerts.guardduty({"id": SECRET}),
    "type of a finding": alerts.guardduty({"type": f"Policy:{SECRET}"}),
    "account of a finding": alerts.guardduty({"accountId": SECRET}),
    "key of a finding": alerts.guardduty({"resource": {"accessKeyDetails": {"accessKeyId": SECRET}}}),
    "resource type of a finding": alerts.guardduty({"resource": {"resourceType": SECRET}}),
    "bucket of a finding": alerts.guardduty(
        {"resource": {"accessKeyDetails": {"accessKeyId": KEY}, "s3BucketDetails": [{"name": SECRET}]}}
    ),
    "id of an event": alerts.guardduty(id=SECRET, time=SECRET, account=SECRET, region=SECRET, resources=[SECRET]),
    "type of an event": {**alerts.of_our_own(), "detail-type": SECRET},
    "source of an event": alerts.of_our_own(source=SECRET),
    "detail of an event": alerts.of_our_own(detail=SECRET),
    "not JSON": TEXT.encode(),
    "JSON text": json.dumps(SECRET).encode(),
    "JSON that is cut short": json.dumps(alerts.by_hand(reason=SECRET))[:-2].encode(),
}


@pytest.mark.parametrize("level", ["INFO", "TRACE"])
@pytest.mark.parametrize("event", PLANTED.values(), ids=PLANTED)
def test_a_secret_in_the_event_never_comes_out(event, level, lightsail, start):
    assert_says_nothing_of(SECRET_PARTS, event, level, lightsail, start)


@pytest.mark.parametrize("level", ["INFO", "TRACE"])
@pytest.mark.parametrize("fault", ["latency", "access_denied", "reset_before", "not_json", "http_status"])
def test_the_functions_own_credentials_never_come_out(fault, level, lightsail, start):
    members = {"latency": {"ms": 1}, "http_status": {"status": 502}}.get(fault, {})
    for operation in ("DeleteBucketAccessKey", "GetBucketAccessKeys"):
        lightsail.script(operation, {"kind": fault, **members}, count=1)
    assert_says_nothing_of(OWN_PARTS, alerts.by_hand(), level, lightsail, start)
    assert any(request.get("fault") == fault for request in lightsail.requests())


def test_a_secret_that_aws_repeats_never_comes_out(lightsail, start):
    message = f"The request signature does not match: {SECRET}; token {harness.OWN_SESSION_TOKEN}"
    fault = {"kind": "error", "code": "InvalidSignatureException", "message": message}
    lightsail.script("DeleteBucketAccessKey", fault)
    lightsail.script("GetBucketAccessKeys", fault)
    assert_says_nothing_of(SECRET_PARTS + OWN_PARTS, alerts.by_hand(), "TRACE", lightsail, start)


LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]
# SQS makes it, and must be told the same again.
MESSAGE_ID = "messageId"
FORMATS = sorted(cases.EVENTS.glob("*.json"))


def test_a_secret_in_any_field_of_any_format_never_comes_out(lightsail, start):
    planted = [event for file in FORMATS for event in with_one_secret(json.loads(file.read_text()))]
    assert len(planted) > 10 * len(FORMATS)
    # A dry run leaves the key where it is, so that none of a thousand events has to search everywhere for it.
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    assert_all_silent(planted, "TRACE", start, RESPONDER_MODE="dry_run")


@pytest.mark.parametrize("level", LEVELS)
def test_a_secret_in_all_fields_of_a_format_never_comes_out_at_any_level(level, lightsail, start):
    assert_all_silent([with_secrets_only(json.loads(file.read_text())) for file in FORMATS], level, start)


def assert_all_silent(events, level, start, **settings):
    """One process for all, as in Lambda; each event leaves a record, and nothing that is said has a part of the secret."""
    function = start(AWS_LAMBDA_LOG_LEVEL=level, **settings)
    for event in events:
        answer = function.invoke(event)
        assert [part for part in SECRET_PARTS if part in answer.text] == [], event
    left = {record["unmapped"]["invocation"]["request_id"] for record in function.records()}
    assert len(left) == len(events)
    assert [part for part in SECRET_PARTS if part in function.log()] == []


def with_one_secret(event):
    """The event with the secret in the place of each text, and as name and value of one more member of each object."""
    for path in paths(event):
        if path[-1:] == (MESSAGE_ID,):
            continue
        changed = copy.deepcopy(event)
        *parents, last = [None, *path]
        place = changed
        for step in parents[1:]:
            place = place[step]
        found = changed if last is None else place[last]
        if isinstance(found, dict):
            found[SECRET] = TEXT
        elif last is None:
            changed = TEXT
        else:
            place[last] = TEXT
        yield changed


def paths(value, path=()):
    """The ways to all objects and texts of a JSON value, those in JSON text not included."""
    if isinstance(value, (dict, str)):
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from paths(child, (*path, step))


def with_secrets_only(value):
    """The event with the secret in the place of every text but those that tell what it is."""
    if isinstance(value, dict):
        tells = (MESSAGE_ID, "detail-type", "source", "eventSource", "EventSource", "Type", "service", "DetectorName", "check-name")
        return {name: child if name in tells else with_secrets_only(child) for name, child in value.items()}
    if isinstance(value, list):
        return [with_secrets_only(child) for child in value]
    return TEXT if isinstance(value, str) else value


def test_the_parts_that_are_looked_for_are_those_of_the_secrets():
    assert len(SECRET) == 40 and all(len(part) >= 7 for part in SECRET_PARTS + OWN_PARTS)
    own = harness.OWN_SECRET_ACCESS_KEY + harness.OWN_SESSION_TOKEN
    assert all(part in own for part in OWN_PARTS)


def assert_says_nothing_of(parts, event, level, lightsail, start):
    """Sends `event`, and looks for `parts` in all that the function says."""
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    lightsail.seed("eu-central-1", "backups-2019", ["AKIAJ55QH8DHBEXAMPLE"])
    function = start(AWS_LAMBDA_LOG_LEVEL=level)
    answer = function.invoke(event)
    assert len(function.records()) == 1
    said = function.log() + answer.text
    assert [part for part in parts if part in said] == []
