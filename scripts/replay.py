"""`make replay`: alerts that wait in a queue or an archive -> the function once more. Every repeat is harmless.

    --queue failures   what could not be delivered or failed for good: each message goes to the function, and leaves the
                       queue only when the function succeeded. No message is sent twice: the run stops at the first
                       one that the queue delivers again
    --queue alerts     messages that failed three times go back to the queue for alerts
    --archive ...      what came to a bus between two times goes to this stack's rules on that bus, and to no other's

    0  all that there was is done
    1  something is left: the lines say what
    2  wrong use
"""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import function
from botocore.exceptions import BotoCoreError, ClientError
from stack import NOT_DONE, OK, WRONG_USE, Stack, Trouble, arguments, run

# Outputs with the names of the archives.
ARCHIVES = {
    "alerts": "AlertArchiveName",
    "default": "DefaultBusArchiveName",
    "records": "RecordArchiveName",
}
RECORD = ("lightsail-key-responder", "Lightsail Bucket Access Key Response")
# Longer than an invocation takes: nobody else gets a message while the function works on it.
HIDDEN_SECONDS = 180
ENDED = {"COMPLETED", "CANCELLED", "FAILED"}


def main(given: list[str]) -> int:
    parser = arguments("Sends alerts to the function once more.")
    parser.add_argument("--queue", choices=("failures", "alerts"))
    parser.add_argument("--archive", choices=tuple(ARCHIVES))
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="for example 2026-11-24T03:00:00Z")
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME")
    parser.add_argument("--drop-records", action="store_true", help="of the failure queue: remove records, which are no alerts")
    parser.add_argument("--wait", type=float, default=300, metavar="SECONDS", help="how long to wait for a replay (300)")
    options = parser.parse_args(given)
    if bool(options.queue) == bool(options.start or options.end or options.archive):
        parser.error("either a queue, or an archive with two times")
    if options.queue == "failures":
        return failures(Stack(options.stack), options.drop_records)
    if options.queue == "alerts":
        return redrive(Stack(options.stack))
    if not (options.start and options.end) or options.start >= options.end:
        parser.error("an archive needs two times, the earlier one first")
    return archive(Stack(options.stack), options.archive or "alerts", options.start, options.end, options.wait)


def moment(text: str) -> datetime:
    """A time with its zone: one without is three hours off in the wrong place."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return at


# --- The failure queue -----------------------------------------------------------------------------------------------------


def failures(stack: Stack, drop_records: bool) -> int:
    replay = Run(stack.client("sqs"), stack["FailureQueueUrl"])
    interrupts = Interrupts()
    try:
        while message := replay.receive():
            if replay.is_repeated(message):
                return replay.stop(message)
            replay.hold(message)
            with interrupts.allowed():
                told, remove = handle(stack, message, drop_records)
            print(f"{message['MessageId']}: {told}", flush=True)
            if remove:
                replay.delete(message)
        return NOT_DONE if replay.left else OK
    finally:
        replay.end()


class Run:
    """Messages of one run. Each is sent to the function at most once."""

    def __init__(self, sqs: Any, queue: str) -> None:
        self.sqs, self.queue = sqs, queue
        # Deleted messages, and the receipt handles of those that were received and not deleted, by message ID.
        self.done: set[str] = set()
        self.left: dict[str, str] = {}
        # Whether the queue had no more messages.
        self.is_complete = False

    def receive(self) -> dict[str, Any] | None:
        """Receives one message at a time: the next one's time does not run while the function works on this one."""
        received = self.sqs.receive_message(
            QueueUrl=self.queue,
            MaxNumberOfMessages=1,
            WaitTimeSeconds=2,
            VisibilityTimeout=HIDDEN_SECONDS,
        )
        messages = received.get("Messages", [])
        self.is_complete = not messages
        return messages[0] if messages else None

    def is_repeated(self, message: dict[str, Any]) -> bool:
        return message["MessageId"] in self.done or message["MessageId"] in self.left

    def hold(self, message: dict[str, Any]) -> None:
        self.left[message["MessageId"]] = message["ReceiptHandle"]

    def delete(self, message: dict[str, Any]) -> None:
        self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        self.left.pop(message["MessageId"], None)
        self.done.add(message["MessageId"])

    def stop(self, message: dict[str, Any]) -> int:
        """Ends the run at a repeated message: from here on, the queue may deliver only what this run has tried."""
        if message["MessageId"] in self.done:
            # SQS may deliver a deleted message once more (SQS guide, "Amazon SQS at-least-once delivery").
            self.delete(message)
        else:
            # SQS accepts the newest receipt handle only.
            self.hold(message)
        print(f"Stopped: message {message['MessageId']} was received a second time, and no message is sent twice.")
        return NOT_DONE

    def end(self) -> None:
        """Makes what is left visible at once, for the alarm as well, and prints it."""
        for handle in self.left.values():
            # Fails for a message whose timeout is over: it is visible already.
            with suppress(ClientError):
                self.sqs.change_message_visibility(QueueUrl=self.queue, ReceiptHandle=handle, VisibilityTimeout=0)
        if self.left:
            print(f"Left: {', '.join(self.left)}")
        if not self.is_complete:
            with suppress(BotoCoreError, ClientError):
                count = message_count(self.sqs, self.queue)
                print(f"About {count} messages are visible in the queue, with those that this run did not try.")
        print(f"{len(self.done)} messages done and removed, {len(self.left)} left in the queue", flush=True)


