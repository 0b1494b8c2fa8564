"""The commands for a deployed stack: drill, invoke, replay; and the list of the sample events."""

import json
import re
import signal
import subprocess
import sys
from concurrent.futures import Future

import account
import cases
import harness
import pytest
from account import DEFAULT_BUS, ROOT
from moto.sqs.models import SQSBackend

BUCKET, REGION = "drill-bucket", "eu-west-1"
OTHER = "AKIAI44QH8DHBEXAMPLE"
STEPS = (
    "key created", "event put", "invocation", "delete sent", "delete accepted", "verified gone", "key seen gone",
    "record made", "record seen",
)  # fmt: skip


def drill(operator, *more, timeout="30"):
    return operator.run("drill", "--bucket", BUCKET, "--region", REGION, "--timeout", timeout, *more)


@pytest.mark.parametrize("more", [(), ("--not-named",)], ids=["bucket named", "bucket searched for"])
def test_drill_proves_path_and_times_each_step(more, operator, running, lightsail):
    lightsail.seed(REGION, BUCKET, [OTHER])
    with running().at_work():
        result = drill(operator, *more)

    assert (result.returncode, result.stderr) == (0, "")
    assert [step for step in STEPS if not re.search(rf"^{step} +[0-9.]+ +since ", result.stdout, re.M)] == []
    assert re.search(r"^revoked: .*access key AKIA", result.stdout, re.M)
    assert "is gone." in result.stdout
    # Lightsail's secret access keys are 40 characters of these (Lightsail API reference, "AccessKey").
    assert not re.search(r"[A-Za-z0-9+/]{40}", result.stdout + result.stderr), "the drill shows no secret"
    assert lightsail.keys() == {(REGION, BUCKET, OTHER)}
    # The function deleted it, and the drill had nothing to clean up.
    assert lightsail.operations_seen().count("DeleteBucketAccessKey") == 1
    assert operator.account.records()[0]["unmapped"]["alert"]["source"] == "lightsail-key-responder.drill"


def test_drill_without_record_deletes_its_key(operator, lightsail):
    lightsail.seed(REGION, BUCKET, [])
    result = drill(operator, timeout="0.5")

    assert result.returncode == 1
    assert "was still there: the drill deleted it" in result.stdout
    assert "no last record of AKIA" in result.stderr
    assert lightsail.keys() == set()


def test_drill_of_denied_function_deletes_its_key(operator, running, lightsail):
    lightsail.seed(REGION, BUCKET, [])
    # The function's three tries; the drill's own delete is the one after them.
    lightsail.script("DeleteBucketAccessKey", {"kind": "access_denied"}, count=account.TRIES)
    with running().at_work():
        result = drill(operator, timeout="4")

    assert result.returncode == 1
    assert "A record, and Lambda tries again: failed: " in result.stdout
    assert lightsail.keys() == set()


def test_drill_in_dry_run_deletes_its_key(operator, running, lightsail):
    lightsail.seed(REGION, BUCKET, [])
    with running(RESPONDER_MODE="dry_run").at_work():
        result = drill(operator)

    assert result.returncode == 1
    assert "The function is in mode dry_run" in result.stdout
    assert "was still there: the drill deleted it" in result.stdout
    assert lightsail.keys() == set()


def test_drill_refuses_bucket_with_two_keys(operator, lightsail):
    lightsail.seed(REGION, BUCKET, [OTHER, "AKIAJ55QH8DHBEXAMPLE"])
    result = drill(operator)

    assert result.returncode == 2
    assert f"{OTHER}, AKIAJ55QH8DHBEXAMPLE" in result.stderr
    assert lightsail.operations_seen() == ["GetBucketAccessKeys"]


def test_stopped_drill_deletes_its_key(operator, lightsail):
    lightsail.seed(REGION, BUCKET, [])
    command = operator.command("drill", "--bucket", BUCKET, "--region", REGION)
    environment = harness.child_environment(operator.environment)
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("Made the throw-away key AKIA")
        process.terminate()
        said, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "the drill deleted it" in said
    assert lightsail.keys() == set()


def test_missing_region_is_explained(operator):
    result = operator.run("invoke", "events/manual.json", AWS_REGION="")
    assert result.returncode == 2
    assert result.stderr.startswith("invoke.py: no Region is known: set AWS_REGION")
    assert operator.invoked == []


@pytest.mark.parametrize("script", ["drill", "invoke", "replay"])
def test_unknown_stack_is_named(script, operator, lightsail):
    given = {"drill": ("--bucket", BUCKET), "invoke": ("events/manual.json",), "replay": ("--queue", "failures")}
    result = operator.run(script, "--stack", "no-such-stack", *given[script])

    assert result.returncode == 2
    assert result.stderr == f"{script}.py: there is no stack no-such-stack in us-east-1 (STACK=..., AWS_REGION=...)\n"
    assert lightsail.requests() == [] and operator.invoked == []


