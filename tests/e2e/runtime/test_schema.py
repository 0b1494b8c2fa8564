"""Compares docs/record.schema.json with the records in both directions, and docs/record.md with the schema.

The fixture `start` in conftest.py validates every record of every test, so that no record has more than the schema
allows.
"""

import copy
import json
import re
from pathlib import Path

import alerts
import cases
import ocsf
import pytest
import record_schema
from alerts import BUCKET, KEY, SIBLING
from moto.events.models import EventPattern

ROOT = Path(__file__).resolve().parents[3]
SNAPSHOTS = sorted((ROOT / "tests" / "integration" / "snapshots").glob("*.snap"))
PAGE = (ROOT / "docs" / "record.md").read_text()

DELETE, FOLLOW, KEYS, BUCKETS = "DeleteBucketAccessKey", "GetOperation", "GetBucketAccessKeys", "GetBuckets"
MEMBER = "111122223333"

# What the schema allows and no record here has, each with the reason. By pointer: types, or values of an enumeration.
UNUSED = {
    # A panic is a bug in the code, and none is known. tests/integration/panicked.rs makes one inside the library.
    "#/$defs/failure/properties/kind": {"panicked"},
    # AWS and the simulator have a message for every error, but the API model requires none.
    "#/$defs/failure/properties/message/anyOf/1": {"null"},
    # The simulator can leave out only the two fields that decide something. AWS may leave out any (API model).
    **{f"#/$defs/operation/properties/{name}": {"null"} for name in ("id", "type", "resource_name", "resource_type")},
    **{f"#/$defs/operation/properties/{name}/anyOf/1": {"null"} for name in ("details", "created_at", "status_changed_at")},
    "#/$defs/operation/properties/location": {"null"},
    "#/$defs/operation/properties/location/properties/availability_zone": {"null"},
    "#/$defs/operation/properties/location/properties/region_name": {"null"},
}


def snapshot(file):
    return json.loads(file.read_text().removeprefix("---\n").split("\n---\n", 1)[1])


@pytest.mark.parametrize("file", SNAPSHOTS, ids=lambda file: file.stem)
def test_snapshot_is_valid(file):
    assert record_schema.faults(snapshot(file)) == []


def changed(record, path, value):
    record = copy.deepcopy(record)
    *parents, field = path
    parent = record
    for step in parents:
        parent = parent[step]
    if value is LEFT_OUT:
        del parent[field]
    else:
        parent[field] = value
    return record


LEFT_OUT = object()
CHANGES = [
    (["outcome"], "revoked"),
    (["remediation"], LEFT_OUT),
    (["time"], "2026-11-24T03:00:00Z"),
    (["status_code"], "deleted"),
    (["status_id"], 2),
    (["status"], "Failure"),
    (["severity_id"], 1),
    (["observables", 0, "type_id"], 10),
    (["cloud", "account", "uid"], "12345678901"),
    (["unmapped", "secret_access_key"], "x"),
    (["unmapped", "schema"], "lightsail-key-responder/v2"),
    (["unmapped", "reason"], LEFT_OUT),
    (["unmapped", "access_key", "id"], "ASIAIOSFODNN7EXAMPLE"),
    (["unmapped", "access_key", "evidence"], "seen"),
    (["unmapped", "access_key", "last_used"], "never"),
    (["unmapped", "alert", "product_arn"], LEFT_OUT),
    (["unmapped", "alert", "observed_at"], "2026-11-24 03:00:00"),
    (["unmapped", "alert", "reason"], "two\nlines"),
    (["unmapped", "bucket", "found_by"], "chance"),
    (["unmapped", "operations", 0, "docs"], "x"),
    (["unmapped", "operations", 0, "location", "region_name"], 1),
    (["unmapped", "verification", "reads"], -1),
    (["unmapped", "timing_ms", "verified"], 7.5),
    (["unmapped", "failure"], {"operation": "DeleteBucketAccessKey"}),
]


@pytest.mark.parametrize(
    ("path", "value"), CHANGES, ids=lambda part: ".".join(map(str, part)) if isinstance(part, list) else None
)
def test_changed_record_is_invalid(path, value):
    record = snapshot(ROOT / "tests" / "integration" / "snapshots" / "revoked_by_search.snap")
    assert record_schema.faults(record) == []
    assert record_schema.faults(changed(record, path, value)) != []


def test_schema_is_closed_and_described():
    def parts(part):
        yield part
        for _, inner in record_schema.inner_parts("", part):
            yield from parts(inner)

    schema = record_schema.validator().schema
    all_parts = [part for root in (schema, *schema["$defs"].values()) for part in parts(root)]
    objects = [part for part in all_parts if "object" in record_schema.alternatives(part)]
    assert objects and all(part["additionalProperties"] is False for part in objects)
    fields = [inner for part in objects for inner in part["properties"].values()]
    assert [inner for inner in fields if not inner.get("description") and "$ref" not in inner] == []


