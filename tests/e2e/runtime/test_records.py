"""The audit record is an interface: valid OCSF, one line of the log, whatever the log's settings are."""

import json
from datetime import datetime
from pathlib import Path

import alerts
import harness
import ocsf
import pytest
from alerts import BUCKET, KEY, SIBLING

SNAPSHOTS = Path(__file__).resolve().parents[2] / "integration" / "snapshots"


def record_of(snapshot):
    header, body = snapshot.read_text().removeprefix("---\n").split("\n---\n", 1)
    assert "source:" in header
    return json.loads(body)


def test_record_is_valid_ocsf(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    record = start().invoke(alerts.by_hand()).records[0]
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
def test_changed_record_is_invalid_ocsf(path, value):
    broken = record_of(SNAPSHOTS / "revoked_by_name.snap")
    assert ocsf.faults(broken) == []
    *parents, member = path
    parent = broken
    for step in parents:
        parent = parent[step]
    if value is None:
        del parent[member]
    else:
        parent[member] = value
    assert ocsf.faults(broken) != []


def test_snapshots_are_valid_ocsf():
    snapshots = sorted(SNAPSHOTS.glob("*.snap"))
    assert snapshots, f"there are no snapshots in {SNAPSHOTS.name}/"
    assert {snapshot.name: faults for snapshot in snapshots if (faults := ocsf.faults(record_of(snapshot)))} == {}


@pytest.mark.parametrize("level", ["TRACE", "INFO", "ERROR"])
@pytest.mark.parametrize(
    ("event", "log_level"),
    [(alerts.by_hand(), "WARN"), (alerts.by_hand(accessKeyId="?"), "ERROR"), (b"not JSON", "ERROR")],
    ids=["revoked", "unreadable", "not JSON"],
)
def test_json_log_has_record_at_each_level(event, log_level, level, lightsail, start):
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


def test_text_log_has_record_in_one_json_line(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start(AWS_LAMBDA_LOG_FORMAT="Text")
    answer = function.invoke(alerts.by_hand(reason="line one\nline two\r\n\u2028{\"audit\": 1}"))
    assert function.records() == answer.records != []


def test_record_has_request_id_and_account(lightsail, start):
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    function = start()
    function.invoke(alerts.by_hand())
    record = function.records()[0]
    assert f"RequestId: {record['unmapped']['invocation']['request_id']} " in function.log()
    assert record["cloud"]["account"]["uid"] == harness.ACCOUNT
