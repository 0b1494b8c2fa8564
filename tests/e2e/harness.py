"""Starts the built function under AWS's Lambda runtime emulator, and the Lightsail simulator beside it.

The function is a black box here: a process that gets an event, speaks HTTP and writes lines. Both processes start with
an empty environment, listen on loopback only, and are stopped by the block that started them, whatever happens in it.
"""

import http.client
import importlib.util
import json
import os
import platform
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The role's credentials as Lambda hands them to the function. The simulator knows the secret too and verifies every
# signature with it. None is real; the tests look for the last two in everything that the function says.
OWN_ACCESS_KEY_ID = "ASIARESPONDEREXAMPLE"
OWN_SECRET_ACCESS_KEY = "oWnS3cr3tOfTheFunct1on/NeverShow+Me7XyZQ"
OWN_SESSION_TOKEN = "oWnSess10nToken" * 12

REGION = "us-east-1"
# The account that AWS's emulator puts into the function's ARN, and the simulator's own for callers that name none.
ACCOUNT = "012345678912"
INVOCATIONS = "/2015-03-31/functions/function/invocations"
PATIENCE_SECONDS = 20.0


class DidNotStart(Exception):
    """A process that should serve requests does not. The text ends with the tail of its log."""


class Refused(Exception):
    """The simulator refuses a seed or a script, and says why."""


