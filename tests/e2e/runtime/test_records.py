"""The audit record is an interface: valid OCSF, one line of the log, whatever the log's settings are."""

import copy
import json
from datetime import datetime
from pathlib import Path

import alerts
import harness
import ocsf
import pytest
from alerts import BUCKET, KEY, SIBLING

SNAPSHOTS = Path(__file__).resolve().parents[2] / "integration" / "snapshots"


@pytest.fixture
def record(lightsail, start):
    """A record of the real function."""
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    return start().invoke(alerts.by_hand()).records[0]


def test_a_record_is_valid_ocsf(record):
    assert ocsf.faults(record) == []
    assert (record["class_uid"], record["type_uid"], record["metadata"]["version"]) == (7001, 700102, "1.8.0")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["time"], None),
        (["time"], "2026-11-24T03:00:00Z"),
        (["command_uid"], None),
        (["status_id"], 7),
        (["cloud"], None),
        (["cloud", "provider"], None),
        (["metadata", "product"], None),
        (["metadata", "secret"], "x"),
        (["outcome"], "revoked"),
        (["observables", 0, "type_id"], "19"),
    ],
    ids=lambda part: ".".join(map(str, part)) if isinstance(part, list) else None,
)
def test_a_broken_record_is_refused(path, value, record):
    broken = copy.deepcopy(record)
    *parents, member = path
    parent = broken
    for step in parents:
        parent = parent[step]
    if value is None:
        del parent[member]
    else:
        parent[member] = value
    assert ocsf.faults(broken) != []


def test_every_record_among_the_snapshots_is_valid_ocsf():
    snapshots = sorted(SNAPSHOTS.glob("*.snap"))
    assert snapshots, f"there are no snapshots in {SNAPSHOTS.name}/"
    for snapshot in snapshots:
        header, body = snapshot.read_text().removeprefix("---\n").split("\n---\n", 1)
        assert "source:" in header
        records = records_in(json.loads(body))
        assert records, f"{snapshot.name} holds no record"
        for each in records:
            assert ocsf.faults(each) == [], snapshot.name


@pytest.mark.parametrize("level", ["TRACE", "INFO", "ERROR"])
@pytest.mark.parametrize(
    ("event", "log_level"),
    [(alerts.by_hand(), "WARN"), (alerts.by_hand(accessKeyId="?"), "ERROR"), (b"not JSON", "ERROR")],
    ids=["revoked", "unreadable", "not JSON"],
)
def test_with_json_logging_every_line_is_json_and_the_record_is_there_at_every_level(
    event, log_level, level, lightsail, start
):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start(AWS_LAMBDA_LOG_FORMAT="JSON", AWS_LAMBDA_LOG_LEVEL=level)
    function.invoke(event)

    lines = [json.loads(line) for line in function.lines()]
    assert all(isinstance(line, dict) and line["level"] for line in lines)
    assert len(function.record_lines()) == 1
    line = function.record_lines()[0]
    metrics = {metric["Name"] for part in line["_aws"]["CloudWatchMetrics"] for metric in part["Metrics"]}
    assert "Records" in metrics
    assert set(line) == {"timestamp", "level", "message", "audit", "_aws", "FunctionName", "Outcome"} | metrics
    assert line["level"] == log_level
    assert line["timestamp"].endswith("Z") and datetime.fromisoformat(line["timestamp"]).tzinfo is not None
    assert line["message"] == line["audit"]["message"]


def test_with_text_logging_the_record_is_one_line_of_json_all_the_same(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start(AWS_LAMBDA_LOG_FORMAT="Text")
    answer = function.invoke(alerts.by_hand(reason="line one\nline two\r\n\u2028{\"audit\": 1}"))
    assert function.records() == answer.records != []


def test_the_first_record_of_a_process_says_cold_start_and_no_other(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start()
    for _ in range(3):
        assert function.invoke(alerts.by_hand()).error_type is None
    assert [record["unmapped"]["invocation"]["cold_start"] for record in function.records()] == [True, False, False]


def test_a_record_carries_lambdas_request_id_and_the_functions_account(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start()
    function.invoke(alerts.by_hand())
    record = function.records()[0]
    assert f"RequestId: {record['unmapped']['invocation']['request_id']} " in function.log()
    assert record["cloud"]["account"]["uid"] == harness.ACCOUNT


def records_in(value):
    """Every record anywhere in a JSON value."""
    if isinstance(value, dict):
        found = [value] if "class_uid" in value else []
        return found + [record for member in value.values() for record in records_in(member)]
    if isinstance(value, list):
        return [record for member in value for record in records_in(member)]
    return []


def test_records_are_found_wherever_they_are():
    record = {"class_uid": 7001}
    assert records_in({"records": [record, {"audit": record}]}) == [record, record]
    assert records_in({"records": []}) == records_in("class_uid") == []
