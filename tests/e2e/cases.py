"""The table in events/README.md -> what the simulator holds before an event, and the outcome that it must have.

The table is documentation and specification at once, so it is read and not repeated here. Its column "The simulator
holds" is one of five texts, a closed list: a text that is none of them is an error, never a guess.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).resolve().parents[2] / "events"

KEY_ON_ITS_BUCKET = "the key on its bucket"
BUCKET_WITHOUT_THE_KEY = "its bucket without the key"
KEY_ON_ANOTHER_BUCKET = "the key on another bucket"
KEYS_ON_TWO_BUCKETS = "the keys on two buckets"
NOTHING = "nothing"
WORLDS = (KEY_ON_ITS_BUCKET, BUCKET_WITHOUT_THE_KEY, KEY_ON_ANOTHER_BUCKET, KEYS_ON_TWO_BUCKETS, NOTHING)

KEY = r"AKIA[A-Z0-9]{16}"

# Spellings of the fields of an event by hand.
MANUAL_KEY = (["accessKeyId"], ["AccessKeyId"], ["access_key_id"])
MANUAL_BUCKET = (["bucketName"], ["BucketName"], ["bucket_name"])

# Keys that no event names. Each must be there in the end.
BYSTANDERS = ("AKIAI44QH8DHBEXAMPLE", "AKIAJ55QH8DHBEXAMPLE", "AKIAK66QH8DHBEXAMPLE", "AKIAL77QH8DHBEXAMPLE")


@dataclass(frozen=True)
class Case:
    """One row."""

    file: str
    holds: str
    outcomes: tuple[str, ...]

    @property
    def path(self) -> Path:
        return EVENTS / self.file


@dataclass(frozen=True)
class Bucket:
    """A bucket that the simulator holds before the event arrives."""

    region: str
    name: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """What an event says of keys, bucket and Region, wherever its kind says it."""

    keys: tuple[str, ...]
    bucket: str
    region: str
    has_bucket: bool

    @property
    def key(self) -> str | None:
        return self.keys[0] if self.keys else None


def table() -> list[Case]:
    """The rows of events/README.md, in its order."""
    row = r"^\| `([^`]+)` \| (?:[^|]+) \| ([^|]+) \| ((?:`[a-z_]+`(?:, )?)+) \|$"
    rows = re.findall(row, (EVENTS / "README.md").read_text(), re.M)
    return [Case(file, holds.strip(), tuple(re.findall(r"[a-z_]+", outcomes))) for file, holds, outcomes in rows]


def case_of(file: Path) -> Case | None:
    """The row of an event file; none for an event of the caller's own."""
    return next((case for case in table() if case.path == file.resolve()), None)


def holds_for(event: Any) -> str:
    """What the simulator holds before an event that is not in the table."""
    return KEY_ON_ITS_BUCKET if read(event).key else NOTHING


def world(holds: str, event: Any) -> list[Bucket]:
    """The buckets that one of the five texts means for `event`."""
    named = read(event)
    key = (named.key,) if named.key else ()
    first, second, third, *_ = (bystander for bystander in BYSTANDERS if bystander not in named.keys)
    if holds == KEY_ON_ITS_BUCKET:
        return [Bucket(named.region, named.bucket, (*key, first))]
    if holds == BUCKET_WITHOUT_THE_KEY:
        return [Bucket(named.region, named.bucket, (first,))]
    if holds == KEY_ON_ANOTHER_BUCKET:
        its_own = [Bucket(named.region, named.bucket, (first,))] if named.has_bucket else []
        return [*its_own, Bucket("eu-west-1", "backups-2019", (*key, second))]
    if holds == KEYS_ON_TWO_BUCKETS:
        here, there, *_ = named.keys
        elsewhere = Bucket("eu-west-1", "backups-2019", (there, second))
        return [Bucket(named.region, named.bucket, (here, first)), elsewhere]
    if holds == NOTHING:
        return [Bucket("us-east-1", "unrelated", (third,))]
    raise ValueError(f"events/README.md says that the simulator holds {holds!r}; accepted: {', '.join(WORLDS)}")


def read(event: Any) -> Named:
    """Looks where people, scripts and GuardDuty have their names, in whatever wrapper; other sources' keys are taken from
    the text, which is good enough for a stage set. What cannot be such a name is passed over, as the function does."""
    alerts = [at(found, "detail") or found for found in unwrapped(event)]
    given = [at(alert, *path) for alert in alerts for path in (*MANUAL_KEY, ["resource", "accessKeyDetails", "accessKeyId"])]
    keys = [key for item in given for key in (item if isinstance(item, list) else [item])]
    keys = [key for key in keys if isinstance(key, str) and re.fullmatch(KEY, key)]
    buckets = [at(alert, *path) for alert in alerts for path in (*MANUAL_BUCKET, ["resource", "s3BucketDetails", 0, "name"])]
    bucket = first_match(r"[a-z0-9][a-z0-9-]{1,52}[a-z0-9]", buckets)
    return Named(
        keys=tuple(dict.fromkeys(keys or re.findall(rf"\b{KEY}\b", json.dumps(event))[:1])),
        bucket=bucket or "photos",
        region=first_match(r"[a-z]{2}(-[a-z]+)+-\d", [at(alert, name) for alert in alerts for name in ("region", "Region")]) or "us-east-1",
        has_bucket=bucket is not None,
    )


def unwrapped(event: Any) -> Iterator[Any]:
    """The events in an event of SQS or SNS or in JSON text, or the event itself."""
    records = at(event, "Records")
    inner = [at(event, "body"), at(event, "Sns", "Message"), at(event, "Message")]
    message = next((message for message in inner if isinstance(message, (str, dict))), None)
    if isinstance(records, list):
        for record in records:
            yield from unwrapped(record)
    elif message is not None:
        yield from unwrapped(message)
    elif isinstance(event, str):
        try:
            yield from unwrapped(json.loads(event))
        except ValueError:
            return
    else:
        yield event


def at(value: Any, *path: str | int) -> Any:
    """The value at `path`, or none."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def first_match(pattern: str, texts: list[Any]) -> str | None:
    fits = (text for text in texts if isinstance(text, str) and re.fullmatch(pattern, text))
    return next(fits, None)
