"""The four promises, each a test: what the function may never do, whatever the events, the wire and AWS do."""

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


def on(operation, kind, count="every", region=None, **members):
    """A script for the simulator: this fault befalls requests of this operation."""
    which = {"region": region} if region else {}
    return {"operation": operation, "fault": {"kind": kind, **members}, "count": count, **which}


# Each: the event, the seconds that Lambda gives, and what goes wrong.
TROUBLE = {
    "the answer is lost after the work": (BY_HAND, 30, [on(DELETE, "reset_after", count=1)]),
    "every answer is lost after the work": (BY_HAND, 30, [on(DELETE, "reset_after")]),
    "every connection is reset before the work": (BY_HAND, 30, [on(DELETE, "reset_before")]),
    "503 every time": (BY_HAND, 30, [on(DELETE, "http_status", status=503)]),
    "503 to everything": (BY_HAND, 30, [on(operation, "http_status", status=503) for operation in EVERYTHING]),
    "throttled every time": (BY_HAND, 30, [on(DELETE, "throttled")]),
    "a garbled 200": (BY_HAND, 30, [on(DELETE, "not_json")]),
    "a 200 that is cut in half": (BY_HAND, 30, [on(DELETE, "truncated")]),
    "an empty 200": (BY_HAND, 30, [on(DELETE, "empty_answer")]),
    "no operation": (BY_HAND, 30, [on(DELETE, "no_operations")]),
    "the operation fails and the key stays": (BY_HAND, 30, [on(DELETE, "operation_failed", key_stays=True)]),
    "the operation fails and the key goes": (BY_HAND, 30, [on(DELETE, "operation_failed", key_stays=False)]),
    "the operation does not end": (BY_HAND, 4, [on(DELETE, "operation_pending", polls=10_000)]),
    "the operation has no status": (BY_HAND, 4, [on(DELETE, "operation_status", status=None)]),
    "the operation has an unknown status": (
        BY_HAND,
        4,
        [on(DELETE, "operation_status", status="Vanished", is_terminal=True)],
    ),
    "the operation may not be read": (BY_HAND, 4, [on(FOLLOW, "access_denied")]),
    "the operation is not JSON": (BY_HAND, 4, [on(FOLLOW, "not_json")]),
    "the key is listed longer than the function runs": (BY_HAND, 4, [on(DELETE, "still_listed", reads=10_000)]),
    "the keys may not be read back": (BY_HAND, 4, [on(KEYS, "access_denied")]),
    "not found although it is there": (BY_HAND, 30, [on(DELETE, "not_found")]),
    "does not exist although it is there": (BY_HAND, 30, [on(DELETE, "does_not_exist")]),
    "neither delete nor list finds the bucket": (BY_HAND, 30, [on(DELETE, "not_found"), on(KEYS, "not_found")]),
    "the delete is denied": (BY_HAND, 30, [on(DELETE, "access_denied")]),
    "the credentials have expired": (BY_HAND, 30, [on(DELETE, "error", code="ExpiredTokenException")]),
    "no answer to the delete, which is done": (BY_HAND, 3, [on(DELETE, "hang_after")]),
    "no answer to the delete, which is not done": (BY_HAND, 3, [on(DELETE, "hang_before")]),
    "the answer never ends": (BY_HAND, 3, [on(DELETE, "never_ends")]),
    "503, and a list of keys that is empty JSON": (
        BY_HAND,
        30,
        [on(DELETE, "http_status", status=503), on(KEYS, "empty_answer")],
    ),
    "a search, and a list of keys that is empty JSON": (KEY_ONLY, 30, [on(KEYS, "empty_answer")]),
    "a search, and a list of buckets that is empty JSON": (KEY_ONLY, 30, [on(BUCKETS, "empty_answer")]),
    "a search that does not find the bucket": (KEY_ONLY, 30, [on(KEYS, "not_found")]),
    "a search that may not read the Region": (KEY_ONLY, 30, [on(BUCKETS, "access_denied", region=HERE)]),
    "a search that may not read the bucket": (KEY_ONLY, 30, [on(KEYS, "access_denied")]),
    "a search that is throttled": (KEY_ONLY, 30, [on(BUCKETS, "throttled", region=HERE)]),
    "a search that does not end": (KEY_ONLY, 3, [on(BUCKETS, "hang_before", region=HERE)]),
    "a search while the Region is being set up": (
        KEY_ONLY,
        30,
        [on(BUCKETS, "region_setup_in_progress", region=HERE)],
    ),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_never_claims_a_key_is_dead_that_may_be_alive(trouble, lightsail, start):
    event, seconds, scripts = TROUBLE[trouble]
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    for script in scripts:
        lightsail.script(**script)
    function = start(AWS_LAMBDA_FUNCTION_TIMEOUT=str(seconds))
    answer = function.invoke(event)

    records = function.records()
    keys = {key for _, _, key in lightsail.keys()}
    assert len(records) == 1
    assert answer.error_type is None or answer.error_type.startswith("Responder.")
    assert answer.error_type is not None or KEY not in keys, records[0]["message"]
    assert records[0]["status_code"] != "revoked" or KEY not in keys
    assert SIBLING in keys
    assert any(request.get("fault") for request in lightsail.requests()), "the trouble never came"


SOMEBODY_ELSES = "AKIAZ99QH8DHBEXAMPLE"
MISLEADING = {
    "a finding": alerts.guardduty(),
    "a finding whose other fields hold other keys": alerts.guardduty(
        {"title": SIBLING, "description": f"{SIBLING} {SOMEBODY_ELSES}", "eTag": SOMEBODY_ELSES, "id": SIBLING}
    ),
    "a finding with two buckets": alerts.guardduty(
        {
            "resource": {
                "resourceType": "S3Bucket",
                "accessKeyDetails": {"accessKeyId": KEY, "principalId": SIBLING, "userName": SOMEBODY_ELSES},
                "s3BucketDetails": [{"name": "archive"}, {"name": BUCKET}],
            }
        }
    ),
    "by hand": BY_HAND,
    "by hand, another bucket": alerts.by_hand(bucketName="archive"),
    "by hand, another Region": alerts.by_hand(region="eu-central-1"),
    "by hand, key only": KEY_ONLY,
    "by hand, white space around it": alerts.by_hand(accessKeyId=f" {KEY}\n"),
    "by hand, another key as the reason": alerts.by_hand(reason=f"not {SIBLING}, nor {SOMEBODY_ELSES}"),
    "by hand, another key as the bucket": alerts.by_hand(bucketName=SIBLING),
    "an event of our own": alerts.of_our_own(id=SIBLING, resources=[SOMEBODY_ELSES]),
    "two keys in one text": alerts.by_hand(accessKeyId=f"{KEY},{SIBLING}"),
    "a list of lists": alerts.by_hand(accessKeyId=[[SIBLING]]),
    "a list of one": alerts.by_hand(accessKeyId=[KEY]),
    "lower case": alerts.by_hand(accessKeyId=KEY.lower()),
    "a prefix": alerts.by_hand(accessKeyId=KEY[:19]),
    "a wildcard": alerts.by_hand(accessKeyId="AKIA*"),
    "another spelling of the member": alerts.by_hand(accessKeyID=SIBLING),
    "no key": alerts.by_hand(accessKeyId=None),
    "a member given twice": f'{{"accessKeyId": "x", "accessKeyId": "{KEY}", "bucketName": "{BUCKET}"}}'.encode(),
}


@pytest.mark.parametrize("event", MISLEADING.values(), ids=MISLEADING)
def test_never_touches_a_key_that_was_not_named(event, lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    lightsail.seed("us-east-1", "archive", [SOMEBODY_ELSES])
    lightsail.seed("eu-central-1", "backups-2019", ["AKIAJ55QH8DHBEXAMPLE", "AKIAK66QH8DHBEXAMPLE"])
    before = lightsail.keys()
    function = start()
    function.invoke(event)

    deletes = [request for request in lightsail.requests() if request["operation"] == DELETE]
    assert {request["access_key_id"] for request in deletes} <= {KEY}
    named_here = {("us-east-1", BUCKET, KEY)}
    assert before - lightsail.keys() <= named_here
    assert lightsail.keys() <= before
    revoked = [record["status_code"] for record in function.records()] == ["revoked"]
    assert revoked == (before - lightsail.keys() == named_here)


NAMED = {
    "by hand": (BY_HAND, "us-east-1"),
    "by hand, without a Region": (alerts.by_hand(region=None), "us-east-1"),
    "by hand, elsewhere": (alerts.by_hand(region="ap-southeast-2"), "ap-southeast-2"),
    "an event of our own": (alerts.of_our_own(), "eu-central-1"),
    "a finding": (alerts.guardduty(), "us-east-1"),
    "a finding from elsewhere": (alerts.guardduty({"region": "eu-central-1"}), "eu-central-1"),
}


@pytest.mark.parametrize(("event", "region"), NAMED.values(), ids=NAMED)
def test_the_delete_is_the_first_request_on_the_wire(event, region, lightsail, start):
    lightsail.seed(region, BUCKET, [KEY, SIBLING])
    function = start()
    assert function.invoke(event).error_type is None

    first = lightsail.requests()[0]
    assert first["operation"] == DELETE
    assert (first["region"], first["bucket"], first["access_key_id"]) == (region, BUCKET, KEY)
    assert [record["status_code"] for record in function.records()] == ["revoked"]


# Each: what befalls the requests, and what the record says of the key as it was.
BESIDE = {
    "the delete takes its time": ([on(DELETE, "latency", ms=300)], "listed"),
    "the read comes too late": ([on(KEYS, "latency", count=1, ms=100), on(FOLLOW, "latency", ms=300)], "already_gone"),
    "the read is not waited for": ([on(KEYS, "latency", count=1, ms=2_000)], "unavailable"),
    "the read is denied": ([on(DELETE, "latency", ms=300), on(KEYS, "access_denied", count=1)], "unavailable"),
}


@pytest.mark.parametrize(("scripts", "evidence"), BESIDE.values(), ids=BESIDE)
def test_the_read_for_evidence_goes_beside_the_delete_and_never_before_it(scripts, evidence, lightsail, start):
    function = start()
    # A fresh process, that has no connection yet, and a warm one, that has several.
    for _ in range(2):
        lightsail.reset()
        lightsail.forget_requests()
        lightsail.seed(HERE, BUCKET, [KEY, SIBLING])
        for script in scripts:
            lightsail.script(**script)
        answer = function.invoke(BY_HAND)
        assert answer.error_type is None and answer.seconds < 2
        first, second, *_ = lightsail.requests()
        assert (first["operation"], second["operation"]) == (DELETE, KEYS)
        assert second["at_ms"] - first["at_ms"] < 250, "it did not wait for the delete's answer"
        record = function.records()[-1]
        assert (record["status_code"], record["unmapped"]["access_key"]["evidence"]) == ("revoked", evidence)
        assert lightsail.keys() == {(HERE, BUCKET, SIBLING)}


DENIED = [on(operation, "access_denied") for operation in EVERYTHING]
HANGS = [on(operation, "hang_before") for operation in EVERYTHING]
NAMELESS_FINDING = b'{"detail-type": "GuardDuty Finding", "source": "aws.guardduty"'
HARDSHIP = {
    "not JSON": (b'{"accessKeyId": ', [], "unreadable"),
    "an empty body": (b"", [], "unreadable"),
    "white space": (b"  \n", [], "unreadable"),
    "null": (b"null", [], "unreadable"),
    "a list": (b"[]", [], "unreadable"),
    "an empty object": (b"{}", [], "unreadable"),
    "JSON nested 300 deep": (b'{"a":' * 300 + b"1" + b"}" * 300, [], "unreadable"),
    "JSON nested 100,000 deep": (b"[" * 100_000, [], "unreadable"),
    "a number that is too large": (b"1e999", [], "unreadable"),
    "a number that is too large in a member": (b'{"accessKeyId": 1e999}', [], "unreadable"),
    "a lone surrogate": (rb'{"accessKeyId": "\ud800"}', [], "unreadable"),
    "NUL": (b'{"accessKeyId": "\x00"}', [], "unreadable"),
    "a megabyte of text": (b"x" * 1_000_000, [], "unreadable"),
    "a megabyte in the key": (b'{"accessKeyId": "' + b"A" * 1_000_000 + b'"}', [], "unreadable"),
    "a megabyte in the reason": (
        b'{"accessKeyId": "%s", "bucketName": "photos", "reason": "%s"}' % (KEY.encode(), b"x" * 1_000_000),
        [],
        "revoked",
    ),
    "bytes that are not UTF-8": (b"\xff\xfe\xfa", [], "unreadable"),
    "bytes that are not UTF-8 in the reason": (
        b'{"accessKeyId": "%s", "bucketName": "photos", "reason": "caf\xe9"}' % KEY.encode(),
        [],
        "revoked",
    ),
    "a byte order mark": (b"\xef\xbb\xbf{}", [], "unreadable"),
    "EventBridge without detail": (NAMELESS_FINDING + b"}", [], "unreadable"),
    "a finding that is a list": (NAMELESS_FINDING + b', "detail": []}', [], "unreadable"),
    "access denied everywhere": (BY_HAND, DENIED, "failed"),
    "access denied everywhere, key only": (KEY_ONLY, DENIED, "search_incomplete"),
    "nothing ever answers": (BY_HAND, HANGS, "failed"),
    "nothing ever answers, key only": (KEY_ONLY, HANGS, "search_incomplete"),
    "nothing ever answers after the delete": (BY_HAND, HANGS[1:], "unconfirmed"),
}


@pytest.mark.parametrize(("event", "scripts", "outcome"), HARDSHIP.values(), ids=HARDSHIP)
def test_every_invocation_leaves_a_record(event, scripts, outcome, lightsail, start):
    seconds = 3
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    for script in scripts:
        lightsail.script(**script)
    function = start(AWS_LAMBDA_FUNCTION_TIMEOUT=str(seconds))
    answer = function.invoke(event)

    assert [record["status_code"] for record in function.records()] == [outcome]
    if outcome == "revoked":
        assert answer.records == function.records()
    else:
        assert answer.error_type == f"Responder.{outcome.title().replace('_', '')}"
        assert len(answer.text) < 2_000
    assert answer.seconds < seconds

    # Whatever it was, the same process serves the next event as if nothing had been.
    lightsail.reset()
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    assert function.invoke(BY_HAND).error_type is None
    records = function.records()
    assert [record["status_code"] for record in records] == [outcome, "revoked"]
    assert [record["unmapped"]["invocation"]["cold_start"] for record in records] == [True, False]
