"""An AWS account on loopback addresses: the stack in moto, Lambda's two ways to a function, and who runs the commands."""

import json
import re
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import harness
from moto.sqs.models import sqs_backends

ROOT = Path(__file__).resolve().parents[3]
STACK = "lightsail-key-responder"
ALERT_BUS, RECORD_BUS, DEFAULT_BUS = "lightsail-key-alerts", "lightsail-key-records", "default"
FUNCTION = "lightsail-key-responder-ResponderFunction-AAAA"
RECORD_LOG = "/aws/events/lightsail-key-records/AAAA"
BUSES = {"AlertBus": ALERT_BUS, "RecordBus": RECORD_BUS}
ARCHIVES = {"AlertArchive": ALERT_BUS, "DefaultBusArchive": DEFAULT_BUS, "RecordArchive": RECORD_BUS}
# What a rule of the template may deliver to -> what stands for it in moto, which delivers to queues and log groups only.
# `invocations` is Lambda's own queue of asynchronous invocations, `people` and `chat` are the topics.
TARGETS = {
    "ResponderFunction": "invocations",
    "AlertQueue": "AlertQueue",
    "NotificationTopic": "people",
    "ChatTopic": "chat",
    "RecordLogGroup": RECORD_LOG,
}
QUEUES = ("invocations", "AlertQueue", "AlertDeadLetterQueue", "FailureQueue", "people", "chat")
# As in the template, which the first test of test_flow.py checks.
MOST_RECEIVES = 3
BATCH_SIZE = 10
TRIES = 3


class Account:
    """The stack, in moto."""

    def __init__(self, endpoint: str, cloudformation: dict[str, Any], resolved: Any) -> None:
        self.endpoint, self.cloudformation, self.resolved = endpoint, cloudformation, resolved
        self.events, self.sqs, self.logs = map(self.client, ("events", "sqs", "logs"))
        self.queues = {name: self.sqs.create_queue(QueueName=name)["QueueUrl"] for name in QUEUES}
        redrive = {"deadLetterTargetArn": self.queue_arn("AlertDeadLetterQueue"), "maxReceiveCount": MOST_RECEIVES}
        self.sqs.set_queue_attributes(
            QueueUrl=self.queues["AlertQueue"], Attributes={"RedrivePolicy": json.dumps(redrive)}
        )
        self.logs.create_log_group(logGroupName=RECORD_LOG)
        for bus in BUSES.values():
            self.events.create_event_bus(Name=bus)
        # Before the archives: moto keeps those among the rules.
        self.rules = {
            name: self.put_rule(name, rule)
            for name, rule in cloudformation["Resources"].items()
            if rule["Type"] == "AWS::Events::Rule" and self.holds(rule.get("Condition"))
        }
        for name, bus in ARCHIVES.items():
            self.put_archive(name, bus)
        self.put_outputs()

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=harness.REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="AKIATESTERTESTEREXAM",
            aws_secret_access_key="none",
        )

    def queue_arn(self, name: str) -> str:
        return f"arn:aws:sqs:{harness.REGION}:{harness.ACCOUNT}:{name}"

    def bus_arn(self, bus: str) -> str:
        return f"arn:aws:events:{harness.REGION}:{harness.ACCOUNT}:event-bus/{bus}"

    def holds(self, condition: str | None) -> bool:
        return condition is None or bool(self.resolved(self.cloudformation["Conditions"][condition]))

    def put_rule(self, name: str, rule: dict[str, Any]) -> str:
        """A rule with the template's own pattern, state and bus; its ARN."""
        given = rule["Properties"]
        bus = BUSES[given["EventBusName"]["Ref"]] if "EventBusName" in given else DEFAULT_BUS
        pattern = json.dumps(self.resolved(given["EventPattern"]))
        state = self.resolved(given["State"])
        arn = self.events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern, State=state)["RuleArn"]
        targets = [target for target in map(self.chosen, given["Targets"]) if target]
        entries = [{"Id": target["Id"], "Arn": self.stand_in(target["Arn"])} for target in targets]
        # moto delivers to the targets of a rule that is switched off as well.
        if state == "ENABLED":
            self.events.put_targets(Rule=name, EventBusName=bus, Targets=entries)
        return arn

    def chosen(self, target: dict[str, Any]) -> dict[str, Any] | None:
        if "Fn::If" not in target:
            return target
        condition, if_true, if_false = target["Fn::If"]
        target = if_true if self.holds(condition) else if_false
        return None if target == {"Ref": "AWS::NoValue"} else target

    def stand_in(self, arn: Any) -> str:
        """What stands in moto for the target that the template names by its logical ID."""
        named = set(re.findall(r"[A-Za-z]+", json.dumps(arn))) & set(TARGETS)
        assert len(named) == 1, f"a rule has a target that these tests know nothing of: {arn}"
        place = TARGETS[named.pop()]
        if place == RECORD_LOG:
            return f"arn:aws:logs:{harness.REGION}:{harness.ACCOUNT}:log-group:{RECORD_LOG}"
        return self.queue_arn(place)

    def put_archive(self, name: str, bus: str) -> None:
        pattern = self.cloudformation["Resources"][name]["Properties"].get("EventPattern")
        more = {"EventPattern": json.dumps(self.resolved(pattern))} if pattern else {}
        self.events.create_archive(ArchiveName=name, EventSourceArn=self.bus_arn(bus), **more)

    def put_outputs(self) -> None:
        """The stack's outputs, as far as the commands read them."""
        values = {
            "FunctionName": FUNCTION,
            "AlertBusName": ALERT_BUS,
            "RecordLogGroupName": RECORD_LOG,
            "AlertQueueUrl": self.queues["AlertQueue"],
            "AlertDeadLetterQueueUrl": self.queues["AlertDeadLetterQueue"],
            "FailureQueueUrl": self.queues["FailureQueue"],
            "AlertArchiveName": "AlertArchive",
            "DefaultBusArchiveName": "DefaultBusArchive",
            "RecordArchiveName": "RecordArchive",
        }
        # A command that reads an output which the template does not have must fail here as it would there.
        assert set(values) <= set(self.cloudformation["Outputs"])
        self.outputs = values

    # What comes in, and what came out ------------------------------------------------------------------------------------

    def put(self, event: dict[str, Any], bus: str) -> None:
        """Puts an event of events/ on a bus as its source would."""
        entry = {
            "EventBusName": bus,
            "Source": event["source"],
            "DetailType": event["detail-type"],
            "Resources": event["resources"],
            "Detail": json.dumps(event["detail"]),
        }
        answer = self.events.put_events(Entries=[entry])
        assert answer["FailedEntryCount"] == 0, answer

    def send(self, queue: str, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queues[queue], MessageBody=body)

    def receive(self, queue: str, most: int = 1) -> list[dict[str, Any]]:
        received = self.sqs.receive_message(
            QueueUrl=self.queues[queue], MaxNumberOfMessages=most, AttributeNames=["All"], WaitTimeSeconds=0
        )
        return received.get("Messages", [])

    def delete(self, queue: str, message: dict[str, Any]) -> None:
        self.sqs.delete_message(QueueUrl=self.queues[queue], ReceiptHandle=message["ReceiptHandle"])

    def waiting(self, queue: str) -> int:
        """How many messages can be seen in a queue."""
        name = "ApproximateNumberOfMessages"
        found = self.sqs.get_queue_attributes(QueueUrl=self.queues[queue], AttributeNames=[name])
        return int(found["Attributes"][name])

    def end_visibility_timeouts(self, queue: str) -> None:
        """Makes every message of a queue visible, as SQS does when the visibility timeout is over."""
        for message in sqs_backends[harness.ACCOUNT][harness.REGION].get_queue(queue)._messages:
            message.change_visibility(0)

    def take_all(self, queue: str) -> list[Any]:
        """Everything in a queue, read as JSON and removed."""
        found = []
        while messages := self.receive(queue, 10):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self.delete(queue, message)
        return found

    def logged(self) -> list[dict[str, Any]]:
        """The events in the log group of the records, oldest first."""
        events = self.logs.filter_log_events(logGroupName=RECORD_LOG)["events"]
        return [json.loads(event["message"]) for event in sorted(events, key=lambda event: event["timestamp"])]

    def records(self) -> list[dict[str, Any]]:
        return [event["detail"] for event in self.logged()]


