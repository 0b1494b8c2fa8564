"""Fixtures: a fresh simulator for each test, and the built function in a fresh emulator as often as a test wants.

The programs come from the environment (see the Makefile). One that is missing fails the tests: a run that tested
nothing must not look like a run that found nothing.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

# moto's account is that of events/*.json. It reads this at its import, which the modules of `runtime` do as well.
os.environ["MOTO_ACCOUNT_ID"] = "012345678912"

import harness  # noqa: E402
import ocsf  # noqa: E402
import pytest  # noqa: E402
import record_schema  # noqa: E402


@pytest.fixture(scope="session")
def bootstrap() -> Path:
    """The function as `cargo build` makes it."""
    return program("RESPONDER_BOOTSTRAP")


@pytest.fixture(scope="session")
def artefact() -> Path:
    """The function as it is deployed."""
    return program("RESPONDER_ARTEFACT")


@pytest.fixture(scope="session")
def simulator_program() -> Path:
    return program("LIGHTSAIL_SIMULATOR_BIN")


@pytest.fixture
def lightsail(simulator_program: Path, tmp_path: Path) -> Iterator[harness.Simulator]:
    """An empty simulator."""
    with harness.simulator(simulator_program, tmp_path) as simulator:
        yield simulator


@pytest.fixture
def start(
    bootstrap: Path, lightsail: harness.Simulator, tmp_path: Path
) -> Iterator[Callable[..., harness.Function]]:
    """Starts the function with further environment variables. Whatever a test is about, its records are as documented."""
    started: list[harness.Function] = []
    with ExitStack() as stack:

        def start(program: Path = bootstrap, **settings: str) -> harness.Function:
            directory = tmp_path / f"function-{len(started)}"
            directory.mkdir()
            function = stack.enter_context(harness.function(program, lightsail.endpoint, directory, **settings))
            started.append(function)
            return function

        yield start
        for function in started:
            for record in function.records():
                assert ocsf.faults(record) == []
                assert record_schema.faults(record) == []


def program(variable: str) -> Path:
    """The program that an environment variable names."""
    value = os.environ.get(variable)
    if not value:
        pytest.fail(f"{variable} is not set: it must name a built program (`make test-e2e` does that)")
    if not Path(value).is_file():
        pytest.fail(f"{variable} names {value}, which does not exist")
    return Path(value).resolve()
