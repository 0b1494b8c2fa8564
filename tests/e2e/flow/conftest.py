"""Fixtures: the template's buses, rules, queues and archives in moto, the built function behind them, Lightsail simulated.

moto has no Lambda targets and no event source mappings. `account.Lambda` stands in for those two parts of Lambda, and for
nothing else: what matches and what is delivered is moto's, by the template's own patterns.
"""

import importlib.util
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import account
import harness
import pytest
from moto.server import ThreadedMotoServer
from moto.sqs.models import SQSBackend

ROOT = Path(__file__).resolve().parents[3]


def fixtures_of(suite: str) -> ModuleType:
    """The fixtures of another directory of tests: what they share is written once."""
    spec = importlib.util.spec_from_file_location(f"{suite}_fixtures", ROOT / "tests" / suite / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_infra = fixtures_of("infra")
template, cloudformation = _infra.template, _infra.cloudformation
resources, resolved = _infra.resources, _infra.resolved


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """moto on a free loopback port: its address. It answers a long poll of an empty queue at once."""
    receive = SQSBackend.receive_message

    def receive_at_once(self: SQSBackend, queue: str, count: int, wait: int, *more: Any, **named: Any) -> Any:
        return receive(self, queue, count, 0, *more, **named)

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQSBackend, "receive_message", receive_at_once)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture(scope="session")
def resolved_once(resolved) -> Callable[[Any], Any]:
    """`resolved` for default parameters, with a cache: SAM's resolver copies the whole template for each part."""
    found: dict[str, Any] = {}

    def resolved_once(part: Any) -> Any:
        text = json.dumps(part, sort_keys=True)
        if text not in found:
            found[text] = resolved(part)
        return found[text]

    return resolved_once


@pytest.fixture
def deployed(moto, cloudformation, resolved_once) -> Iterator[account.Account]:
    """The stack with default parameters, without its function."""
    harness.request(("127.0.0.1", int(moto.rsplit(":", 1)[1])), "POST", "/moto-api/reset")
    yield account.Account(moto, cloudformation, resolved_once)


@pytest.fixture
def running(deployed, start, moto) -> Callable[..., account.Lambda]:
    """Starts the built function behind the stack's rules and queue."""

    def running(**settings: str) -> account.Lambda:
        given = {"RECORD_BUS": account.RECORD_BUS, "AWS_ENDPOINT_URL_EVENTBRIDGE": moto, **settings}
        return account.Lambda(deployed, start(**given))

    return running


@pytest.fixture
def operator(deployed, lightsail, tmp_path) -> Iterator[account.Operator]:
    """A person with this repository and credentials, but with moto, the simulator and `account.Lambda` for AWS."""
    with account.Operator(deployed, lightsail, tmp_path) as operator:
        yield operator
