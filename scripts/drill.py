"""`make drill BUCKET=...`: makes a throw-away key on a real bucket, sends its event, and times each step to the record.

The key is live during the drill. The drill neither prints nor keeps its secret. If anything goes wrong, the drill
deletes its key itself, and says so.

Exit code:

    0  the function revoked the key, the record came over the record bus, and the key is gone
    1  anything else: the output says what
    2  wrong use: no such stack or bucket, or the bucket has two keys already; the drill made no key
"""

import json
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from stack import NOT_DONE, OK, WRONG_USE, Stack, Trouble, arguments, run

SOURCE = "lightsail-key-responder.drill"
DETAIL_TYPE = "Lightsail Bucket Access Key Exposed"
REASON = "drill"

# Lightsail API reference, "CreateBucketAccessKey".
MOST_KEYS = 2
POLL_SECONDS = 1.0
# How far before the start logs are read: a record is readable with a delay, and this machine's wall clock may be wrong.
CLOCK_TOLERANCE_MS = 600_000
# Lambda retries these, so another record may follow.
TRIED_AGAIN = {"failed", "unconfirmed", "search_incomplete"}


@dataclass
class Drill:
    """A drill on one bucket, with its throw-away key."""

    stack: Stack
    bucket: str
    region: str
    named: bool
    patience: float
    key: str | None = None
    started: float = field(default_factory=time.monotonic)
    gone_at: float | None = None

    def __post_init__(self) -> None:
        self.lightsail = self.stack.client("lightsail", self.region)

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    # The steps ----------------------------------------------------------------------------------------------------------

    def keys(self) -> list[str]:
        listed = self.lightsail.get_bucket_access_keys(bucketName=self.bucket)
        return [key["accessKeyId"] for key in listed["accessKeys"]]

    def make_key(self) -> None:
        """Makes the key. The call is not retried, because a second call would make a second key."""
        try:
            before = self.keys()
        except ClientError as error:
            text = f"the keys of bucket {self.bucket} in {self.region} cannot be read: {error}"
            raise Trouble(text, WRONG_USE) from error
        if len(before) >= MOST_KEYS:
            raise Trouble(
                f"bucket {self.bucket} has two keys, the most that a bucket may have: {', '.join(before)}. "
                "Drill on another bucket, or delete an unused key.",
                WRONG_USE,
            )
        once = self.stack.client("lightsail", self.region, once=True)
        try:
            # Keeps only the ID of the answer, never the secret.
            self.key = once.create_bucket_access_key(bucketName=self.bucket)["accessKey"]["accessKeyId"]
        except (ClientError, BotoCoreError) as error:
            # A new key may be the drill's or another user's, and the drill must not delete another user's key.
            new = [key for key in self.keys() if key not in before]
            hint = f"; new on the bucket since then: {', '.join(new)}: delete it if no other user made it" if new else ""
            raise Trouble(f"no key could be made on bucket {self.bucket}: {error}{hint}") from error

    def put_event(self) -> str:
        detail = {"accessKeyId": self.key, "region": self.region, "reason": REASON}
        if self.named:
            detail["bucketName"] = self.bucket
        entry = {
            "EventBusName": self.stack["AlertBusName"],
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Detail": json.dumps(detail),
        }
        answer = self.stack.client("events").put_events(Entries=[entry])["Entries"][0]
        if "EventId" not in answer:
            raise Trouble(f"the bus did not take the event: {answer.get('ErrorCode')} {answer.get('ErrorMessage')}")
        return answer["EventId"]

    def wait_for_record(self) -> dict[str, Any]:
        """Returns the last record of the key from the record bus. Meanwhile, checks whether the key is still listed."""
        logs = self.stack.client("logs")
        since = int(time.time() * 1000 - self.elapsed() * 1000) - CLOCK_TOLERANCE_MS
        seen: set[str] = set()
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            records = self.records(logs, since)
            # After the records: the key is gone before a record says so. The other way round, the last record could come
            # between the two, and the drill would never see the key gone.
            if self.gone_at is None and self.key not in self.keys():
                self.gone_at = self.elapsed()
            for record in records:
                text = f"{record['status_code']}: {record['message']}"
                if record["status_code"] not in TRIED_AGAIN:
                    return record
                if text not in seen:
                    seen.add(text)
                    print(f"A record, and Lambda tries again: {text}", flush=True)
            time.sleep(POLL_SECONDS)
        raise Trouble(
            f"no last record of {self.key} in {self.stack['RecordLogGroupName']} within {self.patience:.0f} s: "
            f"see the log of {self.stack['FunctionName']}, and docs/runbook.md"
        )

    def records(self, logs: Any, since: int) -> list[dict[str, Any]]:
        """Returns the records of the key, oldest first."""
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=self.stack["RecordLogGroupName"], startTime=since, filterPattern=f'"{self.key}"'
        )
        found = [json.loads(event["message"]).get("detail", {}) for page in pages for event in page["events"]]

        def key_of(record: dict[str, Any]) -> str | None:
            return ((record.get("unmapped") or {}).get("access_key") or {}).get("id")

        return sorted((record for record in found if key_of(record) == self.key), key=lambda record: record["time"])

    def clean_up(self) -> None:
        """Deletes the key if it is still listed. Always prints the result, so that no key stays alive unnoticed."""
        if self.key is None:
            return
        by_hand = (
            f"aws lightsail delete-bucket-access-key --region {self.region} "
            f"--bucket-name {self.bucket} --access-key-id {self.key}"
        )
        try:
            if self.key not in self.keys():
                print(f"The throw-away key {self.key} is gone.", flush=True)
                return
            self.lightsail.delete_bucket_access_key(bucketName=self.bucket, accessKeyId=self.key)
            for _ in range(10):
                if self.key not in self.keys():
                    print(f"The throw-away key {self.key} was still there: the drill deleted it.", flush=True)
                    return
                time.sleep(POLL_SECONDS)
            print(f"THE THROW-AWAY KEY {self.key} IS STILL LISTED. Delete it: {by_hand}", flush=True)
        except (ClientError, BotoCoreError) as error:
            print(f"THE THROW-AWAY KEY {self.key} MAY BE ALIVE ({error}). Delete it: {by_hand}", flush=True)


