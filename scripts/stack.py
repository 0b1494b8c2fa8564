"""What the commands for a deployed stack share: its outputs, clients of AWS, and how a command ends.

Credentials, profile and Region are the caller's, found as the AWS CLI finds them.
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
    """A command cannot go on. The text is all that a person needs; `code` is the exit code."""

    def __init__(self, text: str, code: int = NOT_DONE) -> None:
        super().__init__(text)
        self.code = code


class Stack:
    """A deployed stack."""

    def __init__(self, name: str) -> None:
        # boto3 reads AWS_DEFAULT_REGION only, and the AWS CLI AWS_REGION first.
        self.session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        self.name = name
        if self.region is None:
            raise Trouble("no Region is known: set AWS_REGION, or choose a profile that has one (AWS_PROFILE)", WRONG_USE)
        try:
            found = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as why:
            if why.response["Error"]["Code"] != "ValidationError":
                raise
            raise Trouble(f"there is no stack {name} in {self.region} (STACK=..., AWS_REGION=...)", WRONG_USE) from why
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    @property
    def region(self) -> str | None:
        return self.session.region_name

    def client(self, service: str, region: str | None = None, once: bool = False) -> Any:
        """A client; `once` for a call that must not be made twice, or that takes as long as an invocation."""
        attempts = 1 if once else 5
        config = Config(
            connect_timeout=10,
            read_timeout=90 if once else 20,
            retries={"mode": "standard", "total_max_attempts": attempts},
        )
        return self.session.client(service, region_name=region, config=config)

    def __getitem__(self, output: str) -> str:
        """The value of an output."""
        if output not in self.outputs:
            raise Trouble(f"the stack {self.name} has no output {output}: it is not of this version's template", WRONG_USE)
        return self.outputs[output]


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with what every command has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--stack", default=STACK, metavar="NAME", help=f"name of the stack ({STACK})")
    return parser


def run(command: Callable[[list[str]], int]) -> None:
    """Runs a command; what AWS refuses is one line, not a traceback."""
    try:
        sys.exit(command(sys.argv[1:]))
    except Trouble as why:
        text, code = str(why), why.code
    except (ClientError, BotoCoreError) as why:
        text, code = str(why), NOT_DONE
    except KeyboardInterrupt:
        text, code = "interrupted", 130
    print(f"{os.path.basename(sys.argv[0])}: {text}", file=sys.stderr)
    sys.exit(code)