class Lambda:
    """Lambda's two ways to the function: its queue of asynchronous invocations, and the mapping of the alert queue."""

    def __init__(self, account: Account, function: harness.Function) -> None:
        self.account, self.function = account, function

    def deliver(self) -> int:
        """Delivers until nothing is left; how many invocations that took."""
        count = 0
        while self.deliver_event() or self.deliver_batch():
            count += 1
        return count

    def deliver_event(self) -> bool:
        """One event of a rule: tried three times, and then for the on-failure destination, without Lambda's pauses."""
        for message in self.account.receive("invocations"):
            event = json.loads(message["Body"])
            for _ in range(TRIES):
                answer = self.function.invoke(event)
                if answer.error_type is None:
                    break
            else:
                self.account.send("FailureQueue", json.dumps(on_failure(event, answer)))
            self.account.delete("invocations", message)
            return True
        return False

    def deliver_batch(self) -> bool:
        """One batch of the queue; a message that failed comes again until its receives are used up."""
        messages = self.account.receive("AlertQueue", BATCH_SIZE)
        if not messages:
            return False
        answer = self.function.invoke({"Records": [self.as_lambda_sends(message) for message in messages]})
        assert answer.batch_failures is not None, answer.text
        for message in messages:
            if message["MessageId"] in answer.batch_failures:
                self.account.sqs.change_message_visibility(
                    QueueUrl=self.account.queues["AlertQueue"],
                    ReceiptHandle=message["ReceiptHandle"],
                    VisibilityTimeout=0,
                )
            else:
                self.account.delete("AlertQueue", message)
        return True

    def as_lambda_sends(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message as the event source mapping has it (Lambda guide, "Using Lambda with Amazon SQS")."""
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.account.queue_arn("AlertQueue"),
            "awsRegion": harness.REGION,
        }

    @contextmanager
    def at_work(self):
        """Delivers all the time, in a thread of its own."""
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                self.deliver()
                stop.wait(0.05)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def on_failure(event: Any, answer: harness.Answer) -> dict[str, Any]:
    """What Lambda sends to an on-failure destination (Lambda guide, "Capturing records of Lambda asynchronous
    invocations")."""
    return {
        "version": "1.0",
        "timestamp": "2026-11-24T03:03:20.123Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
            "functionArn": f"arn:aws:lambda:{harness.REGION}:{harness.ACCOUNT}:function:{FUNCTION}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": TRIES,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": json.loads(answer.text),
    }


class Operator:
    """Runs the commands of scripts/ in an environment that knows loopback addresses only.

    A small server here is what moto is not: Lambda's Invoke, which hands events to the function under AWS's emulator and
    says as Lambda does in a header when it failed; the two calls of CloudFormation, for which moto needs a dozen more
    packages; and SQS's StartMessageMoveTask.
    """

    def __init__(self, account: Account, lightsail: harness.Simulator, directory: Path) -> None:
        self.account, self.lightsail, self.directory = account, lightsail, directory
        self.invoked: list[tuple[str, bytes]] = []
        self.moves: list[dict[str, Any]] = []
        self.function: harness.Function | None = None
        self.environment = {
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_ACCESS_KEY_ID": "AKIAOPERATOREXAMPLE0",
            "AWS_SECRET_ACCESS_KEY": harness.OWN_SECRET_ACCESS_KEY,
            "AWS_REGION": harness.REGION,
            "AWS_ENDPOINT_URL": account.endpoint,
            "AWS_ENDPOINT_URL_LIGHTSAIL": lightsail.endpoint,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def __enter__(self) -> "Operator":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        # A shutdown waits for the poll interval, which is half a second by default.
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.address = "http://127.0.0.1:{}".format(self._server.server_address[1])
        self.environment |= {"AWS_ENDPOINT_URL_LAMBDA": self.address, "AWS_ENDPOINT_URL_CLOUDFORMATION": self.address}
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def run(self, script: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(script, *arguments),
            env=harness.child_environment({**self.environment, **settings}),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def command(self, script: str, *arguments: str) -> list[str]:
        return [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *arguments]

    def invoke(self, path: str, body: bytes) -> tuple[int, dict[str, str], str]:
        self.invoked.append((path, body))
        answer = self.function.invoke(body)
        return 200, {"X-Amz-Function-Error": "Unhandled"} if answer.error_type else {}, answer.text

    def cloudformation(self, given: dict[str, list[str]]) -> tuple[int, dict[str, str], str]:
        """Its Query protocol, as far as the commands use it."""
        action, name = given["Action"][0], given["StackName"][0]
        if name != STACK:
            fault = f"<Code>ValidationError</Code><Message>Stack with id {name} does not exist</Message>"
            return 400, {}, f"<ErrorResponse><Error><Type>Sender</Type>{fault}</Error></ErrorResponse>"
        if action == "DescribeStacks":
            outputs = "".join(
                f"<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>"
                for key, value in self.account.outputs.items()
            )
            result = f"<Stacks><member><StackName>{name}</StackName><Outputs>{outputs}</Outputs></member></Stacks>"
        elif action == "ListStackResources":
            # The physical ID of a rule on a bus of its own has the bus before the name.
            rules = "".join(
                "<member><ResourceType>AWS::Events::Rule</ResourceType><PhysicalResourceId>"
                f"{'|'.join(arn.split(':rule/')[1].split('/'))}</PhysicalResourceId></member>"
                for arn in self.account.rules.values()
            )
            result = f"<StackResourceSummaries>{rules}</StackResourceSummaries>"
        else:
            raise AssertionError(action)
        return 200, {}, f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"

    def move(self, operation: str, given: dict[str, Any]) -> tuple[int, dict[str, str], str]:
        """SQS's JSON protocol, as far as a redrive uses it."""
        if operation == "GetQueueAttributes":
            arn = self.account.queue_arn(given["QueueUrl"].rsplit("/", 1)[1])
            return 200, {}, json.dumps({"Attributes": {"QueueArn": arn}})
        assert operation == "StartMessageMoveTask", operation
        self.moves.append(given)
        return 200, {}, json.dumps({"TaskHandle": "dGFzaw=="})

    def answer(self, path: str, target: str | None, body: bytes) -> tuple[int, dict[str, str], str]:
        if target:
            return self.move(target.split(".")[1], json.loads(body))
        if path.startswith("/2015-03-31/functions/"):
            return self.invoke(path, body)
        return self.cloudformation(parse_qs(body.decode()))

    def _handler(operator) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, text = operator.answer(self.path, self.headers["X-Amz-Target"], body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
                    self.send_header(name, value)
                self.end_headers()
                # A command that is interrupted does not wait for its answer.
                with suppress(BrokenPipeError):
                    self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        return Handler
