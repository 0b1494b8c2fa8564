"""docs/record.schema.json and the records say the same, both ways; and docs/record.md says what the schema says.

That no record has more than the schema allows is checked of every record of every test here (`start` in conftest.py).
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

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOTS = sorted((ROOT / "tests" / "snapshots").glob("*.snap"))
PAGE = (ROOT / "docs" / "record.md").read_text()

DELETE, FOLLOW, KEYS, BUCKETS = "DeleteBucketAccessKey", "GetOperation", "GetBucketAccessKeys", "GetBuckets"
MEMBER = "111122223333"

# What the schema allows and no record here has, each with the reason. By pointer: types, or values of an enumeration.
NEVER_SEEN = {
    # A panic is a fault of the code, and none is known: tests/responder/panicked.rs makes one, inside of the library.
    "#/$defs/failure/properties/kind": {"panicked"},
    # AWS has a message for every error, and so has the simulator; the API model requires none.
    "#/$defs/failure/properties/message/anyOf/1": {"null"},
    # Only a function that cannot read the account out of its own ARN does not know it. AWS's emulator hands one over.
    "#/$defs/unread/properties/account/anyOf/1": {"null"},
    # The simulator leaves out the two that decide something, when told to. AWS may leave out any (API model).
    **{f"#/$defs/operation/properties/{name}": {"null"} for name in ("id", "type", "resource_name", "resource_type")},
    **{f"#/$defs/operation/properties/{name}/anyOf/1": {"null"} for name in ("details", "created_at", "status_changed_at")},
    "#/$defs/operation/properties/location": {"null"},
    "#/$defs/operation/properties/location/properties/availability_zone": {"null"},
    "#/$defs/operation/properties/location/properties/region_name": {"null"},
}


def snapshot(file):
    return json.loads(file.read_text().removeprefix("---\n").split("\n---\n", 1)[1])


@pytest.mark.parametrize("file", SNAPSHOTS, ids=lambda file: file.stem)
def test_a_snapshot_is_what_the_schema_allows(file):
    assert record_schema.faults(snapshot(file)) == []


def changed(record, path, value):
    record = copy.deepcopy(record)
    *parents, member = path
    parent = record
    for step in parents:
        parent = parent[step]
    if value is LEFT_OUT:
        del parent[member]
    else:
        parent[member] = value
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
def test_a_changed_record_is_refused(path, value):
    record = snapshot(ROOT / "tests" / "snapshots" / "revoked_by_search.snap")
    assert record_schema.faults(record) == []
    assert record_schema.faults(changed(record, path, value)) != []


def test_every_object_of_the_schema_is_closed_and_everything_is_described():
    def parts(part):
        yield part
        for _, inner in record_schema.inner_parts("", part):
            yield from parts(inner)

    schema = record_schema.validator().schema
    all_parts = [part for root in (schema, *schema["$defs"].values()) for part in parts(root)]
    objects = [part for part in all_parts if "object" in record_schema.alternatives(part)]
    assert objects and all(part["additionalProperties"] is False for part in objects)
    members = [inner for part in objects for inner in part["properties"].values()]
    assert [inner for inner in members if not inner.get("description") and "$ref" not in inner] == []


# Whatever the records should have between them: each is a fault, and what it befalls.
FAULTS = [
    (DELETE, {"kind": kind})
    for kind in (
        "throttled",
        "access_denied",
        "unauthenticated",
        "invalid_input",
        "region_setup_in_progress",
        "service_exception",
        "reset_before",
        "reset_after",
        "not_json",
        "no_operations",
        "operation_failed",
    )
]
FAULTS += [
    (DELETE, {"kind": "error", "code": "TeapotException", "status": 418, "message": "short and stout"}),
    (DELETE, {"kind": "http_status", "status": 503}),
    (FOLLOW, {"kind": "access_denied"}),
    (KEYS, {"kind": "access_denied"}),
    (BUCKETS, {"kind": "access_denied"}),
]


def test_every_member_value_and_null_of_the_schema_is_in_some_record(lightsail, start):
    alone = start()
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

    # Lambda's time is a matter of seconds here: what never ends must end.
    short = start(AWS_LAMBDA_FUNCTION_TIMEOUT="3", VERIFY_FOR="0")
    for fault in ({"kind": "hang_before"}, {"kind": "operation_status", "status": None, "is_terminal": None}):
        lightsail.reset()
        lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
        lightsail.script(DELETE, fault)
        short.invoke(alerts.by_hand())

    # A member's role that is not there.
    lightsail.reset()
    central = start(MEMBER_ROLE_NAME="responder", ALLOWED_ACCOUNTS=MEMBER, SEARCH_REGIONS="eu-west-1")
    central.invoke(alerts.by_hand(accountId=MEMBER))
    central.invoke(alerts.by_hand(bucketName=None, region="nowhere"))

    functions = (alone, short, central)
    records = [*map(snapshot, SNAPSHOTS), *(record for function in functions for record in function.records())]
    seen, allowed = record_schema.used(records), record_schema.allowed()
    unseen = {pointer: values - seen.get(pointer, set()) for pointer, values in allowed.items()}
    unseen = {pointer: values for pointer, values in unseen.items() if values or pointer not in seen}
    assert {pointer: values for pointer, values in unseen.items() if NEVER_SEEN.get(pointer) != values} == {}
    assert NEVER_SEEN.keys() <= unseen.keys(), "a reason that no longer holds"


def test_a_member_that_no_record_has_would_be_noticed():
    record = snapshot(SNAPSHOTS[0])
    without = changed(record, ["unmapped", "reason"], LEFT_OUT)
    pointer = "#/properties/unmapped/properties/reason"
    assert pointer in record_schema.used([record]) and pointer not in record_schema.used([without])
    assert pointer in record_schema.allowed()


# The code -------------------------------------------------------------------------------------------------------------


def code(file):
    return (ROOT / "src" / file).read_text()


def outcomes():
    """Name, OCSF status and severity of every outcome, as src/outcome.rs has them, in its order."""
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


def test_the_outcomes_of_the_schema_are_those_of_the_code_with_their_status_and_severity():
    schema = record_schema.validator().schema
    said = {}
    for branch in schema["oneOf"]:
        members = {name: part["const"] for name, part in branch["properties"].items()}
        said[members["status_code"]] = (members["status_id"], members["status"], members["severity_id"])
    assert said == outcomes()
    assert schema["properties"]["status_code"]["enum"] == list(outcomes())


def test_the_kinds_of_failures_are_those_of_the_code():
    variants = re.search(r"pub enum FailureKind \{(.*?)\n\}", code("aws/failure.rs"), re.S)[1]
    kinds = [re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in re.findall(r"^    (\w+),$", variants, re.M)]
    assert record_schema.validator().schema["$defs"]["failure"]["properties"]["kind"]["enum"] == kinds


def test_the_version_of_the_shape_is_that_of_the_code():
    version = re.search(r'const SCHEMA: &str = "([^"]+)"', code("audit/record.rs"))[1]
    assert record_schema.validator().schema["properties"]["unmapped"]["properties"]["schema"]["const"] == version
    assert version in PAGE


# The page -------------------------------------------------------------------------------------------------------------


def test_the_pages_outcomes_are_those_of_the_code():
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d+) ([A-Za-z ]+) \| (\d) [A-Za-z]+ \|", PAGE, re.M)
    said = {name: (int(number), caption.strip(), int(severity)) for name, number, caption, severity in rows}
    assert said == outcomes() and list(said) == list(outcomes())


def test_the_page_tells_every_member_and_no_other():
    told = set(re.findall(r"^\| `([a-z_.\[\]]+)` \|", PAGE.split("## Fields")[1].split("\n## ")[0], re.M))
    assert told == set(paths(record_schema.validator().schema))


def paths(part, path=""):
    """Every member of the schema, as `unmapped.operations[].id`; what is constant or told once, without what is below."""
    if "$ref" in part:
        part = record_schema.validator().schema["$defs"][part["$ref"].rpartition("/")[2]]
    for name, inner in part.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        told_elsewhere = name == "countermeasures" or here == "unmapped.search.unread[].failure"
        below = [] if told_elsewhere else list(paths(inner, here))
        yield from below or [here]
    if "items" in part:
        yield from paths(part["items"], f"{path}[]")
    if path:
        for branch in (*part.get("oneOf", []), *part.get("anyOf", [])):
            yield from paths(branch, path)


def blocks():
    """The JSON in the page: patterns for events, and the example."""
    found = [json.loads(text) for text in re.findall(r"^```json\n(.*?)\n```$", PAGE, re.S | re.M)]
    return [one for one in found if "class_uid" not in one], [one for one in found if "class_uid" in one]


def test_the_pages_example_is_what_the_schema_allows():
    _, (example,) = blocks()
    assert record_schema.faults(example) == []
    assert ocsf.faults(example) == []


def test_each_pattern_of_the_page_matches_some_of_the_snapshots_events_and_only_the_first_all():
    source = re.search(r'const SOURCE: &str = "([^"]+)"', code("audit/bus.rs"))[1]
    detail_type = re.search(r'const DETAIL_TYPE: &str = "([^"]+)"', code("audit/bus.rs"))[1]
    events = [{"source": source, "detail-type": detail_type, "detail": snapshot(file)} for file in SNAPSHOTS]
    patterns, _ = blocks()
    assert len(patterns) >= 4
    for n, pattern in enumerate(patterns):
        matched = sum(EventPattern.load(json.dumps(pattern)).matches_event(event) for event in events)
        assert matched == len(events) if n == 0 else 0 < matched < len(events), pattern


def test_the_pages_queries_name_members_that_there_are():
    named = set(re.findall(r"\baudit\.([a-z_.0-9]*[a-z_])", PAGE))
    known = {path.replace("[]", ".0") for path in paths(record_schema.validator().schema)}
    known |= {path.replace("unmapped.", "unmapped.search.unread.0.") for path in known if path.startswith("unmapped.failure.")}
    assert len(named) > 10 and named <= known


def test_the_pages_metrics_are_those_of_the_code():
    table = PAGE.split("| Metric | Unit |")[1].split("\n\n")[0]
    told = {name: unit for name, unit in re.findall(r"^\| `(\w+)` \| (Count|Milliseconds)\b", table, re.M)}
    body = code("audit/metrics.rs")
    named = dict(re.findall(r'metric\("(\w+)", "(\w+)"\)', body))
    named |= {name: "Milliseconds" for name in re.findall(r'time\("(\w+)", self', body)}
    assert told == named
    assert re.search(r'const NAMESPACE: &str = "([^"]+)"', body)[1] in PAGE
