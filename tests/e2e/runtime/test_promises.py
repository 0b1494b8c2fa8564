"""End-to-end tests of the four promises: built function, AWS's runtime emulator, real sockets.

The promises hold under every fault. tests/simulation shows that in simulated time. Here are few faults, and only one
needs the whole timeout of the function.
"""

import alerts
import pytest
from alerts import BUCKET, KEY, SIBLING

DELETE = "DeleteBucketAccessKey"
FOLLOW = "GetOperation"
KEYS = "GetBucketAccessKeys"
BUCKETS = "GetBuckets"
EVERYTHING = (DELETE, FOLLOW, KEYS, BUCKETS)

HERE = "us-east-1"
BY_HAND = alerts.by_hand()
KEY_ONLY = alerts.by_hand(bucketName=None, region=None)


def on(operation, kind, count="every", region=None, **fields):
    """Returns a script for the simulator that injects this fault into requests of this operation."""
    scope = {"region": region} if region else {}
    return {"operation": operation, "fault": {"kind": kind, **fields}, "count": count, **scope}


# The event, and the faults.
FAULTY = {
    "one response lost after the delete": (BY_HAND, [on(DELETE, "reset_after", count=1)]),
    "every delete throttled": (BY_HAND, [on(DELETE, "throttled")]),
    "no operation in the response": (BY_HAND, [on(DELETE, "no_operations")]),
    "operation fails, key stays": (BY_HAND, [on(DELETE, "operation_failed", key_stays=True)]),
    "GetOperation denied": (BY_HAND, [on(FOLLOW, "access_denied")]),
    "key stays listed": (BY_HAND, [on(DELETE, "still_listed", reads=10_000)]),
    "key listed, delete says not found": (BY_HAND, [on(DELETE, "not_found")]),
    "bucket exists, delete and list say not found": (BY_HAND, [on(DELETE, "not_found"), on(KEYS, "not_found")]),
    "search, empty JSON as list of keys": (KEY_ONLY, [on(KEYS, "empty_answer")]),
    "search, empty JSON as list of buckets": (KEY_ONLY, [on(BUCKETS, "empty_answer")]),
    "search, Region denied": (KEY_ONLY, [on(BUCKETS, "access_denied", region=HERE)]),
}


