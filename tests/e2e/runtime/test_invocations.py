"""What a sequence of invocations does: retries, rehearsals, and the artefact that gets deployed."""

import re

import alerts
import pytest
from alerts import BUCKET, KEY, SIBLING

DELETE = "DeleteBucketAccessKey"


def test_the_same_event_twice_finds_the_key_gone(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start()
    assert [function.invoke(alerts.by_hand()).error_type for _ in range(2)] == [None, None]
    assert [record["status_code"] for record in function.records()] == ["revoked", "already_absent"]
    assert lightsail.keys() == {("us-east-1", BUCKET, SIBLING)}


def test_a_retry_after_an_error_finishes_the_work(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    lightsail.script(DELETE, {"kind": "access_denied"}, count=1)
    function = start()
    event = alerts.guardduty()
    assert [function.invoke(event).error_type for _ in range(2)] == ["Responder.Failed", None]
    assert [record["status_code"] for record in function.records()] == ["failed", "revoked"]


@pytest.mark.parametrize(
    "event", [alerts.guardduty(), alerts.by_hand(bucketName=None, region=None)], ids=["bucket named", "key only"]
)
def test_a_dry_run_deletes_nothing(event, lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start(RESPONDER_MODE="dry_run")
    answer = function.invoke(event)

    assert answer.error_type is None
    assert [record["status_code"] for record in function.records()] == ["dry_run"]
    assert function.records()[0]["unmapped"]["mode"] == "dry_run"
    assert lightsail.keys() == {("us-east-1", BUCKET, KEY), ("us-east-1", BUCKET, SIBLING)}
    seen = lightsail.operations_seen()
    assert seen and DELETE not in seen


def test_one_process_serves_many_events_and_each_has_its_own_record(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start()
    events = [b"not JSON", alerts.from_file("guardduty-sample.json"), alerts.guardduty(), b"", alerts.guardduty()]
    for event in events:
        function.invoke(event)
    outcomes = ["unreadable", "ignored", "revoked", "unreadable", "already_absent"]
    records = function.records()
    assert [record["status_code"] for record in records] == outcomes
    assert len({record["unmapped"]["invocation"]["request_id"] for record in records}) == len(events)


def test_the_artefact_that_gets_deployed_kills_the_key(artefact, lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start(artefact)
    answer = function.invoke(alerts.from_file("guardduty-s3-exfiltration.json"))

    assert answer.error_type is None
    assert [record["status_code"] for record in function.records()] == ["revoked"]
    assert lightsail.keys() == {("us-east-1", BUCKET, SIBLING)}
    # The emulator's "Init Duration" means nothing; this is when the runtime asked for its first event.
    init = re.search(r"INIT REPORT\(durationMs: ([\d.]+)\)", function.log())
    report = re.search(r"^REPORT RequestId: .*\tDuration: ([\d.]+) ms.*$", function.log(), re.M)
    assert init and report
    print(f"init {init[1]} ms, handler {report[1]} ms: {report[0]}")
