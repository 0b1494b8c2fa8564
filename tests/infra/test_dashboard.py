"""The dashboard answers its three questions, with metrics that there are; and docs/dashboard.svg is its picture."""

import itertools
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import boto3
import pytest
from cfnlint.api import ManualArgs, lint
from moto import mock_aws

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import dashboard  # noqa: E402

QUESTIONS = ["## Did it work?", "## How fast?", "## What is stuck?"]

# What AWS's own services count, by namespace, with the page that says so.
OF_AWS = {
    # Lambda guide, "Types of metrics for Lambda functions"
    "AWS/Lambda": {"Duration", "Errors", "Throttles", "AsyncEventsDropped"},
    # SQS guide, "Available CloudWatch metrics for Amazon SQS"
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"},
}
DIMENSIONS_OF_AWS = {"AWS/Lambda": {"FunctionName"}, "AWS/SQS": {"QueueName"}}

# CloudWatch API reference, "Dashboard Body Structure and Syntax".
VIEWS = {"timeSeries", "singleValue"}
STATISTICS = r"Sum|Maximum|p\d{1,2}"


@pytest.fixture(scope="module")
def written():
    return dashboard.template()


@pytest.fixture(scope="module")
def body(written):
    return dashboard.body(written)


@pytest.fixture(scope="module")
def drawn(body):
    """The metrics of the dashboard, each with its widget."""
    widgets = [widget for widget in body["widgets"] if widget["type"] == "metric"]
    return [(widget, metric) for widget in widgets for metric in dashboard.metrics(widget)]


@pytest.fixture(scope="module")
def emitted(root):
    """The metrics that the function emits, and their namespace."""
    code = (root / "src/audit/metrics.rs").read_text()
    (namespace,) = re.findall(r'const NAMESPACE: &str = "(\w+)"', code)
    names = set(re.findall(r'\b(?:metric|time)\("(\w+)"', code))
    members = set(re.findall(r'#\[serde\(rename = "([A-Z]\w+)"', code)) - {"FunctionName", "Outcome"}
    assert names == members, "a metric is named in a way that this test does not see"
    return namespace, names


@pytest.fixture(scope="module")
def outcomes(root):
    """All outcomes, and those that are errors."""
    code = (root / "src/outcome.rs").read_text()
    names = dict(re.findall(r'Self::(\w+) => "([a-z_]+)"', code))
    errors = [names[variant] for variant in re.findall(r'Self::(\w+) => Some\("Responder\.', code)]
    order = re.findall(r"Outcome::(\w+),", re.search(r"pub const ALL[^=]+= \[(.*?)\];", code, re.S)[1])
    assert len(order) == len(names) > len(errors) > 0
    return [names[variant] for variant in order], errors


