"""docs/removal.md says what the template leaves behind, and what goes with it."""

import re

import pytest


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs/removal.md").read_text()


def table(page, heading):
    """The names in the first column of the table below a heading."""
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)`", section, re.M))


def test_page_lists_what_stays(page, cloudformation):
    resources = cloudformation["Resources"].items()
    kept = {name for name, one in resources if one.get("DeletionPolicy", "Delete") != "Delete"}
    assert kept and table(page, "What stays") == kept


def test_page_lists_stores_that_go(page, cloudformation):
    stores = ("AWS::Events::Archive", "AWS::Logs::LogGroup", "AWS::SQS::Queue")
    resources = cloudformation["Resources"].items()
    lost = {name for name, one in resources if one["Type"] in stores and "DeletionPolicy" not in one}
    assert lost and table(page, "What goes with the stack") == lost


def test_page_says_what_blocks_deletion(page, template):
    bus = template["Parameters"]["RecordBusName"]["Default"]
    for command in ("list-rules", "list-targets-by-rule", "remove-targets", "delete-rule"):
        assert re.search(rf"aws events {command} --event-bus-name {bus}\b", page), command
    assert page.index("delete-rule") < page.index("delete-stack ")


def test_readme_and_runbook_lead_to_page(root):
    assert "(docs/removal.md)" in (root / "README.md").read_text()
    assert "(removal.md)" in (root / "docs/runbook.md").read_text()