@pytest.mark.parametrize(("event", "scripts"), FAULTY.values(), ids=FAULTY)
def test_live_key_is_never_reported_dead(event, scripts, lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    for script in scripts:
        lightsail.script(**script)
    function = start(VERIFY_FOR="0")
    answer = function.invoke(event)

    records = function.records()
    keys = {key for _, _, key in lightsail.keys()}
    assert len(records) == 1
    assert answer.error_type is None or answer.error_type.startswith("Responder.")
    assert answer.error_type is not None or KEY not in keys, records[0]["message"]
    assert records[0]["status_code"] != "revoked" or KEY not in keys
    assert SIBLING in keys
    assert any(request.get("fault") for request in lightsail.requests()), "no fault occurred"


OTHER_KEY = "AKIAZ99QH8DHBEXAMPLE"
MISLEADING = {
    "finding": alerts.guardduty(),
    "finding with other keys in other fields": alerts.guardduty(
        {"title": SIBLING, "description": f"{SIBLING} {OTHER_KEY}", "eTag": OTHER_KEY, "id": SIBLING}
    ),
    "finding with two buckets": alerts.guardduty(
        {
            "resource": {
                "resourceType": "S3Bucket",
                "accessKeyDetails": {"accessKeyId": KEY, "principalId": SIBLING, "userName": OTHER_KEY},
                "s3BucketDetails": [{"name": "archive"}, {"name": BUCKET}],
            }
        }
    ),
    "manual event": BY_HAND,
    "manual event, other bucket": alerts.by_hand(bucketName="archive"),
    "manual event, other Region": alerts.by_hand(region="eu-central-1"),
    "manual event, key only": KEY_ONLY,
    "manual event, key with white space": alerts.by_hand(accessKeyId=f" {KEY}\n"),
    "manual event, other key as reason": alerts.by_hand(reason=f"not {SIBLING}, nor {OTHER_KEY}"),
    "manual event, other key as bucket": alerts.by_hand(bucketName=SIBLING),
    "scanner's event": alerts.of_our_own(id=SIBLING, resources=[OTHER_KEY]),
    "two keys in one string": alerts.by_hand(accessKeyId=f"{KEY},{SIBLING}"),
    "list of lists": alerts.by_hand(accessKeyId=[[SIBLING]]),
    "list of one key": alerts.by_hand(accessKeyId=[KEY]),
    "lower case": alerts.by_hand(accessKeyId=KEY.lower()),
    "prefix": alerts.by_hand(accessKeyId=KEY[:19]),
    "wildcard": alerts.by_hand(accessKeyId="AKIA*"),
    "field name misspelt": alerts.by_hand(accessKeyID=SIBLING),
    "no key": alerts.by_hand(accessKeyId=None),
    "duplicate field": f'{{"accessKeyId": "x", "accessKeyId": "{KEY}", "bucketName": "{BUCKET}"}}'.encode(),
}


@pytest.mark.parametrize("event", MISLEADING.values(), ids=MISLEADING)
def test_unnamed_key_is_never_deleted(event, lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    lightsail.seed("us-east-1", "archive", [OTHER_KEY])
    lightsail.seed("eu-central-1", "backups-2019", ["AKIAJ55QH8DHBEXAMPLE", "AKIAK66QH8DHBEXAMPLE"])
    before = lightsail.keys()
    function = start()
    function.invoke(event)

    deletes = [request for request in lightsail.requests() if request["operation"] == DELETE]
    assert {request["access_key_id"] for request in deletes} <= {KEY}
    named = {("us-east-1", BUCKET, KEY)}
    assert before - lightsail.keys() <= named
    assert lightsail.keys() <= before
    revoked = [record["status_code"] for record in function.records()] == ["revoked"]
    assert revoked == (before - lightsail.keys() == named)


NAMED = {
    "manual event": (BY_HAND, "us-east-1"),
    "manual event, without Region": (alerts.by_hand(region=None), "us-east-1"),
    "manual event, other Region": (alerts.by_hand(region="ap-southeast-2"), "ap-southeast-2"),
    "scanner's event": (alerts.of_our_own(), "eu-central-1"),
    "finding": (alerts.guardduty(), "us-east-1"),
    "finding, other Region": (alerts.guardduty({"region": "eu-central-1"}), "eu-central-1"),
}


@pytest.mark.parametrize(("event", "region"), NAMED.values(), ids=NAMED)
def test_delete_is_first_request(event, region, lightsail, start):
    function = start()
    # First a new process without connections, then a warm one with several. The read for evidence has one of its own,
    # and must not overtake the delete.
    for _ in range(2):
        lightsail.reset()
        lightsail.forget_requests()
        lightsail.seed(region, BUCKET, [KEY, SIBLING])
        assert function.invoke(event).error_type is None

        first = lightsail.requests()[0]
        assert first["operation"] == DELETE
        assert (first["region"], first["bucket"], first["access_key_id"]) == (region, BUCKET, KEY)
        assert lightsail.keys() == {(region, BUCKET, SIBLING)}
    assert [record["status_code"] for record in function.records()] == ["revoked", "revoked"]


DENIED = [on(operation, "access_denied") for operation in EVERYTHING]
HANG = [on(operation, "hang_before") for operation in EVERYTHING]
NAMELESS_FINDING = b'{"detail-type": "GuardDuty Finding", "source": "aws.guardduty"'
HARD_CASES = {
    "not JSON": (b'{"accessKeyId": ', [], "unreadable"),
    "empty body": (b"", [], "unreadable"),
    "white space": (b"  \n", [], "unreadable"),
    "null": (b"null", [], "unreadable"),
    "list": (b"[]", [], "unreadable"),
    "empty object": (b"{}", [], "unreadable"),
    "JSON nested 300 deep": (b'{"a":' * 300 + b"1" + b"}" * 300, [], "unreadable"),
    "JSON nested 100,000 deep": (b"[" * 100_000, [], "unreadable"),
    "number too large": (b"1e999", [], "unreadable"),
    "number too large, in a field": (b'{"accessKeyId": 1e999}', [], "unreadable"),
    "lone surrogate": (rb'{"accessKeyId": "\ud800"}', [], "unreadable"),
    "NUL": (b'{"accessKeyId": "\x00"}', [], "unreadable"),
    "megabyte of text": (b"x" * 1_000_000, [], "unreadable"),
    "megabyte in the key": (b'{"accessKeyId": "' + b"A" * 1_000_000 + b'"}', [], "unreadable"),
    "megabyte in the reason": (
        b'{"accessKeyId": "%s", "bucketName": "photos", "reason": "%s"}' % (KEY.encode(), b"x" * 1_000_000),
        [],
        "revoked",
    ),
    "not UTF-8": (b"\xff\xfe\xfa", [], "unreadable"),
    "not UTF-8 in the reason": (
        b'{"accessKeyId": "%s", "bucketName": "photos", "reason": "caf\xe9"}' % KEY.encode(),
        [],
        "revoked",
    ),
    "byte order mark": (b"\xef\xbb\xbf{}", [], "unreadable"),
    "EventBridge without detail": (NAMELESS_FINDING + b"}", [], "unreadable"),
    "finding as list": (NAMELESS_FINDING + b', "detail": []}', [], "unreadable"),
    "every call denied": (BY_HAND, DENIED, "failed"),
    "every call denied, key only": (KEY_ONLY, DENIED, "search_incomplete"),
    "no call answered": (BY_HAND, HANG, "failed"),
}


@pytest.mark.parametrize(("event", "scripts", "outcome"), HARD_CASES.values(), ids=HARD_CASES)
def test_every_invocation_has_record(event, scripts, outcome, lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    for script in scripts:
        lightsail.script(**script)
    # The emulator ends a function that exceeds its timeout, and its error type is then another one.
    function = start(AWS_LAMBDA_FUNCTION_TIMEOUT="4")
    answer = function.invoke(event)

    assert [record["status_code"] for record in function.records()] == [outcome]
    if outcome == "revoked":
        assert answer.records == function.records()
    else:
        assert answer.error_type == f"Responder.{outcome.title().replace('_', '')}"
        assert len(answer.text) < 2_000

    # The same process handles the next event as usual.
    lightsail.reset()
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    assert function.invoke(BY_HAND).error_type is None
    records = function.records()
    assert [record["status_code"] for record in records] == [outcome, "revoked"]
    assert [record["unmapped"]["invocation"]["cold_start"] for record in records] == [True, False]
