"""docs/: a section for all that can ring, and commands that AWS's CLI accepts."""

import itertools
import re
import shlex
from types import SimpleNamespace

import awscli.clidriver
import pytest
from account import ROOT

RUNBOOK = ROOT / "docs" / "runbook.md"
# What the model wants to be at least so long, or one of a list.
PLACEHOLDERS = {"KEY": "AKIAIOSFODNN7EXAMPLE", "$region": "us-east-1"}
# The rest of such a line is the shell's.
SHELL = {"|", "||", "&&", ">", ";"}


def headings(level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", RUNBOOK.read_text(), re.M)


def commands() -> list[tuple[str, str]]:
    """Every `aws` command of an indented or fenced block, with its continuation lines joined, and its page."""
    found = []
    for page in sorted(ROOT.glob("docs/*.md")):
        text = page.read_text().replace("\\\n", " ")
        found += [(page.name, line.strip()) for line in re.findall(r"^\s*(aws [a-z].*)$", text, re.M)]
    return found


def test_each_alarm_has_section_and_vice_versa(cloudformation):
    resources = cloudformation["Resources"].items()
    alarms = sorted(name for name, resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm")
    chapter = RUNBOOK.read_text().split("## By alarm\n")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^### (.+)$", chapter, re.M)) == alarms


def test_each_alarm_names_its_section(cloudformation):
    for name, resource in cloudformation["Resources"].items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            assert f"docs/runbook.md, {name}" in resource["Properties"]["AlarmDescription"]


def test_each_error_type_has_section():
    types = set(re.findall(r'Some\("(Responder\.[A-Za-z]+)"\)', (ROOT / "src" / "outcome.rs").read_text()))
    assert len(types) == 6
    assert {heading for heading in headings(3) if heading.startswith("Responder.")} == types


def test_the_page_stays_short():
    assert len(RUNBOOK.read_text().splitlines()) <= 250


def test_each_make_command_is_a_target():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    used = set(re.findall(r"make ([a-z-]+)", RUNBOOK.read_text()))
    assert used and used <= targets


def test_the_pages_have_commands():
    assert len(commands()) > 20


@pytest.fixture(scope="module")
def aws_cli():
    """AWS's own parser with botocore's models. It keeps the names of the requests, and sends none."""
    sent = []

    def stop(model, **_):
        sent.append(model.name)
        return SimpleNamespace(status_code=200), {"ResponseMetadata": {}}

    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        # Some commands name templates by their path.
        patch.chdir(ROOT)
        driver = awscli.clidriver.create_clidriver()
        driver.session.register("before-call", stop)
        yield driver, sent


@pytest.mark.parametrize(("page", "command"), commands(), ids=lambda value: value[:60])
def test_aws_command_is_accepted_by_aws_cli(page, command, aws_cli):
    driver, sent = aws_cli
    sent.clear()
    # An option of version 2 only, which the pinned version 1 does not have.
    words = shlex.split(command.replace("--cli-binary-format raw-in-base64-out", ""))
    words = [PLACEHOLDERS.get(word, word) for word in itertools.takewhile(lambda word: word not in SHELL, words)]
    code = driver.main(words[1:])
    assert sent, f"{page}: `{command}` is refused with exit code {code}"