# Faults that make the records use the whole schema. Those of the first list are retried with backoff, each in a Region.
RETRIED = {
    "us-east-1": {"kind": "throttled"},
    "us-west-2": {"kind": "service_exception"},
    "eu-west-1": {"kind": "reset_before"},
    "eu-west-2": {"kind": "reset_after"},
    "eu-central-1": {"kind": "not_json"},
    "ap-southeast-2": {"kind": "http_status", "status": 503},
}
# The operation, and its fault.
FAULTS = [
    (DELETE, {"kind": kind})
    for kind in (
        "access_denied",
        "unauthenticated",
        "invalid_input",
        "region_setup_in_progress",
        "no_operations",
        "operation_failed",
    )
]
FAULTS += [
    (DELETE, {"kind": "error", "code": "TeapotException", "status": 418, "message": "short and stout"}),
    (FOLLOW, {"kind": "access_denied"}),
    (KEYS, {"kind": "access_denied"}),
    (BUCKETS, {"kind": "access_denied"}),
]


def test_records_use_whole_schema(lightsail, start):
    # These records need no repeated reads of the keys.
    alone = start(VERIFY_FOR="0")
    for case in cases.table():
        event = json.loads(case.path.read_text())
        lightsail.reset()
        for bucket in cases.world(case.holds, event):
            lightsail.seed(bucket.region, bucket.name, list(bucket.keys))
        alone.invoke(event)
    alone.invoke(b"not JSON")

    used = {"lastUsedDate": "2026-11-23T22:10:00Z", "region": "eu-west-1", "serviceName": "s3"}
    for operation, fault in FAULTS:
        lightsail.reset()
        lightsail.seed("us-east-1", BUCKET, [{"id": KEY, "lastUsed": used}, SIBLING])
        lightsail.script(operation, fault)
        alone.invoke(alerts.by_hand())
        alone.invoke(alerts.by_hand(bucketName=None, reason="a drill"))

    # A Region that nobody knows, and one that the account has not enabled.
    lightsail.reset()
    refusal = {"kind": "error", "code": "UnrecognizedClientException", "status": 400, "message": "not enabled"}
    lightsail.script(BUCKETS, refusal, region="ap-east-1")
    alone.invoke(alerts.by_hand(bucketName=None, region="mx-central-1"))

    # One payload with an alert for each Region, so that the function waits for all retries at once.
    lightsail.reset()
    batch = []
    for number, (region, fault) in enumerate(RETRIED.items()):
        key, bucket = f"AKIAEXAMPLE{number:09}", f"photos-{region}"
        lightsail.seed(region, bucket, [key])
        lightsail.script(DELETE, fault, region=region)
        batch.append(alerts.by_hand(accessKeyId=key, bucketName=bucket, region=region))
    alone.invoke(batch)

    # A short timeout, because these operations never end.
    short = start(AWS_LAMBDA_FUNCTION_TIMEOUT="3", VERIFY_FOR="0")
    for fault in ({"kind": "hang_before"}, {"kind": "operation_status", "status": None, "is_terminal": None}):
        lightsail.reset()
        lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
        lightsail.script(DELETE, fault)
        short.invoke(alerts.by_hand())

    # The role in the member account does not exist.
    lightsail.reset()
    central = start(MEMBER_ROLE_NAME="responder", ALLOWED_ACCOUNTS=MEMBER, SEARCH_REGIONS="eu-west-1")
    central.invoke(alerts.by_hand(accountId=MEMBER))
    central.invoke(alerts.by_hand(bucketName=None, region="nowhere"))

    functions = (alone, short, central)
    records = [*map(snapshot, SNAPSHOTS), *(record for function in functions for record in function.records())]
    used, allowed = record_schema.used(records), record_schema.allowed()
    unused = {pointer: values - used.get(pointer, set()) for pointer, values in allowed.items()}
    unused = {pointer: values for pointer, values in unused.items() if values or pointer not in used}
    assert {pointer: values for pointer, values in unused.items() if UNUSED.get(pointer) != values} == {}
    assert UNUSED.keys() <= unused.keys(), "a stale reason"


def test_unused_field_is_noticed():
    record = snapshot(SNAPSHOTS[0])
    without = changed(record, ["unmapped", "reason"], LEFT_OUT)
    pointer = "#/properties/unmapped/properties/reason"
    assert pointer in record_schema.used([record]) and pointer not in record_schema.used([without])
    assert pointer in record_schema.allowed()


# The code -------------------------------------------------------------------------------------------------------------


def code(file):
    return (ROOT / "src" / file).read_text()


def outcomes():
    """Returns name, OCSF status and severity of every outcome, in the order of src/outcome.rs."""
    text = code("outcome.rs")
    names = dict(re.findall(r"Self::(\w+) => \"([a-z_]+)\"", text))
    statuses = {
        variant: (int(number), caption)
        for variants, number, caption in re.findall(r"((?:Self::\w+(?: \| )?)+) => \((\d+), \"([^\"]+)\"\)", text)
        for variant in re.findall(r"Self::(\w+)", variants)
    }
    body = re.search(r"fn ocsf_severity\(self\) -> u8 \{(.*?)\n    \}", text, re.S)[1]
    severities = {
        variant: int(number)
        for variants, number in re.findall(r"((?:\s*\|?\s*Self::\w+)+) => (\d+)", body)
        for variant in re.findall(r"Self::(\w+)", variants)
    }
    order = re.findall(r"Outcome::(\w+),", re.search(r"pub const ALL[^=]+= \[(.*?)\];", text, re.S)[1])
    return {names[variant]: (*statuses[variant], severities[variant]) for variant in order}


