"""`make bench`: from process start to `DeleteBucketAccessKey` read by the server, side by side with what else one could run.

Measures, in one run and in turns: the release artefact; `naive`, the function of the first day in Rust; the same in Python;
and `floor`, which does nothing but what no client can leave out. Then counts what the time is made of, times the artefact
when it is warm, prints the tables, and writes them into docs/performance.md, between its two marks, and into a file for the
plot. It judges nothing: figures are those of this machine, and only ratios of one run compare. What CI holds is in
test_cost.py.
"""

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from stand import BUCKET, KEY, REGION, ROOT, Program, Stand, StandFailed, SystemCalls, instructions, system_calls

FAILED = 1
MEMORY_MB = (128, 256, 512, 1024, 1769)
MARKS = ("<!-- `make bench` writes from here -->", "<!-- to here -->")
ARTEFACT, NAIVE, BOTO3, FLOOR = "this function", "naive Rust", "boto3", "floor"
# A batch of SQS, as the template sets it up.
BATCH = 10

Seen = list[dict[str, Any]]
Row = list[str]


def main(arguments: list[str]) -> int:
    """Measures, prints, and writes both files."""
    options = read_arguments(arguments)
    programs = [
        Program(ARTEFACT, (str(options.artefact),)),
        Program(NAIVE, (str(options.naive),)),
        Program(BOTO3, (str(options.python), "-m", "awslambdaric", "function.handler"), in_python(options.python)),
        Program(FLOOR, (str(options.floor),)),
    ]
    trusted = subprocess.run(
        [options.python, "-c", "import certifi; print(certifi.where())"], capture_output=True, text=True, check=True
    )
    stand = Stand(options.stand, Path(trusted.stdout.strip()))
    try:
        found = measure(options, stand, programs)
    except StandFailed as why:
        print(why, file=sys.stderr)
        return FAILED
    text = report(found)
    print(text)
    write_between_marks(options.report, text)
    options.data.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.py", description="Measures cold starts, side by side, and warm alerts.")
    for name in ("artefact", "naive", "floor", "stand", "python", "valgrind", "strace", "report", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--starts", type=int, default=64, metavar="N", help="cold starts of each program, 64 or more [64]")
    options = parser.parse_args(arguments)
    if options.starts < 2:
        parser.error("--starts is less than 2: the first is left out")
    for name in ("artefact", "naive", "floor", "stand", "python", "valgrind", "strace"):
        if not os.access(getattr(options, name), os.X_OK):
            parser.error(f"--{name}: there is no program {getattr(options, name)}")
    return options


def in_python(python: Path) -> dict[str, str]:
    """Lambda's own image has its packages compiled already; so have ours after the first start, which is left out."""
    return {"PYTHONPATH": str(ROOT / "tests/bench/boto3"), "PATH": f"{python.parent}:{os.environ['PATH']}"}


def measure(options: argparse.Namespace, stand: Stand, programs: list[Program]) -> dict[str, Any]:
    """Everything, in the order of the report."""
    print(f"Cold starts: {options.starts} of each program, in turns ...", file=sys.stderr)
    # One more, which fills the machine's caches.
    cold = {name: seen[1:] for name, seen in stand.run(programs, options.starts + 1).items()}
    throttled: dict[str, dict[str, Seen]] = {}
    not_allowed = None
    for memory_mb in MEMORY_MB:
        print(f"The same with the processor's share of {memory_mb} MB ...", file=sys.stderr)
        try:
            seen = stand.run(programs, options.starts + 1, memory_mb=memory_mb)
        except StandFailed as why:
            if "does not let us" not in str(why):
                raise
            not_allowed = str(why)
            break
        throttled[str(memory_mb)] = {name: starts[1:] for name, starts in seen.items()}
    print("System calls and instructions to the delete ...", file=sys.stderr)
    counts = {}
    for program in programs:
        calls: SystemCalls = system_calls(stand, program, options.strace)
        counts[program.name] = {
            "calls": calls.calls,
            "files_opened": calls.files_opened,
            "instructions": instructions(stand, program, options.valgrind, ends="at_delete"),
        }
    binaries = {program.name: Path(program.command[0]).read_bytes() for program in programs if program.name != BOTO3}
    sizes = {name: {"stripped": len(binary), "zip": zipped(binary)} for name, binary in binaries.items()}
    print("Warm alerts ...", file=sys.stderr)
    warm = [scenario.measure(stand, programs[0]) for scenario in scenarios()]
    return {
        "machine": f"{os.cpu_count()} processors, {processor()}, Linux {platform.release().split('-')[0]}",
        "starts": options.starts,
        "cold": cold,
        "throttled": throttled,
        "not_allowed": not_allowed,
        "counts": counts,
        "sizes": sizes,
        "warm": warm,
    }


def processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def zipped(binary: bytes) -> int:
    """Bytes of the zip that Lambda would be given."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("bootstrap", binary)
    return len(file.getvalue())


class Scenario:
    """Invocations of one warm process: one kind of event, met by the same Lightsail each time."""

    def __init__(self, what: str, size: int, event: dict[str, Any], buckets: list[dict[str, Any]], times: int) -> None:
        self.what, self.size, self.times = what, size, times
        self.invocation = {"event": event, "buckets": buckets}

    def keys(self) -> int:
        """How many the event names."""
        keys = self.invocation["event"]["accessKeyId"]
        return len(keys) if isinstance(keys, list) else 1

    def measure(self, stand: Stand, program: Program) -> dict[str, Any]:
        """Median and p90 of the time from the event to the answer, in ms; the first, cold one is left out."""
        (seen,) = stand.run([program], 1, invocations=[self.invocation] * (self.times + 1))[program.name]
        # A batch is answered by the items that failed, and so by no outcome.
        expected = [] if "Records" in self.invocation["event"] else ["revoked"] * self.keys()
        if seen["outcomes"] != expected:
            raise StandFailed(f"{self.what}, {self.size}: the outcomes are {seen['outcomes']}, not {expected}")
        times = [us / 1e3 for us in seen["answer_us"][1:]]
        return {"what": self.what, "size": self.size, "p50": quantile(times, 0.5), "p90": quantile(times, 0.9)}


def scenarios() -> list[Scenario]:
    """One alert; batches; alerts with many keys; a search of every Region."""
    regions = lightsail_regions()
    found = [Scenario("one alert that names key and bucket", 1, alert(0), [bucket(REGION, BUCKET, [key(0)])], 200)]
    for size in (1, 2, 5, BATCH):
        buckets = [bucket(REGION, name(number), [key(number)]) for number in range(size)]
        bodies = [alert(number, name(number)) for number in range(size)]
        found.append(Scenario("alerts in a batch of SQS", size, batch(bodies), buckets, 50))
    for size in (1, 2, 5, 10, 20):
        # A bucket has two at most, so that an alert with more cannot name theirs.
        buckets = [bucket(REGION, name(number), [key(number)]) for number in range(size)]
        event = {"accessKeyId": [key(number) for number in range(size)]}
        found.append(Scenario(f"keys in an alert, searched for in {len(regions)} Regions", size, event, buckets, 20))
    for size in (1, 5, 20, 50):
        numbers = range(size * len(regions))
        buckets = [bucket(regions[number % len(regions)], name(number), [key(number + 1)]) for number in numbers]
        buckets[-1]["keys"].append(key(0))
        what = f"buckets in each of {len(regions)} Regions, key alone"
        found.append(Scenario(what, size, {"accessKeyId": key(0)}, buckets, 20))
    return found


def lightsail_regions() -> list[str]:
    """The Regions that the function searches, in the order of its own list."""
    (body,) = re.findall(r"REGIONS: \[\(&str, bool\); \d+\] = \[(.*?)\];", (ROOT / "src/regions.rs").read_text(), re.S)
    return re.findall(r'"([a-z0-9-]+)"', body)


def alert(number: int, bucket_name: str = BUCKET) -> dict[str, Any]:
    return {"accessKeyId": key(number), "bucketName": bucket_name, "region": REGION}


def bucket(region: str, bucket_name: str, keys: list[str]) -> dict[str, Any]:
    return {"region": region, "name": bucket_name, "keys": list(keys)}


def name(number: int) -> str:
    return f"{BUCKET}-{number:04}"


def key(number: int) -> str:
    """Key IDs that differ; the first is AWS's own example."""
    if number == 0:
        return KEY
    letters = ""
    for _ in range(16):
        number, letter = divmod(number, 26)
        letters = chr(ord("A") + letter) + letters
    return f"AKIA{letters}"


def batch(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    """The event of an SQS queue with these messages (Lambda guide, "Using Lambda with Amazon SQS")."""
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{number:012}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795489207000"},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:012345678912:alerts",
                "awsRegion": REGION,
            }
            for number, body in enumerate(bodies)
        ]
    }


