"""The table in events/README.md -> what the simulator holds before an event, and the outcome that it must have.

The table is documentation and specification at once, so it is read and not repeated here. Its column "The simulator
holds" is one of four texts, a closed list: a text that is none of them is an error, never a guess.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).resolve().parents[2] / "events"

KEY_ON_ITS_BUCKET = "the key on its bucket"
BUCKET_WITHOUT_THE_KEY = "its bucket without the key"
KEY_ON_ANOTHER_BUCKET = "the key on another bucket"
NOTHING = "nothing"
WORLDS = (KEY_ON_ITS_BUCKET, BUCKET_WITHOUT_THE_KEY, KEY_ON_ANOTHER_BUCKET, NOTHING)

# Keys that no event names. Each must be there in the end.
BYSTANDERS = ("AKIAI44QH8DHBEXAMPLE", "AKIAJ55QH8DHBEXAMPLE", "AKIAK66QH8DHBEXAMPLE", "AKIAL77QH8DHBEXAMPLE")


@dataclass(frozen=True)
class Case:
    """One row."""

    file: str
    holds: str
    outcome: str

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
    """What an event says of key, bucket and Region, wherever its kind says it."""

    key: str | None
    bucket: str
    region: str
    has_bucket: bool


def table() -> list[Case]:
    """The rows of events/README.md, in its order."""
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| ([^|]+) \| `([a-z_]+)` \|$", (EVENTS / "README.md").read_text(), re.M)
    return [Case(file, holds.strip(), outcome) for file, holds, outcome in rows]


def case_of(file: Path) -> Case | None:
    """The row of an event file; none for an event of the caller's own."""
    return next((case for case in table() if case.path == file.resolve()), None)


def holds_for(event: Any) -> str:
    """What the simulator holds before an event that is not in the table."""
    return KEY_ON_ITS_BUCKET if read(event).key else NOTHING


def world(holds: str, event: Any) -> list[Bucket]:
    """The buckets that one of the four texts means for `event`."""
    named = read(event)
    key = (named.key,) if named.key else ()
    first, second, third, *_ = (bystander for bystander in BYSTANDERS if bystander != named.key)
    if holds == KEY_ON_ITS_BUCKET:
        return [Bucket(named.region, named.bucket, (*key, first))]
    if holds == BUCKET_WITHOUT_THE_KEY:
        return [Bucket(named.region, named.bucket, (first,))]
    if holds == KEY_ON_ANOTHER_BUCKET:
        its_own = [Bucket(named.region, named.bucket, (first,))] if named.has_bucket else []
        return [*its_own, Bucket("eu-west-1", "backups-2019", (*key, second))]
    if holds == NOTHING:
        return [Bucket("us-east-1", "unrelated", (third,))]
    raise ValueError(f"events/README.md says that the simulator holds {holds!r}; accepted: {', '.join(WORLDS)}")


def read(event: Any) -> Named:
    """Looks where each kind of event has its names. What cannot be such a name is passed over, as the function does."""
    alert = at(event, "detail") if at(event, "detail-type") else event
    keys = [at(alert, "accessKeyId"), at(alert, "resource", "accessKeyDetails", "accessKeyId")]
    buckets = [at(alert, "bucketName"), at(alert, "resource", "s3BucketDetails", 0, "name")]
    bucket = first_match(r"[a-z0-9][a-z0-9-]{1,52}[a-z0-9]", buckets)
    return Named(
        key=first_match(r"AKIA[A-Z0-9]{16}", keys),
        bucket=bucket or "photos",
        region=first_match(r"[a-z]{2}(-[a-z]+)+-\d", [at(alert, "region")]) or "us-east-1",
        has_bucket=bucket is not None,
    )


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