def test_invoke_sends_file_and_prints_record(operator, running, lightsail):
    lightsail.seed("us-east-1", "photos", ["AKIAIOSFODNN7EXAMPLE"])
    operator.function = running().function
    result = operator.run("invoke", "events/manual.json")

    assert result.returncode == 0
    assert re.search(r"^revoked: .*access key AKIAIOSFODNN7EXAMPLE of bucket photos", result.stdout, re.M)
    path = f"/2015-03-31/functions/{account.FUNCTION}/invocations"
    assert operator.invoked == [(path, (ROOT / "events" / "manual.json").read_bytes())]


def test_invoke_fails_with_function(operator, running):
    operator.function = running().function
    result = operator.run("invoke", "events/manual-malformed-key.json")

    assert result.returncode == 1
    assert "the function failed: Responder.Unreadable: " in result.stdout
    assert len(operator.invoked) == 1


def test_replay_of_failures_removes_only_successes(operator, running, lightsail):
    lightsail.seed("us-east-1", "photos", ["AKIAIOSFODNN7EXAMPLE"])
    lightsail.script("DeleteBucketAccessKey", {"kind": "access_denied"}, count=account.TRIES)
    function, deployed = running(), operator.account
    operator.function = function.function
    # An alert of the default bus: what comes by the alert queue ends in its dead letters.
    alert = json.loads((ROOT / "events" / "guardduty-s3-exfiltration.json").read_text())
    deployed.put(alert, DEFAULT_BUS)
    function.deliver()
    record = deployed.logged()[0]
    # Beside the envelope of the on-failure destination: an event that no rule could deliver, a record that did not
    # arrive, an alert that fails again, and something else.
    for body in (json.dumps(alert), json.dumps(record), '{"accessKeyId": "no key"}', "not JSON"):
        deployed.send("FailureQueue", body)

    result = operator.run("replay", "--queue", "failures")

    assert result.returncode == 1, result.stderr
    assert re.search(r"revoked: .*access key AKIAIOSFODNN7EXAMPLE", result.stdout)
    assert "already_absent: " in result.stdout
    assert "left, a record and no alert: " in result.stdout
    assert "left: Responder.Unreadable: " in result.stdout
    assert "left: it holds no event" in result.stdout
    assert result.stdout.endswith("2 messages done and removed, 3 left in the queue\n")
    assert lightsail.keys() == set()
    # They can be seen again at once.
    assert deployed.waiting("FailureQueue") == 3

    dropped = operator.run("replay", "--queue", "failures", "--drop-records")
    assert dropped.stdout.endswith("1 messages done and removed, 2 left in the queue\n")


class Failing:
    """A function that fails every event, after something else has happened."""

    def __init__(self, meanwhile) -> None:
        self.meanwhile, self.events = meanwhile, []

    def invoke(self, event: bytes) -> harness.Answer:
        self.events.append(json.loads(event))
        self.meanwhile()
        error = {"errorType": "Responder.Failed", "errorMessage": "AWS refused the delete"}
        return harness.Answer(200, json.dumps(error), 0.0)


class Succeeding:
    """A function that succeeds with every event."""

    def invoke(self, event: bytes) -> harness.Answer:
        return harness.Answer(200, '{"batchItemFailures": []}', 0.0)


def waiting_alerts(deployed, count):
    alerts = [{"accessKeyId": OTHER, "reason": str(number)} for number in range(count)]
    for alert in alerts:
        deployed.send("FailureQueue", json.dumps(alert))
    return alerts


def replay_of_failures(operator):
    return subprocess.Popen(
        operator.command("replay", "--queue", "failures"),
        env=harness.child_environment(operator.environment),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_replay_stops_at_message_seen_twice(operator):
    deployed = operator.account
    alerts = waiting_alerts(deployed, 3)

    def time_passes() -> None:
        # The bound ends a replay that does not stop.
        if 2 <= len(operator.function.events) < 10:
            deployed.end_visibility_timeouts("FailureQueue")

    operator.function = Failing(time_passes)
    result = operator.run("replay", "--queue", "failures")

    assert result.returncode == 1, result.stderr
    assert operator.function.events == alerts[:2], "no message is invoked twice"
    first, second = re.findall(r"^(\S+): left: Responder.Failed", result.stdout, re.M)
    assert f"Stopped: message {first} was received a second time" in result.stdout
    assert f"\nLeft: {first}, {second}\n" in result.stdout
    assert "About 3 messages are visible in the queue" in result.stdout
    assert result.stdout.endswith("0 messages done and removed, 2 left in the queue\n")
    assert deployed.waiting("FailureQueue") == 3


def test_replay_does_not_repeat_removed_message(operator, monkeypatch):
    # SQS may deliver a message again after its deletion (SQS guide, "At-least-once delivery").
    deployed = operator.account
    waiting_alerts(deployed, 1)
    delete, deletes = SQSBackend.delete_message, []

    def delete_at_second_call(self, *given) -> None:
        deletes.append(given)
        if len(deletes) > 1:
            return delete(self, *given)
        deployed.end_visibility_timeouts("FailureQueue")

    monkeypatch.setattr(SQSBackend, "delete_message", delete_at_second_call)
    operator.function = Succeeding()
    result = operator.run("replay", "--queue", "failures")

    assert (result.returncode, result.stderr) == (1, "")
    assert len(operator.invoked) == 1
    assert "was received a second time" in result.stdout
    assert result.stdout.endswith("1 messages done and removed, 0 left in the queue\n")
    assert deployed.waiting("FailureQueue") == 0


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [(signal.SIGINT, 130, "replay.py: interrupted\n"), (signal.SIGTERM, 143, "")],
    ids=["SIGINT", "SIGTERM"],
)
def test_interrupted_replay_leaves_messages_visible(number, code, text, operator):
    deployed, started = operator.account, Future()
    alerts = waiting_alerts(deployed, 3)

    def interrupt() -> None:
        if len(operator.function.events) == 2:
            process = started.result(timeout=30)
            process.send_signal(number)
            process.wait(timeout=30)

    operator.function = Failing(interrupt)
    with replay_of_failures(operator) as process:
        started.set_result(process)
        said, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (code, text)
    assert operator.function.events == alerts[:2]
    assert said.endswith("0 messages done and removed, 2 left in the queue\n")
    assert deployed.waiting("FailureQueue") == 3


