"""Events for the tests: the ones in events/, bent a little."""

import copy
import json
from typing import Any

from cases import EVENTS

KEY = "AKIAIOSFODNN7EXAMPLE"
SIBLING = "AKIAI44QH8DHBEXAMPLE"
BUCKET = "photos"


def by_hand(**members: Any) -> dict[str, Any]:
    """A person's event for the key on its bucket; a member that is None is left out."""
    event = {"accessKeyId": KEY, "bucketName": BUCKET, "region": "us-east-1", **members}
    return {name: value for name, value in event.items() if value is not None}


def guardduty(detail: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """GuardDuty's finding for the key on its bucket, with members of the event and of its detail replaced."""
    event = copy.deepcopy(from_file("guardduty-s3-exfiltration.json"))
    event.update(members)
    event["detail"].update(detail or {})
    return event


def of_our_own(**members: Any) -> dict[str, Any]:
    """A scanner's EventBridge event for the key on its bucket in eu-central-1, with members replaced."""
    return {**from_file("exposed-key-event.json"), **members}


def from_file(name: str) -> Any:
    return json.loads((EVENTS / name).read_text())
