"""One event -> the deployed function -> whether it did what there was to do."""

import json
from dataclasses import dataclass
from typing import Any

from stack import Stack


@dataclass(frozen=True)
class Answer:
    """What the function said to one event."""

    error: str | None
    payload: Any

    @property
    def lines(self) -> list[str]:
        """A line for each record of an invocation that succeeded."""
        records = self.payload.get("records") if isinstance(self.payload, dict) else None
        return [f"{record['status_code']}: {record['message']}" for record in records or []]


def invoke(stack: Stack, event: bytes) -> Answer:
    """Invokes the function and waits for its answer. Once only: a second invocation is for the caller to decide."""
    client = stack.client("lambda", once=True)
    answer = client.invoke(FunctionName=stack["FunctionName"], InvocationType="RequestResponse", Payload=event)
    text = answer["Payload"].read().decode(errors="replace")
    try:
        payload = json.loads(text)
    except ValueError:
        payload = text
    if answer.get("FunctionError"):
        return Answer(_error(payload), payload)
    again = payload.get("batchItemFailures") if isinstance(payload, dict) else None
    if again:
        return Answer(f"{len(again)} messages of the batch failed", payload)
    return Answer(None, payload)


def _error(payload: Any) -> str:
    if not isinstance(payload, dict):
        return "the function failed"
    return f"{payload.get('errorType', 'the function failed')}: {payload.get('errorMessage', '')}".rstrip(": ")