def test_replay_interrupted_while_receiving_keeps_message_visible(operator, monkeypatch):
    # SQS has marked the message as received, and its answer is not there yet.
    deployed, started = operator.account, Future()
    waiting_alerts(deployed, 1)
    receive = SQSBackend.receive_message

    def receive_and_interrupt(self, *given, **named):
        received = receive(self, *given, **named)
        started.result(timeout=30).send_signal(signal.SIGINT)
        return received

    monkeypatch.setattr(SQSBackend, "receive_message", receive_and_interrupt)
    operator.function = Succeeding()
    with replay_of_failures(operator) as process:
        started.set_result(process)
        _, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (130, "replay.py: interrupted\n")
    assert operator.invoked == []
    assert deployed.waiting("FailureQueue") == 1


def test_replay_of_alerts_moves_dead_letters_back(operator):
    result = operator.run("replay", "--queue", "alerts", AWS_ENDPOINT_URL_SQS=operator.address)

    assert (result.returncode, result.stderr) == (0, "")
    source, destination = map(operator.account.queue_arn, ("AlertDeadLetterQueue", "AlertQueue"))
    assert operator.moves == [{"SourceArn": source, "DestinationArn": destination}]


@pytest.mark.parametrize(
    ("which", "archive", "rules"),
    [
        ("alerts", "AlertArchive", {"ExposedKeyAlerts", "ForwardedAlerts"}),
        ("records", "RecordArchive", {"RecordsWithKey", "RecordsWithoutKey", "RecordsToLog"}),
    ],
)
def test_replay_of_archive_goes_to_rules_of_stack(which, archive, rules, operator):
    deployed = operator.account
    bus = account.ARCHIVES[archive]
    deployed.events.put_rule(Name="of-somebody-else", EventBusName=bus, EventPattern='{"source": ["x"]}')
    window = ("--from", "2026-11-24T02:00:00Z", "--to", "2026-11-24T04:00:00Z")
    result = operator.run("replay", "--archive", which, *window)

    assert (result.returncode, result.stderr) == (0, "")
    assert "COMPLETED" in result.stdout
    name = re.search(r"^Replay (\S+) ", result.stdout, re.M)[1]
    replay = deployed.events.describe_replay(ReplayName=name)
    assert replay["EventSourceArn"].endswith(f":archive/{archive}")
    assert replay["Destination"]["Arn"] == deployed.bus_arn(bus)
    assert set(replay["Destination"]["FilterArns"]) == {deployed.rules[rule] for rule in rules}
    assert int((replay["EventEndTime"] - replay["EventStartTime"]).total_seconds()) == 7200


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--queue", "alerts", "--archive", "alerts"),
        ("--from", "2026-11-24T02:00:00Z"),
        ("--from", "2026-11-24T04:00:00Z", "--to", "2026-11-24T02:00:00Z"),
        ("--from", "2026-11-24T02:00:00", "--to", "2026-11-24T04:00:00"),
    ],
)
def test_unclear_replay_is_wrong_use(given):
    # The arguments are read before any call, so there is no AWS here.
    command = [sys.executable, ROOT / "scripts" / "replay.py", *given]
    done = subprocess.run(command, env=harness.child_environment({}), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "replay.py: error: " in done.stderr


def test_sample_events_are_listed_with_outcomes():
    listed = subprocess.run([sys.executable, ROOT / "scripts" / "events.py"], capture_output=True, text=True, check=True)
    rows = [re.split(r"  +", line) for line in listed.stdout.splitlines()]
    assert [(row[0], row[1]) for row in rows] == [(case.file, ", ".join(case.outcomes)) for case in cases.table()]
