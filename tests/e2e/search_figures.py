"""`make search-figures`: how long the built function looks for a key, and over how many connections.

Fills the simulator with buckets in every Region that has Lightsail, and sends the key alone: once it lies on the last
bucket of the last Region, once nowhere. Each is done by a fresh process several times, and by warm ones. Prints figures
and judges nothing, since they are those of this machine.

The machine's part is measured apart, with a simulator that answers at once: function, simulator and this script share
its processors, which in AWS they do not. The rest is waiting for answers, and so a number of round trips. Work goes on
while answers are waited for, so that their number lies between the two that are printed, and both come closer to it the
longer the latency is: 500 ms show it well. There is no TLS here, whose handshake costs round trips and work.

The simulator is one host for all Regions: a connection of one Region may serve another next, which in AWS it cannot.
What compares is how many requests to one Region are open at once, since each needs a connection.
"""

import argparse
import re
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import harness

ROOT = Path(__file__).resolve().parents[2]
WRONG_USE = 2

KEY = "AKIAIOSFODNN7EXAMPLE"
EVENT = {"accessKeyId": KEY}
ON_THE_LAST_BUCKET, NOWHERE = "on the last bucket", "nowhere"
OUTCOMES = {ON_THE_LAST_BUCKET: "revoked", NOWHERE: "not_lightsail_key"}
FRESH, WARM = "fresh", "warm"


class NotAsExpected(Exception):
    """An invocation did not end as it must for its figures to mean anything."""


@dataclass(frozen=True)
class Figures:
    """Of one invocation."""

    outcome: str
    requests: int
    connections: int
    to_one_region: int
    open_at_once: int
    until_delete_ms: float | None
    ms: float


@dataclass(frozen=True)
class Line:
    """Of all invocations of one kind: the median of the times, and the most of all else."""

    where: str
    process: str
    outcome: str
    requests: int
    connections: int
    to_one_region: int
    open_at_once: int
    until_delete_ms: float | None
    ms: float

    @classmethod
    def of(cls, where: str, process: str, all_figures: list[Figures]) -> "Line":
        until_delete = [figures.until_delete_ms for figures in all_figures if figures.until_delete_ms is not None]
        return cls(
            where,
            process,
            " ".join(sorted({figures.outcome for figures in all_figures})),
            max(figures.requests for figures in all_figures),
            max(figures.connections for figures in all_figures),
            max(figures.to_one_region for figures in all_figures),
            max(figures.open_at_once for figures in all_figures),
            median(until_delete) if until_delete else None,
            median(figures.ms for figures in all_figures),
        )


def main(arguments: list[str]) -> int:
    """Measures, and prints the table."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = read_arguments(arguments)
    regions = lightsail_regions()
    print(
        f"{len(regions)} Regions with {options.buckets} buckets each, {options.times} invocations of each kind; "
        f"latency {options.latency_ms} ms, and none"
    )
    try:
        with_latency = list(measured(options, regions, options.latency_ms))
        without = list(measured(options, regions, 0)) if options.latency_ms else with_latency
    except (harness.DidNotStart, harness.Refused, NotAsExpected) as why:
        print(why, file=sys.stderr)
        return WRONG_USE
    print_table(with_latency, without, options.latency_ms)
    return 0


def read_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="search_figures.py", description="Measures how long a key is looked for.")
    parser.add_argument("--bootstrap", type=Path, required=True, help="the built function")
    parser.add_argument("--simulator", type=Path, required=True, help="the built Lightsail simulator")
    parser.add_argument("--latency-ms", type=natural, default=50, metavar="N", help="of each request, 0 or more [50]")
    parser.add_argument("--buckets", type=positive, default=20, metavar="N", help="in each Region, 1 or more [20]")
    parser.add_argument("--times", type=positive, default=5, metavar="N", help="invocations a kind, 1 or more [5]")
    options = parser.parse_args(arguments)
    for program in (options.bootstrap, options.simulator):
        if not program.is_file():
            parser.error(f"there is no program {program}")
    return options


def natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def lightsail_regions() -> list[str]:
    """The Regions that the function searches, in the order of its own list."""
    (body,) = re.findall(r"REGIONS: \[\(&str, bool\); \d+\] = \[(.*?)\];", (ROOT / "src/regions.rs").read_text(), re.S)
    return re.findall(r'"([a-z0-9-]+)"', body)


def measured(options: argparse.Namespace, regions: list[str], latency_ms: int) -> Iterator[Line]:
    """Both places, by fresh and by warm processes."""
    with tempfile.TemporaryDirectory(prefix="key-responder-") as temporary:
        directory = Path(temporary)
        latency = ("--latency-ms", str(latency_ms))
        with harness.simulator(options.simulator.resolve(), directory, *latency) as lightsail:
            fill(lightsail, regions, options.buckets)
            last = (regions[-1], bucket_name(regions[-1], options.buckets - 1))
            for where in OUTCOMES:
                found: dict[str, list[Figures]] = defaultdict(list)
                for number in range(options.times):
                    place = directory / f"{where}-{number}".replace(" ", "-")
                    place.mkdir()
                    with harness.function(options.bootstrap, lightsail.endpoint, place) as function:
                        found[FRESH].append(one(where, function, lightsail, last, latency_ms))
                        found[WARM].append(one(where, function, lightsail, last, latency_ms))
                for process, figures in found.items():
                    yield Line.of(where, process, figures)


def fill(lightsail: harness.Simulator, regions: list[str], buckets: int) -> None:
    """Every bucket has a key that no event names."""
    numbers = count()
    for region in regions:
        for number in range(buckets):
            lightsail.seed(region, bucket_name(region, number), [bystander(next(numbers))])


def bucket_name(region: str, number: int) -> str:
    """In the order of the numbers, which is that of the simulator's lists."""
    return f"bucket-{region}-{number:04}"