def test_schema_outcomes_match_code():
    schema = record_schema.validator().schema
    documented = {}
    for branch in schema["oneOf"]:
        fields = {name: part["const"] for name, part in branch["properties"].items()}
        documented[fields["status_code"]] = (fields["status_id"], fields["status"], fields["severity_id"])
    assert documented == outcomes()
    assert schema["properties"]["status_code"]["enum"] == list(outcomes())


def test_schema_failure_kinds_match_code():
    variants = re.search(r"pub enum FailureKind \{(.*?)\n\}", code("aws/failure.rs"), re.S)[1]
    kinds = [re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in re.findall(r"^    (\w+),$", variants, re.M)]
    assert record_schema.validator().schema["$defs"]["failure"]["properties"]["kind"]["enum"] == kinds


def test_schema_version_matches_code():
    version = re.search(r'const SCHEMA: &str = "([^"]+)"', code("audit/record.rs"))[1]
    assert record_schema.validator().schema["properties"]["unmapped"]["properties"]["schema"]["const"] == version
    assert version in PAGE


# The page -------------------------------------------------------------------------------------------------------------


def test_page_outcomes_match_code():
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) ([A-Za-z ]+) \| (\d) [A-Za-z]+ \|", PAGE, re.M)
    documented = {name: (int(number), caption.strip(), int(severity)) for name, number, caption, severity in rows}
    assert documented == outcomes() and list(documented) == list(outcomes())


def test_page_has_exactly_schema_fields():
    documented = set(re.findall(r"^\| `([a-z_.\[\]]+)` \|", PAGE.split("## Fields")[1].split("\n## ")[0], re.M))
    assert documented == set(paths(record_schema.validator().schema))


def paths(part, path=""):
    """Yields the path of every field of the schema, such as `unmapped.operations[].id`. Parts that are constant, or
    that the page documents elsewhere, come without the fields below them."""
    if "$ref" in part:
        part = record_schema.validator().schema["$defs"][part["$ref"].rpartition("/")[2]]
    for name, inner in part.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        collapsed = name == "countermeasures" or here == "unmapped.search.unread[].failure"
        below = [] if collapsed else list(paths(inner, here))
        yield from below or [here]
    if "items" in part:
        yield from paths(part["items"], f"{path}[]")
    if path:
        for branch in (*part.get("oneOf", []), *part.get("anyOf", [])):
            yield from paths(branch, path)


def blocks():
    """Returns the JSON blocks of the page: event patterns, and the example."""
    found = [json.loads(text) for text in re.findall(r"^```json\n(.*?)\n```$", PAGE, re.S | re.M)]
    return [block for block in found if "class_uid" not in block], [block for block in found if "class_uid" in block]


def test_page_example_is_valid():
    _, (example,) = blocks()
    assert record_schema.faults(example) == []
    assert ocsf.faults(example) == []


def test_page_patterns_match_snapshots():
    """The first pattern matches the event of every snapshot. Every other pattern matches some, but not all."""
    source = re.search(r'const SOURCE: &str = "([^"]+)"', code("audit/bus.rs"))[1]
    detail_type = re.search(r'const DETAIL_TYPE: &str = "([^"]+)"', code("audit/bus.rs"))[1]
    events = [{"source": source, "detail-type": detail_type, "detail": snapshot(file)} for file in SNAPSHOTS]
    patterns, _ = blocks()
    assert len(patterns) >= 4
    for n, pattern in enumerate(patterns):
        matched = sum(EventPattern.load(json.dumps(pattern)).matches_event(event) for event in events)
        assert matched == len(events) if n == 0 else 0 < matched < len(events), pattern


def test_page_queries_use_known_fields():
    queried = set(re.findall(r"\baudit\.([a-z_.0-9]*[a-z_])", PAGE))
    known = {path.replace("[]", ".0") for path in paths(record_schema.validator().schema)}
    failure = [path for path in known if path.startswith("unmapped.failure.")]
    known |= {path.replace("unmapped.", "unmapped.search.unread.0.") for path in failure}
    assert len(queried) > 10 and queried <= known


def test_page_metrics_match_code():
    table = PAGE.split("| Metric | Unit |")[1].split("\n\n")[0]
    documented = {name: unit for name, unit in re.findall(r"^\| `(\w+)` \| (Count|Milliseconds)\b", table, re.M)}
    body = code("audit/metrics.rs")
    emitted = dict(re.findall(r'metric\("(\w+)", "(\w+)"\)', body))
    emitted |= {name: "Milliseconds" for name in re.findall(r'time\("(\w+)", self', body)}
    assert documented == emitted
    assert re.search(r'const NAMESPACE: &str = "([^"]+)"', body)[1] in PAGE