@dataclass(frozen=True)
class Answer:
    """What Lambda's caller sees of one invocation."""

    status: int
    text: str
    seconds: float

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of an invocation that succeeded; none of one that failed."""
        return self._member("records") or []

    @property
    def error_type(self) -> str | None:
        """None only where the function itself says that all is well: a time-out or a crash has an error type too."""
        if self._member("records") or self.batch_failures is not None:
            return None
        return self._member("errorType") or f"(no answer of the function: HTTP {self.status} {self.text[:200]!r})"

    @property
    def batch_failures(self) -> list[str] | None:
        """The message IDs that an SQS batch must deliver again; none where the answer is not that of a batch."""
        failures = self._member("batchItemFailures")
        return None if failures is None else [failure["itemIdentifier"] for failure in failures]

    @property
    def error_message(self) -> str | None:
        return self._member("errorMessage")

    def _member(self, name: str) -> Any:
        try:
            answer = json.loads(self.text)
        except ValueError:
            return None
        return answer.get(name) if isinstance(answer, dict) else None


@dataclass
class Simulator:
    """A running Lightsail simulator, seen through its control door."""

    address: tuple[str, int]

    @property
    def endpoint(self) -> str:
        return "http://{}:{}".format(*self.address)

    def seed(
        self,
        region: str,
        bucket: str,
        keys: list[Any],
        account: str = ACCOUNT,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """A bucket with exactly these keys: IDs, or objects as the simulator's README has them."""
        tagged = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        self._post("seed", {"account": account, "region": region, "bucket": bucket, "keys": keys, "tags": tagged})

    def role(self, account: str, name: str, **more: Any) -> None:
        """A role that may be assumed; `more` has its `externalId` and `lastsSeconds`."""
        self._post("roles", {"account": account, "name": name, **more})

    def script(self, operation: str, fault: Mapping[str, Any], count: int | str = "every", **which: Any) -> None:
        """Lets `fault` befall requests of `operation`; `which` has the other members of a script."""
        self._post("faults", {"operation": operation, "fault": fault, "count": count, **which})

    def reset(self) -> None:
        self._post("reset", {})

    def requests(self) -> list[dict[str, Any]]:
        """Every request that came in, in order of arrival."""
        return self._call("GET", "requests")

    def forget_requests(self) -> None:
        """Clears that list."""
        self._call("DELETE", "requests")

    def operations_seen(self) -> list[str]:
        return [request["operation"] for request in self.requests()]

    def keys(self, account: str | None = None) -> set[tuple[str, str, str]]:
        """Region, bucket and ID of every key that works, or that is listed as if it did; of one account, or of all."""
        found = set()
        for shelf in self._call("GET", "state")["accounts"]:
            if account not in (None, shelf["account"]):
                continue
            for bucket in shelf["buckets"]:
                for key in bucket["accessKeys"] + bucket["stillListed"]:
                    found.add((shelf["region"], bucket["name"], key["accessKeyId"]))
        return found

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        self._call("POST", path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        status, text = request(self.address, method, f"/_simulator/{path}", body)
        answer = json.loads(text)
        if status != 200:
            raise Refused(f"the simulator refuses {path} {(body or b'').decode()}: {answer['error']}")
        return answer


@dataclass
class Function:
    """The function under AWS's Lambda runtime emulator, which starts it at the first invocation."""

    address: tuple[str, int]
    stdout: Path
    stderr: Path

    def invoke(self, payload: bytes | Any) -> Answer:
        """Sends one event: bytes as they are, anything else as JSON."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        started = time.monotonic()
        status, text = request(self.address, "POST", INVOCATIONS, body, timeout=120)
        return Answer(status, text, time.monotonic() - started)

    def lines(self) -> list[str]:
        """The function's own lines: its output is the emulator's, which adds START, END and REPORT."""
        lines = self.stdout.read_text(errors="replace").splitlines()
        return [line for line in lines if line.strip() and not re.match(r"(START|END|REPORT) RequestId: ", line)]

    def record_lines(self) -> list[dict[str, Any]]:
        """The log lines that carry a record, in order. They are there before Lambda's caller has the answer."""
        parsed = [json.loads(line) for line in self.lines() if line.startswith("{")]
        return [line for line in parsed if "audit" in line]

    def records(self) -> list[dict[str, Any]]:
        return [line["audit"] for line in self.record_lines()]

    def log(self) -> str:
        """All that the function and the emulator said."""
        return self.stdout.read_text(errors="replace") + self.stderr.read_text(errors="replace")


@contextmanager
def simulator(program: Path, directory: Path, *options: str) -> Iterator[Simulator]:
    """A fresh simulator that verifies signatures; its log goes to `directory`; `options` are further arguments."""
    command = [str(program), "--listen", "127.0.0.1:0", "--secret-access-key", OWN_SECRET_ACCESS_KEY, *options]
    stdout, stderr = directory / "simulator.out", directory / "simulator.err"
    with running(command, {}, directory, stdout, stderr) as process:

        def port() -> int | None:
            line = re.match(r"lightsail-simulator listening on http://127\.0\.0\.1:(\d+)\n", stdout.read_text())
            return int(line[1]) if line else None

        yield Simulator(("127.0.0.1", wait_for(port, process, "the simulator", stderr)))


@contextmanager
def function(bootstrap: Path, endpoint: str, directory: Path, **settings: str) -> Iterator[Function]:
    """The function in a fresh emulator; `settings` are further environment variables of it."""
    stdout, stderr = directory / "function.out", directory / "function.err"
    invoke_port, runtime_port = free_ports(2)
    command = [
        str(emulator_program()),
        "--runtime-interface-emulator-address", f"127.0.0.1:{invoke_port}",
        "--runtime-api-address", f"127.0.0.1:{runtime_port}",
        str(bootstrap.resolve()),
    ]  # fmt: skip
    environment = {**own_environment(endpoint), **settings}
    with running(command, environment, directory, stdout, stderr) as process:
        address = ("127.0.0.1", invoke_port)

        # The runtime API may listen some milliseconds after the door for invocations: a function that is started in
        # between finds nobody there, and ends.
        def accepts() -> bool:
            return all(is_open(port) for port in (invoke_port, runtime_port))

        wait_for(accepts, process, "AWS's Lambda runtime emulator", stderr)
        yield Function(address, stdout, stderr)


def own_environment(endpoint: str) -> dict[str, str]:
    """What Lambda sets for the function, and the way to the simulator."""
    return {
        "AWS_LAMBDA_FUNCTION_NAME": "lightsail-key-responder",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": OWN_ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": OWN_SECRET_ACCESS_KEY,
        "AWS_SESSION_TOKEN": OWN_SESSION_TOKEN,
        "AWS_ENDPOINT_URL_LIGHTSAIL": endpoint,
        "AWS_ENDPOINT_URL_STS": endpoint,
    }


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a child: nothing of the caller's reaches it but the search path."""
    return {"PATH": os.environ.get("PATH", os.defpath), "AWS_EC2_METADATA_DISABLED": "true", **settings}


def emulator_program() -> Path:
    """AWS's emulator for this machine: it lies in the wheel of the SAM CLI, which need not be importable for that."""
    spec = importlib.util.find_spec("samcli")
    if spec is None or not spec.submodule_search_locations:
        raise DidNotStart("AWS's Lambda runtime emulator is not installed: it is in the Python package aws-sam-cli")
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    program = Path(spec.submodule_search_locations[0], "local", "rapid", f"aws-lambda-rie-{machine}")
    if not program.is_file():
        raise DidNotStart(f"there is no Lambda runtime emulator for {platform.machine()}: {program} is missing")
    if not os.access(program, os.X_OK):
        program.chmod(program.stat().st_mode | 0o111)
    return program


@contextmanager
def running(
    command: list[str], settings: Mapping[str, str], directory: Path, stdout: Path, stderr: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process, stopped at the end of the block. Ctrl-C reaches only us, and we stop it."""
    with stdout.open("wb") as out, stderr.open("wb") as err:
        try:
            process = subprocess.Popen(
                command,
                env=child_environment(settings),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as why:
            raise DidNotStart(f"{command[0]} cannot be started: {why.strerror}") from why
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks, since the emulator then stops the function as well; kills only what does not listen."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes], name: str, log: Path) -> Any:
    """Polls `condition` until it holds; says what `process` said if it ends, or takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if held := condition():
            return held
        if process.poll() is not None:
            raise DidNotStart(f"{name} ended at once, with exit code {process.returncode}\n{tail(log)}")
        time.sleep(0.01)
    raise DidNotStart(f"{name} did not start in {PATIENCE_SECONDS:.0f} s\n{tail(log)}")


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, for a message."""
    return "\n".join(f"  | {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])


def is_open(port: int) -> bool:
    """Whether something listens on a port of the loopback address."""
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that are free now; held all at once so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def request(
    address: tuple[str, int], method: str, path: str, body: bytes | None = None, timeout: float = 30
) -> tuple[int, str]:
    """One HTTP request on a connection of its own; no proxy is ever asked."""
    with closing(http.client.HTTPConnection(*address, timeout=timeout)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
