"""Several events in one process, and the artefact that gets deployed."""

import re

import alerts
from alerts import BUCKET, KEY, SIBLING


def test_process_leaves_record_of_each_event(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start()
    events = [b"not JSON", alerts.from_file("guardduty-sample.json"), alerts.guardduty(), b"", alerts.guardduty()]
    for event in events:
        function.invoke(event)
    outcomes = ["unreadable", "ignored", "revoked", "unreadable", "already_absent"]
    records = function.records()
    assert [record["status_code"] for record in records] == outcomes
    assert len({record["unmapped"]["invocation"]["request_id"] for record in records}) == len(events)


def test_deployed_artefact_revokes_key(artefact, lightsail, start):
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
