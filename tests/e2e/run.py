"""`make run`: lets one event loose on the built function, and tells what happened.

Starts the Lightsail simulator and AWS's Lambda runtime emulator on free loopback ports, puts the world of
events/README.md into the simulator, sends the event, and prints calls, record and judgement. Needs nothing but the
standard library and the emulator. It is a demonstration and a check at once: the exit code says what came out.

    0  Lambda sees no error
    1  an outcome is an error to Lambda or to the queue, as it should be
    2  wrong use, or something did not start
    3  the outcome is not the one that events/README.md says, or a key is gone that was not named
"""

import argparse
import json
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import cases
import harness

OK, LAMBDA_SEES_AN_ERROR, WRONG_USE, NOT_AS_EXPECTED = range(4)


@dataclass(frozen=True)
class Run:
    """What one event led to."""

    before: set[tuple[str, str, str]]
    after: set[tuple[str, str, str]]
    requests: list[dict[str, Any]]
    records: list[dict[str, Any]]
    answer: harness.Answer

    @property
    def outcomes(self) -> list[str]:
        return [record["status_code"] for record in self.records]

    @property
    def bystanders_lost(self) -> set[tuple[str, str, str]]:
        """Keys that are gone though no event names them."""
        return {lost for lost in self.before - self.after if lost[2] in cases.BYSTANDERS}


def main(arguments: list[str]) -> int:
    """Runs one event and prints what came of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = read_arguments(arguments)
    payload, event = read_event(options.event)
    case = cases.case_of(options.event)
    world = cases.world(case.holds if case else cases.holds_for(event), event)
    try:
        run = let_loose(options.bootstrap, options.simulator, payload, world, options.event)
    except (harness.DidNotStart, harness.Refused) as why:
        return complain(str(why))
    return report(run, case)


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description="Lets one event loose on the built function.")
    parser.add_argument("--bootstrap", type=Path, required=True, help="the built function")
    parser.add_argument("--simulator", type=Path, required=True, help="the built Lightsail simulator")
    parser.add_argument("event", type=Path, metavar="EVENT_FILE", help="a JSON file, such as events/manual.json")
    options = parser.parse_args(arguments)
    for program in (options.bootstrap, options.simulator):
        if not program.is_file():
            parser.error(f"there is no program {program}")
    return options


def read_event(file: Path) -> tuple[bytes, Any]:
    """The event as it is sent, and as it reads."""
    try:
        payload = file.read_bytes()
        return payload, json.loads(payload)
    except OSError as why:
        give_up(f"the event file {file} cannot be read: {why.strerror}")
    except (ValueError, RecursionError) as why:
        give_up(f"the event file {file} is not JSON: {why}")


def let_loose(
    bootstrap: Path, simulator: Path, payload: bytes, world: list[cases.Bucket], name: object = "an event"
) -> Run:
    """Sends `payload` to a fresh function in a fresh world."""
    with tempfile.TemporaryDirectory(prefix="key-responder-") as temporary:
        directory = Path(temporary)
        with harness.simulator(simulator.resolve(), directory) as lightsail:
            for bucket in world:
                lightsail.seed(bucket.region, bucket.name, list(bucket.keys))
            # As long as a call across an ocean: the read beside the delete sees the key.
            lightsail.script("DeleteBucketAccessKey", {"kind": "latency", "ms": 200})
            before = lightsail.keys()
            print_world(world)
            size = f"{len(payload)} bytes"
            print(f"\nSending {name} ({size}) to the function in AWS's Lambda runtime emulator ...", flush=True)
            with harness.function(bootstrap, lightsail.endpoint, directory) as function:
                answer = function.invoke(payload)
                records = function.records()
                if not records and not (answer.error_type or "Responder.").startswith("Responder."):
                    log = f"{harness.tail(function.stdout)}\n{harness.tail(function.stderr)}"
                    raise harness.DidNotStart(f"the function did not answer: {answer.error_type}\n{log}")
            return Run(before, lightsail.keys(), lightsail.requests(), records, answer)


def report(run: Run, case: cases.Case | None) -> int:
    """Prints a run, and judges it."""
    print_requests(run.requests)
    for record in run.records:
        print("\nThe audit record:")
        print(json.dumps(record, indent=2, ensure_ascii=False))
    again = run.answer.batch_failures
    print(f"\nLambda says: {run.answer.error_type or 'ok'}" + (f", to be delivered again: {', '.join(again)}" if again else ""))
    for record in run.records:
        print(f"{record['status_code']}: {record['message']}.")
    if run.bystanders_lost:
        print(f"NOT AS IT SHOULD BE: keys are gone that the event does not name: {places(run.bystanders_lost)}")
    else:
        left = {place for place in run.after if place[2] in cases.BYSTANDERS}
        print(f"All keys that the event does not name are still there: {places(left)}.")
    as_expected = sorted(run.outcomes) == sorted(case.outcomes) if case else bool(run.outcomes)
    if not run.records:
        print("NOT AS IT SHOULD BE: the function left no record.")
    if case:
        judgement = "As it should be" if as_expected else "NOT AS IT SHOULD BE"
        promised = ", ".join(f"`{outcome}`" for outcome in case.outcomes)
        print(f"{judgement}: events/README.md says {promised} for {case.file}.")
    if run.bystanders_lost or not as_expected:
        return NOT_AS_EXPECTED
    return LAMBDA_SEES_AN_ERROR if run.answer.error_type or again else OK


def print_world(world: list[cases.Bucket]) -> None:
    print("The simulator holds:")
    for bucket in world:
        print(f"  bucket {bucket.name} in {bucket.region} with {' and '.join(bucket.keys)}")


def print_requests(requests: list[dict[str, Any]]) -> None:
    print("\nThe calls that the simulator saw:" if requests else "\nThe simulator saw no call.")
    for number, seen in enumerate(requests, 1):
        late = seen["at_ms"] - requests[0]["at_ms"]
        place = f"{seen['region']:<14}  {seen.get('bucket', '')}".rstrip()
        print(f"  {number:>3}  {late:>5} ms  {seen['operation']:<21}  {place}")


def places(keys: set[tuple[str, str, str]]) -> str:
    return ", ".join(f"{key} of {bucket}" for _, bucket, key in sorted(keys)) or "none"


def complain(message: str) -> int:
    print(message, file=sys.stderr)
    return WRONG_USE


def give_up(message: str) -> NoReturn:
    sys.exit(complain(message))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
