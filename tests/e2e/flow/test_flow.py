"""An alert on a bus -> rule -> function -> Lightsail -> record on the record bus -> whoever must know.

Not Security Hub's findings, which are lists of objects: EventBridge looks into those, and moto's buses do not. Their
patterns are judged in tests/infra/test_rules.py, and what the function makes of them in tests/e2e/runtime.
"""

import json

import account
import pytest
import run
from account import ALERT_BUS, DEFAULT_BUS, ROOT

KEY, BUCKET = "AKIAIOSFODNN7EXAMPLE", "photos"
SIBLING = "AKIAI44QH8DHBEXAMPLE"


def event(name):
    return run.read_event(ROOT / "events" / name)[1]


def seed(lightsail, region="us-east-1"):
    lightsail.seed(region, BUCKET, [KEY, SIBLING])


def test_the_stand_in_for_lambda_delivers_as_the_template_configures_it(cloudformation):
    resources = cloudformation["Resources"]
    mapping = resources["ResponderFunctionAlertMessages"]["Properties"]
    assert mapping["BatchSize"] == account.BATCH_SIZE
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert resources["AlertQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] == account.MOST_RECEIVES
    (invocations,) = [one for one in resources.values() if one["Type"] == "AWS::Lambda::EventInvokeConfig"]
    assert invocations["Properties"]["MaximumRetryAttempts"] + 1 == account.TRIES
    assert "FailureQueue" in json.dumps(invocations["Properties"]["DestinationConfig"]["OnFailure"])


@pytest.mark.parametrize(
    ("file", "bus", "region"),
    [
        ("exposed-key-event.json", ALERT_BUS, "eu-central-1"),
        ("guardduty-s3-exfiltration.json", DEFAULT_BUS, "us-east-1"),
        ("guardduty-s3-exfiltration.json", ALERT_BUS, "us-east-1"),
        ("health-credentials-exposed.json", DEFAULT_BUS, "us-east-1"),
        ("trusted-advisor-exposed-access-keys.json", DEFAULT_BUS, "us-east-1"),
    ],
)
def test_an_alert_on_a_bus_deletes_its_key_and_its_record_reaches_log_and_people(
    file, bus, region, deployed, running, lightsail
):
    seed(lightsail, region)
    function = running()

    deployed.put(event(file), bus)
    queued = deployed.waiting("AlertQueue")
    assert function.deliver() == 1

    (logged,) = deployed.logged()
    record = logged["detail"]
    assert (logged["source"], logged["detail-type"]) == ("lightsail-key-responder", "Lightsail Bucket Access Key Response")
    assert record["status_code"] == "revoked"
    assert record["unmapped"]["access_key"]["id"] == KEY
    assert record["unmapped"]["bucket"]["name"] == BUCKET
    assert record["remediation"]["desc"]
    # The record on the bus is the record in the function's log, member by member.
    assert function.function.records() == [record]
    assert [told["detail"] for told in deployed.take_all("people")] == [record]
    assert lightsail.keys() == {(region, BUCKET, SIBLING)}
    # What others can put on a bus comes by the queue, and the alerts of AWS directly. Nothing is left anywhere.
    assert queued == (1 if bus == ALERT_BUS else 0)
    assert [deployed.waiting(queue) for queue in account.QUEUES] == [0] * len(account.QUEUES)


@pytest.mark.parametrize(
    ("file", "bus"),
    [
        ("guardduty-actor-only.json", DEFAULT_BUS),
        ("guardduty-temporary-credential.json", DEFAULT_BUS),
        ("health-instance-retirement.json", DEFAULT_BUS),
        ("trusted-advisor-recovered.json", DEFAULT_BUS),
        ("security-hub-custom-action.json", DEFAULT_BUS),
        ("security-hub-custom-action.json", ALERT_BUS),
        ("cloudtrail-caller.json", DEFAULT_BUS),
        # Our own event counts on the dedicated bus only: on the default one any application could delete keys.
        ("exposed-key-event.json", DEFAULT_BUS),
    ],
)
def test_an_alert_that_exposes_no_key_or_comes_by_the_wrong_bus_does_not_arrive(
    file, bus, deployed, running, lightsail
):
    seed(lightsail, "eu-central-1" if file == "exposed-key-event.json" else "us-east-1")
    function = running()
    before = lightsail.keys()

    deployed.put(event(file), bus)

    assert function.deliver() == 0
    assert deployed.logged() == []
    assert lightsail.keys() == before and lightsail.requests() == []


def test_a_key_that_was_gone_already_is_on_record_and_nobody_is_woken(deployed, running, lightsail):
    lightsail.seed("eu-central-1", BUCKET, [SIBLING])
    deployed.put(event("exposed-key-event.json"), ALERT_BUS)
    running().deliver()

    assert [record["status_code"] for record in deployed.records()] == ["already_absent"]
    assert deployed.take_all("people") == []


def test_messages_of_one_batch_are_answered_one_by_one_and_a_bad_one_ends_in_the_dead_letter_queue(
    deployed, running, lightsail
):
    seed(lightsail)
    deployed.send("AlertQueue", (ROOT / "events" / "manual.json").read_text())
    deployed.send("AlertQueue", '{"accessKeyId": "AKIAIOSFODNN7EXAM')
    running().deliver()

    assert lightsail.keys() == {("us-east-1", BUCKET, SIBLING)}
    codes = [record["status_code"] for record in deployed.records()]
    assert codes.count("revoked") == 1
    assert codes.count("unreadable") == account.MOST_RECEIVES
    assert deployed.waiting("AlertQueue") == 0 and deployed.waiting("AlertDeadLetterQueue") == 1
    # People hear of both once: of the key, and of the other's first failure.
    assert len(deployed.take_all("people")) == 2


def test_an_event_that_fails_for_good_waits_in_the_failure_queue_with_all_that_is_needed(deployed, running, lightsail):
    seed(lightsail)
    lightsail.script("DeleteBucketAccessKey", {"kind": "access_denied"})
    deployed.put(event("guardduty-s3-exfiltration.json"), DEFAULT_BUS)
    running().deliver()

    assert [record["status_code"] for record in deployed.records()] == ["failed"] * account.TRIES
    (waiting,) = deployed.take_all("FailureQueue")
    assert waiting["requestPayload"]["detail"]["resource"]["accessKeyDetails"]["accessKeyId"] == KEY
    assert waiting["responsePayload"]["errorType"] == "Responder.Failed"


def test_own_event_that_fails_ends_in_dead_letter_queue(deployed, running, lightsail):
    seed(lightsail, "eu-central-1")
    lightsail.script("DeleteBucketAccessKey", {"kind": "access_denied"})
    deployed.put(event("exposed-key-event.json"), ALERT_BUS)
    running().deliver()

    assert [record["status_code"] for record in deployed.records()] == ["failed"] * account.MOST_RECEIVES
    (waiting,) = deployed.take_all("AlertDeadLetterQueue")
    assert waiting["detail"]["accessKeyId"] == KEY
    assert deployed.waiting("FailureQueue") == 0


def test_a_record_bus_that_is_gone_does_not_stop_the_delete(deployed, running, lightsail):
    seed(lightsail, "eu-central-1")
    function = running(RECORD_BUS="no-such-bus")
    deployed.put(event("exposed-key-event.json"), ALERT_BUS)
    function.deliver()

    assert lightsail.keys() == {("eu-central-1", BUCKET, SIBLING)}
    assert [deployed.waiting(queue) for queue in ("AlertQueue", "AlertDeadLetterQueue", "FailureQueue")] == [0, 0, 0]
    assert [record["status_code"] for record in function.function.records()] == ["revoked"]
    assert "RecordsNotPublished" in function.function.log()