def quantile(values: Sequence[float], share: float) -> float:
    """By the nearest rank: a value that was measured."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def wall(start: dict[str, Any]) -> float:
    return start["delete_us"] / 1e3


def cpu(start: dict[str, Any]) -> float:
    return start["at_delete"]["cpu_us"] / 1e3


def quantiles(starts: Seen, of: Callable[[dict[str, Any]], float]) -> list[float]:
    values = [of(start) for start in starts]
    return [quantile(values, share) for share in (0.5, 0.9, 0.99)]


def ms(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def report(found: dict[str, Any]) -> str:
    """The tables, in Markdown."""
    cold, counts, sizes = found["cold"], found["counts"], found["sizes"]
    base = quantile([wall(start) for start in cold[ARTEFACT]], 0.5)
    times = [["", "wall p50", "p90", "p99", "CPU p50", "p90", "p99", "INIT", "wall p50 / this function's"]]
    made_of = [
        [
            "", "instructions", "system calls", "files opened", "TLS handshakes", "API requests before", "peak RSS MB",
            "stripped MB", "zip MB",
        ]
    ]  # fmt: skip
    for program, starts in cold.items():
        walls, cpus = quantiles(starts, wall), quantiles(starts, cpu)
        init = quantile([start["next_us"] / 1e3 for start in starts], 0.5)
        times.append([program, *map(ms, walls), *map(ms, cpus), ms(init), f"{walls[0] / base:.2f}"])
        size = sizes.get(program)
        made_of.append(
            [
                program,
                f"{counts[program]['instructions'] / 1e6:.2f} million",
                str(counts[program]["calls"]),
                str(counts[program]["files_opened"]),
                one_of(start["handshakes_to_delete"] for start in starts),
                one_of(start["requests_before_delete"] for start in starts),
                f"{max(start['at_end']['peak_kb'] for start in starts) / 1e3:.1f}",
                f"{size['stripped'] / 1e6:.2f}" if size else "-",
                f"{size['zip'] / 1e6:.2f}" if size else "-",
            ]
        )
    warm = [["", "", "p50 ms", "p90 ms", "ms for each"]]
    for line in found["warm"]:
        warm.append(
            [line["what"], str(line["size"]), ms(line["p50"]), ms(line["p90"]), f"{line['p50'] / line['size']:.2f}"]
        )
    parts = [
        f"{found['starts']} cold starts each, in turns, on {found['machine']}. Milliseconds from the start of the process to "
        "the delete read by the server; INIT is the part until it asks for the event.",
        table(times),
        "To the delete, but for RSS, which is that of the whole invocation:",
        table(made_of),
        *throttled_part(found),
        "Warm, milliseconds from the event to the answer, over a simulator that answers at once:",
        table(warm),
    ]
    return "\n\n".join(parts)


def throttled_part(found: dict[str, Any]) -> list[str]:
    if found["not_allowed"]:
        return [f"Not measured at the processor's share of smaller functions: {found['not_allowed']}"]
    rows = [["memory", *(f"{program}, p50" for program in found["cold"]), f"{ARTEFACT}, p90"]]
    for memory, programs in found["throttled"].items():
        p50s = [ms(quantile([wall(start) for start in starts], 0.5)) for starts in programs.values()]
        rows.append([f"{memory} MB", *p50s, ms(quantile([wall(start) for start in programs[ARTEFACT]], 0.9))])
    return ["Wall time with the processor's share that Lambda gives a function of this memory after INIT:", table(rows)]


def one_of(values: Any) -> str:
    """The value that all have, or all that there are."""
    return ", ".join(str(value) for value in sorted(set(values)))


def table(rows: list[Row]) -> str:
    head, *body = rows
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *body))


def write_between_marks(path: Path, text: str) -> None:
    before, rest = path.read_text().split(MARKS[0])
    _, after = rest.split(MARKS[1])
    path.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