def bystander(number: int) -> str:
    letters = ""
    for _ in range(16):
        number, letter = divmod(number, 26)
        letters = chr(ord("A") + letter) + letters
    return f"AKIA{letters}"


def one(
    where: str, function: harness.Function, lightsail: harness.Simulator, last: tuple[str, str], latency_ms: int
) -> Figures:
    """One invocation, and what the simulator, the record and the emulator say of it."""
    lightsail.seed(*last, [KEY] if where == ON_THE_LAST_BUCKET else [])
    lightsail.forget_requests()
    before = len(handler_times(function))
    answer = function.invoke(EVENT)
    records = answer.records
    outcomes = [record["status_code"] for record in records]
    if outcomes != [OUTCOMES[where]]:
        raise NotAsExpected(f"the key is {where}, and the outcome is {outcomes or answer.text}, not {OUTCOMES[where]}")
    requests = lightsail.requests()
    return Figures(
        outcome=outcomes[0],
        requests=len(requests),
        connections=len({request["connection"] for request in requests}),
        to_one_region=max(len({request["connection"] for request in each}) for each in by_region(requests)),
        open_at_once=max(most_open([request["at_ms"] for request in each], latency_ms) for each in by_region(requests)),
        until_delete_ms=records[0]["unmapped"]["timing_ms"]["delete_first_sent"],
        ms=reported(function, before),
    )


def by_region(requests: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The requests to each Region, in order of arrival."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for request in requests:
        found[request["region"]].append(request)
    return list(found.values())


def most_open(arrivals: list[int], latency_ms: int) -> int:
    """How many requests were open at once, at least: each is held up for the latency."""
    return max(sum(at <= other < at + max(latency_ms, 1) for other in arrivals) for at in arrivals)


def reported(function: harness.Function, before: int) -> float:
    """What the emulator reports of an invocation, which it does a moment after its answer."""
    deadline = time.monotonic() + harness.PATIENCE_SECONDS
    while len(times := handler_times(function)) <= before:
        if time.monotonic() > deadline:
            raise NotAsExpected(f"the emulator does not report the invocation\n{harness.tail(function.stdout)}")
        time.sleep(0.01)
    return times[before]


def handler_times(function: harness.Function) -> list[float]:
    """Milliseconds of the handler, of each invocation so far."""
    return [float(ms) for ms in re.findall(r"^REPORT RequestId: .*?\tDuration: ([\d.]+) ms", function.log(), re.M)]


def print_table(with_latency: list[Line], without: list[Line], latency_ms: int) -> None:
    """The figures with the latency, the machine's part, and what is left of it in round trips."""
    titles = ["the key is", "process", "outcome", "requests", "conn.", "1 Region", "open"]
    titles += ["ms", "at 0 ms", "trips", "less own"]
    rows = [titles]
    for line, own in zip(with_latency, without, strict=True):
        where, process = line.where, line.process
        times = [(f"{where}: in all", line.ms, own.ms)]
        if line.until_delete_ms is not None and own.until_delete_ms is not None:
            times.insert(0, (f"{where}: delete sent", line.until_delete_ms, own.until_delete_ms))
        counts = [line.outcome, str(line.requests), str(line.connections), str(line.to_one_region)]
        counts.append(str(line.open_at_once) if latency_ms else "-")
        for what, ms, own_ms in times:
            trips = [round_trips(ms, latency_ms), round_trips(ms - own_ms, latency_ms)]
            rows.append([what, process, *counts, f"{ms:.0f}", f"{own_ms:.0f}", *trips])
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    for row in rows:
        texts = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
        numbers = [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
        print("  ".join(texts + numbers).rstrip())
    print(
        "conn.: connections that the requests of one invocation came on; 1 Region: the most of them with requests to\n"
        "one Region; open: the most requests to one Region at once. ms: median, from the invocation on; at 0 ms: the\n"
        "same with a simulator that answers at once, which is this machine's part; trips: ms / latency, too many by\n"
        "the work; less own: (ms - at 0 ms) / latency, too few by the work done while answers are waited for."
    )


def round_trips(ms: float, latency_ms: int) -> str:
    return f"{ms / latency_ms:.1f}" if latency_ms else "-"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
