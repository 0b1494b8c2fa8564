"""The test stand as Python sees it: programs, plans, and what was seen of each start."""

import json
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# Key and bucket of the event, and their Region.
EVENT = ROOT / "events/guardduty-s3-exfiltration.json"
REGION, BUCKET, KEY, SIBLING = "us-east-1", "photos", "AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"


class StandFailed(Exception):
    """A program did not do what it was started for; the text has what it wrote."""


@dataclass(frozen=True)
class Program:
    """Something that speaks to the Runtime API."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def under(self, *tool: str) -> "Program":
        """The same, started by a tool that counts."""
        return Program(self.name, (*tool, *self.command), self.environment)


@dataclass(frozen=True)
class Stand:
    """The built stand, and the certificates that a program finds beside the stand's own."""

    path: Path
    trusted: Path

    def run(
        self,
        programs: Iterable[Program],
        starts: int,
        invocations: list[dict[str, Any]] | None = None,
        memory_mb: int | None = None,
        ends: str = "answered",
    ) -> dict[str, list[dict[str, Any]]]:
        """What was seen of each start, by program."""
        programs = list(programs)
        plan = {
            "programs": [
                {"name": program.name, "command": program.command, "environment": program.environment}
                for program in programs
            ],
            "starts": starts,
            "invocations": [named_key()] if invocations is None else invocations,
            "trusted": self.trusted.read_text(),
            "memory_mb": memory_mb,
            "ends": ends,
        }
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            command = [str(self.path), directory]
            done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StandFailed(done.stderr.strip())
        seen: dict[str, list[dict[str, Any]]] = {program.name: [] for program in programs}
        for line in done.stdout.splitlines():
            found = json.loads(line)
            seen[found["program"]].append(found["seen"])
        return seen


def named_key() -> dict[str, Any]:
    """A finding of GuardDuty that names key and bucket."""
    return {
        "event": json.loads(EVENT.read_text()),
        "buckets": [{"region": REGION, "name": BUCKET, "keys": [KEY, SIBLING]}],
    }


def instructions(stand: Stand, program: Program, valgrind: Path, ends: str) -> int:
    """Instructions of a cold start from exec to this end, in user space, counted by callgrind, which runs one thread at a time.

    Only a count to `at_answer` is the same on a busy machine: a delete on its way does not stop the program.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        counts = Path(directory) / "callgrind.out"
        tool = [str(valgrind), "--tool=callgrind", f"--callgrind-out-file={counts}"]
        stand.run([program.under(*tool)], 1, ends=ends)
        (total,) = [line for line in counts.read_text().splitlines() if line.startswith("totals:")]
        return int(total.removeprefix("totals:"))


@dataclass(frozen=True)
class SystemCalls:
    """From exec to the delete, of all threads."""

    calls: int
    files_opened: int


def system_calls(stand: Stand, program: Program, strace: Path) -> SystemCalls:
    """What strace sees until the delete has been read."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        log = Path(directory) / "strace.out"
        tool = [str(strace), "--follow-forks", "--interruptible=waiting", "-ttt", "-qq", f"--output={log}"]
        (seen,) = stand.run([program.under(*tool)], 1, ends="at_delete")[program.name]
        until = seen["delete_at_us"] / 1e6
        calls = files = 0
        for line in log.read_text(errors="replace").splitlines():
            _, at, what = line.split(None, 2)
            # Not signals, ends, and the second half of a call that another thread interrupted.
            if float(at) > until or what.startswith(("<...", "---", "+++")):
                continue
            calls += 1
            files += what.startswith(("open(", "openat(")) and " = -1 " not in what
        return SystemCalls(calls, files)
