"""Measures the metrics of a made-up week of alerts: the built function under AWS's emulator, with a simulated AWS.

    dashboard_data.py --bootstrap PROGRAM --simulator PROGRAM DATA.json

Runs some eighty alerts, of every outcome, one after another. Of each it keeps the log lines, which carry the metrics,
and the emulator's report of the invocation. `scripts/dashboard_picture.py` draws them. The time of each alert in the
week is made up, and so is the latency of AWS. Everything else is measured. An outcome other than the planned one is an
error.
"""

import argparse
import json
import random
import re
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import alerts  # noqa: E402
import cases  # noqa: E402
import harness  # noqa: E402
from alerts import BUCKET, KEY, SIBLING  # noqa: E402

HERE = harness.REGION
WEEK_HOURS = 7 * 24
CALLS = ("DeleteBucketAccessKey", "GetBucketAccessKeys", "GetBuckets", "GetOperation")
DENIED = {"kind": "access_denied"}

# Alerts that end as `revoked`. Their time, if any, is at the top level, where `run` can set it: others have it deep
# inside.
SOURCES = [
    "guardduty-s3-exfiltration.json",
    "guardduty-iam-compromised-credentials.json",
    "exposed-key-event.json",
    "health-credentials-exposed.json",
    "trusted-advisor-exposed-access-keys.json",
    "security-hub-imported.json",
    "security-hub-v2.json",
    "github-secret-scanning-with-secret.json",
    "manual.json",
]
NOTHING_TO_DO = ["guardduty-sample.json", "guardduty-actor-only.json", "github-secret-scanning-assigned.json", "health-instance-retirement.json"]


@dataclass
class Step:
    """One alert: its hour in the week, the simulator's buckets and faults, and the expected outcome."""

    hour: float
    outcome: str
    event: Any
    buckets: list[cases.Bucket] = field(default_factory=list)
    faults: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    function: str = "usual"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dashboard_data.py", description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", type=Path, required=True, help="the built function")
    parser.add_argument("--simulator", type=Path, required=True, help="the built Lightsail simulator")
    parser.add_argument("data", type=Path, metavar="DATA.json", help="file to write the data to")
    options = parser.parse_args(arguments)
    data = collect(options.bootstrap, options.simulator, sorted(week(), key=lambda step: step.hour))
    options.data.write_text(json.dumps({"hours": WEEK_HOURS, "steps": data}, indent=1) + "\n")
    print(f"{len(data)} alerts, {sum(len(step['lines']) for step in data)} lines with metrics: {options.data}")
    return 0


def week() -> list[Step]:
    """A quiet week, with three hours in which a changed policy denies the function's calls."""
    chance = random.Random(20)
    busy = [hour for hour in range(WEEK_HOURS) if 7 <= hour % 24 <= 20]

    def random_hours(count: int) -> list[float]:
        return [chance.choice(busy) + chance.random() for _ in range(count)]

    steps = [from_file(hour, SOURCES[n % len(SOURCES)]) for n, hour in enumerate(random_hours(34))]
    ignored = enumerate(random_hours(9))
    steps += [from_file(hour, NOTHING_TO_DO[n % len(NOTHING_TO_DO)], "ignored") for n, hour in ignored]
    # Repeats of an alert: an updated finding, or an event that was delivered twice.
    steps += [Step(hour, "already_absent", finding(), [bucket(SIBLING)]) for hour in random_hours(7)]
    elsewhere = [cases.Bucket("eu-west-1", "unrelated", (SIBLING,))]
    steps += [Step(hour, "not_lightsail_key", key_only(), elsewhere) for hour in random_hours(5)]
    steps += [Step(hour, "dry_run", alerts.by_hand(dryRun=True), [bucket(KEY, SIBLING)]) for hour in random_hours(3)]
    steps += [Step(hour, "unreadable", alerts.from_file("unknown-event.json")) for hour in random_hours(2)]
    other_account = alerts.from_file("guardduty-other-account.json")
    steps += [Step(hour, "wrong_account", fresh(other_account)) for hour in random_hours(2)]
    vault = cases.Bucket(HERE, "vault", (KEY, SIBLING))
    steps += [Step(hour, "protected", alerts.by_hand(bucketName="vault"), [vault]) for hour in random_hours(3)]
    never = ("DeleteBucketAccessKey", {"kind": "operation_pending", "polls": 10_000}, None)
    steps += [
        Step(hour, "unconfirmed", finding(), [bucket(KEY, SIBLING)], [never], "hasty") for hour in random_hours(2)
    ]
    steps += [Step(hour, "revoked", finding(), [bucket(KEY, SIBLING)], [], "without its bus") for hour in random_hours(2)]

    # The incident: AWS denies the calls and their retries. The alerts are sent again after the policy is fixed.
    no_delete = [("DeleteBucketAccessKey", DENIED, None)]
    no_look = [("GetBuckets", DENIED, "eu-west-3")]
    for n in range(4):
        steps.append(Step(106 + 0.7 * n, "failed", finding(), [bucket(KEY, SIBLING)], no_delete))
        steps.append(Step(106.2 + 0.7 * n, "search_incomplete", key_only(), elsewhere, no_look))
    steps += [Step(112 + 0.1 * n, "revoked", finding(), [bucket(KEY, SIBLING)]) for n in range(6)]
    return steps