def test_cloudwatch_takes_the_body(body):
    with mock_aws():
        client = boto3.client("cloudwatch", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
        client.put_dashboard(DashboardName="Dashboard", DashboardBody=json.dumps(body))
        assert json.loads(client.get_dashboard(DashboardName="Dashboard")["DashboardBody"]) == body


def test_every_name_in_the_body_is_one_that_the_template_has(root):
    text = (root / "template.yaml").read_text()
    config = ManualArgs(regions=["us-east-1"], include_checks=["I"])
    assert [match.message for match in lint(text.replace("${FailureQueue.QueueName}", "${NoQueue.QueueName}"), config=config)]
    assert [match.message for match in lint(text, config=config)] == []


def test_the_three_questions_are_answered_in_their_order(body):
    texts = [widget for widget in body["widgets"] if widget["type"] == "text"]
    assert [widget["properties"]["markdown"] for widget in texts] == QUESTIONS
    assert all((widget["x"], widget["width"]) == (0, 24) for widget in texts)
    rows = [widget["y"] for widget in body["widgets"]]
    assert rows == sorted(rows) and {widget["type"] for widget in body["widgets"]} == {"text", "metric", "log", "alarm"}


def test_widgets_do_not_overlap_and_are_within_the_grid_without_gaps(body):
    cells = []
    for widget in body["widgets"]:
        assert widget["x"] >= 0 and widget["x"] + widget["width"] <= 24
        across, down = range(widget["x"], widget["x"] + widget["width"]), range(widget["y"], widget["y"] + widget["height"])
        cells += itertools.product(across, down)
    assert len(cells) == len(set(cells))
    assert len(cells) == 24 * (max(row for _, row in cells) + 1)


def test_widgets_say_what_they_show_and_how(body):
    widgets = [widget["properties"] for widget in body["widgets"] if widget["type"] != "text"]
    titles = [properties["title"] for properties in widgets]
    assert len(set(titles)) == len(titles) and all(titles)
    for widget in body["widgets"]:
        properties = widget["properties"]
        if widget["type"] in ("metric", "log"):
            assert properties["region"] == "AWS::Region"
        if widget["type"] == "metric":
            assert properties["view"] in VIEWS
            assert properties["period"] % 60 == 0, "CloudWatch knows periods of whole minutes"
            # Over the week that is shown at first, and not only over the last period.
            assert properties.get("setPeriodToTimeRange", False) == (properties["view"] == "singleValue")


def test_every_metric_is_emitted_by_the_code_or_counted_by_aws(drawn, emitted):
    namespace, names = emitted
    rows = [metric for _, metric in drawn if metric.expression is None]
    assert rows
    for metric in rows:
        if metric.namespace == namespace:
            assert metric.name in names
            expected = {"FunctionName", "Outcome"} if metric.name == "Records" else {"FunctionName"}
            assert set(metric.dimensions) == expected
        else:
            assert metric.name in OF_AWS[metric.namespace]
            assert set(metric.dimensions) == DIMENSIONS_OF_AWS[metric.namespace]
        assert metric.dimensions.get("FunctionName", "ResponderFunction") == "ResponderFunction"
    # And nothing that the function emits is drawn nowhere.
    assert {metric.name for metric in rows if metric.namespace == namespace} == names


def test_every_metric_has_a_statistic_and_what_is_shown_a_label_and_a_color_of_its_own(drawn, body):
    for widget, metric in drawn:
        if metric.expression is None:
            assert re.fullmatch(STATISTICS, metric.options.get("stat", widget["properties"].get("stat", "")))
    for widget in body["widgets"]:
        if widget["type"] == "metric":
            shown = [metric.options for metric in dashboard.metrics(widget) if metric.options.get("visible", True)]
            for name in ("label", "color"):
                values = [options[name] for options in shown]
                assert len(set(values)) == len(values), widget["properties"]["title"]
            assert all(re.fullmatch("#[0-9a-f]{6}", options["color"]) for options in shown)


def of(drawn, title):
    rows = [metric for widget, metric in drawn if widget["properties"]["title"] == title]
    assert rows, f"no widget is called {title!r}"
    return rows


def test_every_outcome_is_drawn_from_best_to_worst(drawn, outcomes):
    everything, _ = outcomes
    rows = of(drawn, "Records by outcome")
    assert [metric.dimensions["Outcome"] for metric in rows] == everything
    assert [metric.options["label"] for metric in rows] == everything


def test_the_number_of_errors_counts_exactly_the_error_outcomes(drawn, outcomes):
    _, errors = outcomes
    total, *counted = of(drawn, "Errors: a key may be alive")
    assert total.expression == "SUM(METRICS())" and all(metric.options["visible"] is False for metric in counted)
    assert sorted(metric.dimensions["Outcome"] for metric in counted) == sorted(errors)
    ids = [metric.options["id"] for metric in (total, *counted)]
    assert len(set(ids)) == len(ids)


def test_the_other_numbers_count_one_outcome_each(drawn):
    for title, outcome in (("Keys revoked", "revoked"), ("On no Lightsail bucket: look in IAM", "not_lightsail_key")):
        (metric,) = of(drawn, title)
        assert metric.dimensions["Outcome"] == outcome


def test_the_latest_records_are_read_from_the_functions_log_by_members_that_a_record_has(body, root):
    (widget,) = [widget for widget in body["widgets"] if widget["type"] == "log"]
    query = re.fullmatch(
        r"SOURCE 'ResponderLogGroup' \| fields @timestamp, audit\.(\w+) as outcome, message \| filter ispresent\(audit\.(\w+)\)"
        r" \| sort @timestamp desc \| limit \d+",
        widget["properties"]["query"],
    )
    members = json.loads((root / "docs/record.schema.json").read_text())["properties"]
    assert query and set(query.groups()) == {"status_code"} <= set(members)


@pytest.mark.parametrize("holds", [True, False], ids=["with all that is optional", "without"])
def test_every_alarm_that_there_is_is_on_the_dashboard(holds, written):
    body = dashboard.body(written, holds)
    (widget,) = [widget for widget in body["widgets"] if widget["type"] == "alarm"]
    alarms = dashboard.alarms(written)
    there = [alarm for alarm in alarms if holds or "Condition" not in written["Resources"][alarm]]
    assert there and sorted(widget["properties"]["alarms"]) == sorted(f"{alarm}.Arn" for alarm in there)


def test_the_template_says_the_dashboards_name(written):
    assert written["Outputs"]["DashboardName"]["Value"] == {"Ref": "Dashboard"}


# How scripts/dashboard.py reads it ------------------------------------------------------------------------------------


def test_rows_are_written_out_as_cloudwatch_does_it():
    rows = [
        ["A", "One", "X", "1", "Y", "2", {"label": "first"}],
        ["...", "3"],
        ["...", {"stat": "p50"}],
        [".", "Two", ".", "."],
        [{"expression": "SUM(METRICS())"}],
    ]
    read = list(dashboard.metrics({"properties": {"metrics": rows}}))
    assert [(one.namespace, one.name, dict(one.dimensions)) for one in read] == [
        ("A", "One", {"X": "1", "Y": "2"}),
        ("A", "One", {"X": "1", "Y": "3"}),
        ("A", "One", {"X": "1", "Y": "3"}),
        ("A", "Two", {"X": "1"}),
        ("", "", {}),
    ]
    assert read[4].expression == "SUM(METRICS())" and read[2].options == {"stat": "p50"}


# The picture ----------------------------------------------------------------------------------------------------------


def test_the_picture_shows_the_widgets_of_the_template(body, drawn, root):
    file = root / "docs/dashboard.svg"
    assert file.stat().st_size < 300_000
    texts = [element.text for element in ElementTree.parse(file).iter("{http://www.w3.org/2000/svg}text")]
    properties = [widget["properties"] for widget in body["widgets"]]
    titles = [one.get("title") or one["markdown"].lstrip("# ") for one in properties]
    assert [text for text in texts if text in titles] == titles, "run `make dashboard-picture`"
    labels = {row.options["label"] for _, row in drawn if row.options.get("visible", True) and "label" in row.options}
    told = "\n".join(texts)
    assert {label for label in labels if label not in told} == set()
    assert {alarm for alarm in dashboard.alarms(dashboard.template()) if alarm not in texts} == set()
    # Every outcome has happened, and so the picture shows it.
    assert [text for text in texts if text.endswith("(no data)") and "_" in text] == []