def main(given: list[str]) -> int:
    parser = arguments("Lets the deployed function revoke a throw-away key, and measures it.")
    parser.add_argument("--bucket", required=True, metavar="NAME")
    parser.add_argument("--region", metavar="REGION", help="Region of the bucket (the stack's)")
    parser.add_argument("--not-named", action="store_true", help="leave the bucket out: the function searches")
    parser.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="how long to wait for the record (120)")
    options = parser.parse_args(given)
    # SIGTERM must run the clean-up too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    stack = Stack(options.stack)
    for output in ("AlertBusName", "RecordLogGroupName", "FunctionName"):
        stack[output]
    drill = Drill(stack, options.bucket, options.region or stack.region, not options.not_named, options.timeout)
    try:
        drill.make_key()
        made = drill.elapsed()
        print(f"Made the throw-away key {drill.key} on bucket {drill.bucket} in {drill.region}.", flush=True)
        event, sent_at = drill.put_event(), datetime.now(UTC)
        put = drill.elapsed()
        print(f"Put event {event} on {stack['AlertBusName']}; waiting for the record ...", flush=True)
        record = drill.wait_for_record()
        seen = drill.elapsed()
        gone = drill.key not in drill.keys()
        print(f"{record['status_code']}: {record['message']}")
        print(times(record, made, put, seen, drill.gone_at, sent_at))
        if record["status_code"] == "dry_run":
            print("The function is in mode dry_run: it found the key and left it alone.")
        if record["status_code"] == "revoked" and not gone:
            print("THE RECORD SAYS THAT THE KEY IS GONE, BUT IT IS STILL LISTED.")
        return OK if record["status_code"] == "revoked" and gone else NOT_DONE
    finally:
        drill.clean_up()


def times(
    record: dict[str, Any], made: float, put: float, seen: float, gone: float | None, sent_at: datetime
) -> str:
    """Returns a line for each step. Each line names its clock, because two clocks do not agree to the millisecond."""
    timing = record["unmapped"]["timing_ms"]
    lambda_clock = "since the invocation, Lambda's clock"
    own_clock = "since the start, this machine's clock"

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    def milliseconds(name: str) -> str:
        value = timing.get(name)
        return seconds(None if value is None else value / 1000)

    recorded = record["time"] / 1000 - sent_at.timestamp()
    rows = [
        ("key created", seconds(made), own_clock),
        ("event put", seconds(put), own_clock),
        ("invocation", milliseconds("alert_to_invocation"), "since the event's time, EventBridge's (in seconds) and Lambda's"),
        ("first delete", milliseconds("delete_first_sent"), lambda_clock),
        ("delete sent", milliseconds("delete_sent"), f"{lambda_clock}; the attempt that AWS answered"),
        ("delete accepted", milliseconds("delete_accepted"), lambda_clock),
        ("verified gone", milliseconds("verified"), lambda_clock),
        ("key seen gone", seconds(gone), f"{own_clock}; checked every {POLL_SECONDS:.0f} s"),
        ("record made", seconds(recorded), "since the event was put, Lambda's clock and this machine's"),
        ("record seen", seconds(seen), f"{own_clock}; over the record bus, and with the delay of CloudWatch Logs"),
    ]
    return "\n".join(["step             seconds  measured", *(f"{step:16} {value:>7}  {clock}" for step, value, clock in rows)])


if __name__ == "__main__":
    run(main)