def message_count(sqs: Any, queue: str) -> str:
    name = "ApproximateNumberOfMessages"
    return sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name]


class Interrupts:
    """Ctrl-C and SIGTERM, which wait until no call to SQS is in flight: its answer may have a message to release."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.is_allowed = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.note)

    def note(self, number: int, _: Any) -> None:
        self.number = number
        if self.is_allowed:
            self.interrupt()

    def interrupt(self) -> None:
        # Once only, so that a second Ctrl-C does not stop the release of messages.
        self.is_allowed = False
        if self.number == signal.SIGTERM:
            sys.exit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Lets a signal interrupt the block, also one that came before it."""
        self.is_allowed = True
        if self.number is not None:
            self.interrupt()
        try:
            yield
        finally:
            self.is_allowed = False


def handle(stack: Stack, message: dict[str, Any], drop_records: bool) -> tuple[str, bool]:
    """What came of a message, and whether it may go."""
    event = alert(message["Body"])
    if event is None:
        return "left: it holds no event, read it yourself", False
    if isinstance(event, dict) and (event.get("source"), event.get("detail-type")) == RECORD:
        # Not an alert: a record that did not reach people or the log group. Those read it from its archive.
        told = event.get("detail", {}).get("message", "no message")
        return (f"record removed: {told}", True) if drop_records else (f"left, a record and no alert: {told}", False)
    answer = function.invoke(stack, json.dumps(event).encode())
    if answer.error:
        return f"left: {answer.error}", False
    return "; ".join(answer.lines) or "done", True


def alert(body: str) -> Any:
    """The event in a message: EventBridge puts it there as it is, and Lambda's on-failure destination in an envelope
    (Lambda guide, "Capturing records of Lambda asynchronous invocations"; EventBridge user guide, "Using dead-letter
    queues to process undelivered events")."""
    try:
        read = json.loads(body)
    except ValueError:
        return None
    if isinstance(read, dict) and "requestContext" in read:
        return read.get("requestPayload")
    return read


# --- The dead letters of the alert queue -----------------------------------------------------------------------------------


def redrive(stack: Stack) -> int:
    sqs = stack.client("sqs")
    source, destination = (queue_arn(sqs, stack[name]) for name in ("AlertDeadLetterQueueUrl", "AlertQueueUrl"))
    sqs.start_message_move_task(SourceArn=source, DestinationArn=destination)
    print(f"SQS moves the messages from {source} to {destination}; the function takes them from there.")
    print(f"How far it is: aws sqs list-message-move-tasks --region {stack.region} --source-arn {source}")
    return OK


def queue_arn(sqs: Any, url: str) -> str:
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


# --- The archives ----------------------------------------------------------------------------------------------------------


def archive(stack: Stack, which: str, start: datetime, end: datetime, patience: float) -> int:
    events = stack.client("events")
    found = events.describe_archive(ArchiveName=stack[ARCHIVES[which]])
    bus = found["EventSourceArn"]
    rules = rules_of(stack, events, bus)
    if not rules:
        raise Trouble(f"the stack has no enabled rule on {bus}", WRONG_USE)
    if end > datetime.now(UTC) - timedelta(minutes=10):
        # EventBridge user guide, "Archiving and replaying events".
        print("An event may take some ten minutes until it is in the archive: what came just now may be missing.")
    name = f"{stack.name[:40]}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    # Only to rules of this stack: on the default bus there are other people's.
    events.start_replay(
        ReplayName=name,
        EventSourceArn=found["ArchiveArn"],
        EventStartTime=start,
        EventEndTime=end,
        Destination={"Arn": bus, "FilterArns": rules},
    )
    print(f"Replay {name} of {found['ArchiveName']} to {len(rules)} rules of {bus}")
    deadline = time.monotonic() + patience
    while True:
        replay = events.describe_replay(ReplayName=name)
        if replay["State"] in ENDED or time.monotonic() > deadline:
            break
        time.sleep(2)
    print(f"{replay['State']} {replay.get('StateReason', '')}".rstrip())
    if replay["State"] not in ENDED:
        print(f"How far it is: aws events describe-replay --region {stack.region} --replay-name {name}")
    return OK if replay["State"] == "COMPLETED" else NOT_DONE


def rules_of(stack: Stack, events: Any, bus: str) -> list[str]:
    """ARNs of the stack's rules on a bus that are switched on."""
    pages = stack.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack.name)
    # A rule's physical ID is its name; on a bus of its own the bus may stand before it.
    own = {
        resource["PhysicalResourceId"].split("|")[-1]
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::Events::Rule"
    }
    listed = events.get_paginator("list_rules").paginate(EventBusName=bus)
    rules = [rule for page in listed for rule in page["Rules"]]
    return sorted(rule["Arn"] for rule in rules if rule["Name"] in own and rule["State"] != "DISABLED")


if __name__ == "__main__":
    run(main)