def from_file(hour: float, name: str, outcome: str = "revoked") -> Step:
    (case,) = [case for case in cases.table() if case.file == name]
    event = alerts.from_file(name)
    return Step(hour, outcome, fresh(event), cases.world(case.holds, event))


def fresh(event: Any) -> Any:
    """Clears the time of an EventBridge event, so that `run` sets it to the time of sending."""
    return {**event, "time": None} if "detail-type" in event else event


def finding() -> Any:
    return fresh(alerts.guardduty())


def key_only() -> Any:
    return alerts.by_hand(bucketName=None, region=None)


def bucket(*keys: str) -> cases.Bucket:
    return cases.Bucket(HERE, BUCKET, keys)


def collect(bootstrap: Path, simulator: Path, steps: list[Step]) -> list[dict[str, Any]]:
    """Runs the steps, and returns the data of each."""
    unused_endpoint = f"http://127.0.0.1:{harness.free_ports(1)[0]}"
    settings = {
        "usual": {"PROTECTED_BUCKETS": "vault"},
        # An operation that never ends needs a timeout of seconds here.
        "hasty": {"AWS_LAMBDA_FUNCTION_TIMEOUT": "4", "VERIFY_FOR": "0"},
        "without its bus": {"RECORD_BUS": "records", "AWS_ENDPOINT_URL_EVENTBRIDGE": unused_endpoint},
    }
    chance = random.Random(7)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lightsail = stack.enter_context(harness.simulator(simulator, scratch))
        functions = {}
        for name, more in settings.items():
            directory = scratch / name.replace(" ", "-")
            directory.mkdir()
            functions[name] = stack.enter_context(harness.function(bootstrap, lightsail.endpoint, directory, **more))
        return [run(step, functions[step.function], lightsail, chance) for step in steps]


def run(step: Step, function: harness.Function, lightsail: harness.Simulator, chance: random.Random) -> dict[str, Any]:
    lightsail.reset()
    for seed in step.buckets:
        lightsail.seed(seed.region, seed.name, list(seed.keys))
    # AWS responds in 20 to 120 ms, and sometimes later.
    latency = round(chance.uniform(20, 120) if chance.random() < 0.9 else chance.uniform(200, 600))
    for operation, fault, region in step.faults:
        scope = {"region": region} if region else {}
        lightsail.script(operation, fault, latency_ms=latency, **scope)
    for operation in CALLS:
        lightsail.script(operation, {"kind": "latency", "ms": latency})

    lines_before, reports_before = len(function.lines()), len(reports(function))
    event = step.event
    if isinstance(event, dict) and "time" in event:
        event = {**event, "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    answer = function.invoke(event)
    lines = [json.loads(line) for line in function.lines()[lines_before:] if line.startswith("{")]
    lines = [line for line in lines if "_aws" in line]
    outcomes = [line["audit"]["status_code"] for line in lines if "audit" in line]
    if outcomes != [step.outcome]:
        raise SystemExit(f"planned outcome {step.outcome}, got {outcomes}: {function.log()[-2000:]}")
    return {
        "hour": round(step.hour, 3),
        "lines": lines,
        "duration_ms": reports(function)[reports_before],
        "error": answer.error_type is not None,
    }


def reports(function: harness.Function) -> list[float]:
    """Returns the duration of each invocation in ms, from the emulator's REPORT lines."""
    log = function.stdout.read_text(errors="replace")
    return [float(duration) for duration in re.findall(r"\tDuration: ([0-9.]+) ms", log)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
