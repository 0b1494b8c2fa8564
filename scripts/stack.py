"""Shared parts of the commands for a deployed stack: its outputs, AWS clients, and exit codes.

The commands find credentials, profile and Region as the AWS CLI does.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

STACK = "lightsail-key-responder"
OK, NOT_DONE, WRONG_USE = range(3)


class Trouble(Exception):
    """A command cannot continue. The text is complete for the operator. `code` is the exit code."""

    def __init__(self, text: str, code: int = NOT_DONE) -> None:
        super().__init__(text)
        self.code = code


class Stack:
    """A deployed stack."""

    def __init__(self, name: str) -> None:
        # The AWS CLI reads AWS_REGION first. boto3 reads AWS_DEFAULT_REGION only.
        self.session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        self.name = name
        if self.region is None:
            raise Trouble("no Region is known: set AWS_REGION, or choose a profile that has one (AWS_PROFILE)", WRONG_USE)
        try:
            found = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise Trouble(f"there is no stack {name} in {self.region} (STACK=..., AWS_REGION=...)", WRONG_USE) from error
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
        self.parameters = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}

    @property
    def region(self) -> str | None:
        return self.session.region_name

    def client(self, service: str, region: str | None = None, once: bool = False) -> Any:
        """Returns a client. `once` is for calls that must not be retried, or that take as long as an invocation."""
        attempts = 1 if once else 5
        config = Config(
            connect_timeout=10,
            read_timeout=90 if once else 20,
            retries={"mode": "standard", "total_max_attempts": attempts},
        )
        return self.session.client(service, region_name=region, config=config)

    def __getitem__(self, output: str) -> str:
        """Returns the value of an output."""
        if output not in self.outputs:
            raise Trouble(f"the stack {self.name} has no output {output}: it is not of this version's template", WRONG_USE)
        return self.outputs[output]


def arguments(description: str) -> argparse.ArgumentParser:
    """Returns a parser with the options of every command."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--stack", default=STACK, metavar="NAME", help=f"name of the stack ({STACK})")
    return parser


def run(command: Callable[[list[str]], int]) -> None:
    """Runs a command. An error of AWS becomes one line instead of a traceback."""
    try:
        sys.exit(command(sys.argv[1:]))
    except Trouble as error:
        text, code = str(error), error.code
    except (ClientError, BotoCoreError) as error:
        text, code = str(error), NOT_DONE
    except KeyboardInterrupt:
        text, code = "interrupted", 130
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)
    sys.exit(code)
