"""Draws docs/dashboard.svg: the dashboard of template.yaml with the metrics of `scripts/dashboard_data.py`.

    dashboard_picture.py DATA.json docs/dashboard.svg

Positions, titles, metrics, statistics, periods, labels and colours come from the template's DashboardBody, so that
picture and template cannot differ. Only the drawing is this script's instead of CloudWatch's. The same data give the
same bytes.
"""

import json
import math
import re
import sys
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

import dashboard
import matplotlib
import matplotlib.pyplot as plt
from dashboard import Metric
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

# Sizes of the picture, in points. CloudWatch's grid has 24 columns.
WIDTH, COLUMN, ROW, TOP, MARGIN, GAP = 1240, 50, 44, 92, 20, 5
INK, SOFT, FAINT, RULE = "#1b2530", "#55606d", "#8a94a0", "#dfe3e8"
FUNCTION = "lightsail-key-responder"
HOUR = 3600

TITLE = "Lightsail key responder: the dashboard of template.yaml"
SUBTITLE = (
    "The data are runs of the built function against the simulator: {alerts} alerts, laid on a pretended week. Their times are"
    " of this machine's loopback, where each answer of “AWS” takes 20 to 600 ms;"
    " what no such run has, such as queues and alarms, is empty."
)
NO_DATA = "no data in runs against the simulator"


class Data:
    """Samples by metric. A sample is its second in the week, and its value."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.hours: int = data["hours"]
        self.steps: list[dict[str, Any]] = data["steps"]
        self.samples: dict[tuple[str, str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = defaultdict(list)
        for step in self.steps:
            at = step["hour"] * HOUR
            for line in step["lines"]:
                self.add(line, at)
            # Lambda's own metrics, as Lambda would count them.
            dimensions = frozenset({("FunctionName", FUNCTION)})
            self.samples["AWS/Lambda", "Duration", dimensions].append((at, step["duration_ms"]))
            self.samples["AWS/Lambda", "Errors", dimensions].append((at, float(step["error"])))

    def add(self, line: dict[str, Any], at: float) -> None:
        """Extracts the metrics of a line (CloudWatch user guide, "Specification: Embedded metric format")."""
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                for names in directive["Dimensions"]:
                    dimensions = frozenset((name, line[name]) for name in names)
                    key = (directive["Namespace"], metric["Name"], dimensions)
                    self.samples[key].append((at, float(line[metric["Name"]])))

    def of(self, metric: Metric) -> list[tuple[float, float]]:
        return self.samples.get((metric.namespace, metric.name, frozenset(metric.dimensions.items())), [])

    def series(self, metric: Metric, stat: str, period: float) -> dict[int, float]:
        """Returns the statistic of each period. A period without samples has no entry, as in CloudWatch."""
        by_period = defaultdict(list)
        for at, value in self.of(metric):
            by_period[int(at // period)].append(value)
        return {index: statistic(values, stat) for index, values in sorted(by_period.items())}

    def records(self) -> list[tuple[float, dict[str, Any]]]:
        """Returns the lines with a record, newest first."""
        lines = [(step["hour"], line) for step in self.steps for line in step["lines"] if "audit" in line]
        return sorted(lines, key=lambda line: -line[0])


def statistic(values: list[float], stat: str) -> float:
    if stat == "Sum":
        return sum(values)
    if stat == "Maximum":
        return max(values)
    ordered = sorted(values)
    return ordered[max(0, math.ceil(float(stat.removeprefix("p")) / 100 * len(ordered)) - 1)]


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    data, picture = Data(json.loads(Path(arguments[0]).read_text())), Path(arguments[1])
    # Text stays text, so that it is searchable and a tenth of the size. A fixed salt keeps the IDs the same.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": FUNCTION, "font.family": "DejaVu Sans"})
    figure = draw(dashboard.body(dashboard.template(), ResponderFunction=FUNCTION), data)
    figure.savefig(picture, metadata={"Date": None, "Creator": None, "Title": TITLE})
    picture.write_text(tidy(picture.read_text()))
    return 0


def tidy(svg: str) -> str:
    """Puts common fonts first. They are as narrow as DejaVu Sans, which matplotlib measures with, or narrower."""
    svg = svg.replace("'DejaVu Sans'", "Helvetica, Arial, 'DejaVu Sans', sans-serif")
    return re.sub(r"(Helvetica, Arial, )+'DejaVu Sans'(, sans-serif)+", "Helvetica, Arial, 'DejaVu Sans', sans-serif", svg)


def draw(body: dict[str, Any], data: Data) -> Figure:
    rows = max(widget["y"] + widget["height"] for widget in body["widgets"])
    height = TOP + rows * ROW + MARGIN
    figure = plt.figure(figsize=(WIDTH / 72, height / 72), facecolor="white")
    canvas = Canvas(figure, height)
    canvas.page.add_patch(FancyBboxPatch(
        (0.5, 0.5), WIDTH - 1, height - 1, boxstyle="round,pad=0,rounding_size=10", facecolor="white", edgecolor="#c9cfd6"
    ))  # fmt: skip
    canvas.text(MARGIN + GAP, 34, TITLE, size=19, weight="bold")
    for n, line in enumerate(textwrap.wrap(SUBTITLE.format(alerts=len(data.steps)), 165)):
        canvas.text(MARGIN + GAP, 57 + 17 * n, line, size=12, color=SOFT)
    for widget in body["widgets"]:
        box = Box(canvas, widget)
        properties = widget["properties"]
        if widget["type"] == "text":
            box.canvas.text(box.left, box.bottom - 12, properties["markdown"].lstrip("# "), size=17, weight="bold")
            continue
        box.frame(properties["title"])
        if widget["type"] == "log":
            draw_log(box, properties, data)
        elif widget["type"] == "alarm":
            draw_alarms(box, properties)
        elif properties["view"] == "singleValue":
            draw_number(box, widget, data)
        elif properties["stacked"]:
            draw_stacked(box, widget, data)
        else:
            draw_lines(box, widget, data)
    return figure


class Canvas:
    """The whole picture. Coordinates are points from the upper left corner."""

    def __init__(self, figure: Figure, height: float) -> None:
        self.figure, self.height = figure, height
        self.page = figure.add_axes((0, 0, 1, 1))
        self.page.set(xlim=(0, WIDTH), ylim=(height, 0))
        self.page.axis("off")

    def text(self, x: float, y: float, text: str, size: float = 11, color: str = INK, **more: Any) -> None:
        self.page.text(x, y, text.replace("$", r"\$"), fontsize=size, color=color, **more)

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        place = (left / WIDTH, 1 - bottom / self.height, (right - left) / WIDTH, (bottom - top) / self.height)
        axes = self.figure.add_axes(place, facecolor="none")
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color("#b8c0c9")
        axes.tick_params(colors=SOFT, labelsize=9.5, length=0)
        axes.grid(axis="y", color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)
        return axes


class Box:
    """The area of one widget."""

    def __init__(self, canvas: Canvas, widget: dict[str, Any]) -> None:
        self.canvas = canvas
        self.left = MARGIN + widget["x"] * COLUMN + GAP
        self.right = MARGIN + (widget["x"] + widget["width"]) * COLUMN - GAP
        self.top = TOP + widget["y"] * ROW + GAP
        self.bottom = TOP + (widget["y"] + widget["height"]) * ROW - GAP

    def frame(self, title: str) -> None:
        size = (self.right - self.left, self.bottom - self.top)
        shape = "round,pad=0,rounding_size=5"
        frame = FancyBboxPatch((self.left, self.top), *size, boxstyle=shape, facecolor="white", edgecolor=RULE)
        self.canvas.page.add_patch(frame)
        self.canvas.text(self.left + 12, self.top + 22, title, size=13, weight="bold")

    def nothing(self) -> None:
        middle = ((self.left + self.right) / 2, (self.top + self.bottom) / 2 + 6)
        self.canvas.text(*middle, NO_DATA, size=11, color=FAINT, ha="center", style="italic")

    def key(self, x: float, y: float, label: str, color: str, known: bool) -> None:
        """One line of a legend."""
        self.canvas.page.add_patch(Rectangle((x, y - 9), 11, 11, facecolor=color if known else "white", edgecolor=color))
        self.canvas.text(x + 17, y, label if known else f"{label} (no data)", size=10.5, color=INK if known else FAINT)


def draw_number(box: Box, widget: dict[str, Any], data: Data) -> None:
    """Draws a number for the whole week. An expression here is always the sum of the hidden rows."""
    rows = list(dashboard.metrics(widget))
    shown = next(row for row in rows if row.options.get("visible", True))
    assert shown.expression in (None, "SUM(METRICS())"), "the picture does not know this expression"
    counted = [shown] if shown.expression is None else [row for row in rows if row is not shown]
    total = sum(statistic([value for _, value in data.of(row)] or [0], widget["properties"]["stat"]) for row in counted)
    box.canvas.text(box.left + 12, box.bottom - 32, f"{total:,.0f}", size=40, weight="bold", color=shown.options["color"])
    box.canvas.text(box.left + 13, box.bottom - 12, f"{shown.options['label']}, in 7 days", size=11, color=SOFT)


def draw_stacked(box: Box, widget: dict[str, Any], data: Data) -> None:
    properties = widget["properties"]
    period = properties["period"]
    axes = box.canvas.axes(box.left + 52, box.top + 38, box.right - 190, box.bottom - 28)
    periods = range(data.hours * HOUR // period)
    floor = [0.0] * len(periods)
    rows = list(dashboard.metrics(widget))
    for row in rows:
        series = data.series(row, properties["stat"], period)
        values = [series.get(index, 0.0) for index in periods]
        bars = [(index, floor[index], value) for index, value in enumerate(values) if value]
        axes.bar(
            [(index + 0.5) * period / HOUR for index, _, _ in bars],
            [value for _, _, value in bars],
            bottom=[below for _, below, _ in bars],
            width=period / HOUR * 0.82,
            color=row.options["color"],
            edgecolor="white",
            linewidth=0.7,
        )
        floor = [below + value for below, value in zip(floor, values, strict=True)]
    for n, row in enumerate(reversed(rows)):
        box.key(box.right - 172, box.top + 44 + 18.6 * n, row.options["label"], row.options["color"], bool(data.of(row)))
    label = f"{properties['yAxis']['left']['label']} in {period // HOUR} h"
    finish(axes, data, label, max(floor))


def draw_lines(box: Box, widget: dict[str, Any], data: Data) -> None:
    properties = widget["properties"]
    period = properties["period"]
    rows = list(dashboard.metrics(widget))
    known = [row for row in rows if data.of(row)]
    # The legend is one line, or one line per row if that does not fit.
    labels = [row.options["label"] if row in known else f"{row.options['label']} (no data)" for row in rows]
    widths = [28 + 6.4 * len(label) for label in labels]
    beside = sum(widths) < box.right - box.left - 12
    below = 0 if beside else 17 * (len(rows) - 1)
    if not known:
        box.nothing()
    else:
        axes = box.canvas.axes(box.left + 52, box.top + 40, box.right - 14, box.bottom - 46 - below)
        highest = 0.0
        for row in known:
            series = data.series(row, row.options.get("stat", properties.get("stat", "Average")), period)
            # A period without data breaks the line, as in CloudWatch.
            periods = range(min(series), max(series) + 1)
            values = [series.get(index, math.nan) for index in periods]
            at = [(index + 0.5) * period / HOUR for index in periods]
            axes.plot(at, values, color=row.options["color"], linewidth=1.6, marker="o", markersize=3.6, clip_on=False)
            highest = max(highest, *series.values())
        span = "1 day" if period == 24 * HOUR else f"{period // HOUR} h"
        finish(axes, data, f"{properties['yAxis']['left']['label']}, by {span}", highest)
    x, y = box.left + 12, box.bottom - 10 - below
    for row, width in zip(rows, widths, strict=True):
        box.key(x, y, row.options["label"], row.options["color"], row in known)
        x, y = (x + width, y) if beside else (x, y + 17)


def finish(axes: Axes, data: Data, label: str, highest: float) -> None:
    """Formats the axes: the days of a week, and whole numbers from zero."""
    axes.set(xlim=(0, data.hours), ylim=(0, max(1.0, highest) * 1.12))
    axes.yaxis.get_major_locator().set_params(integer=True, nbins=5)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    days = range(data.hours // 24)
    axes.set_xticks([24 * day + 12 for day in days], [f"day {day + 1}" for day in days])
    axes.set_title(label, loc="left", fontsize=9.5, color=SOFT, pad=4, x=0)


def draw_log(box: Box, properties: dict[str, Any], data: Data) -> None:
    """Draws the columns of the query's `fields`. Each is a path into the line, with an optional name after `as`."""
    fields = re.search(r"\| fields ([^|]+?) \|", properties["query"])
    assert fields, "the picture does not know this query"
    columns = [re.fullmatch(r"(\S+)(?: as (\S+))?", part.strip()) for part in fields[1].split(",")]
    starts = [box.left + 14, box.left + 122, box.left + 262]
    assert all(columns) and len(columns) == len(starts)
    y = box.top + 46
    for start, column in zip(starts, columns, strict=True):
        box.canvas.text(start, y, column[2] or column[1], size=10.5, color=SOFT, weight="bold")
    colors = outcome_colors()
    for hour, line in data.records()[: int((box.bottom - y - 8) // 19)]:
        y += 19
        box.canvas.page.plot([box.left + 12, box.right - 12], [y - 13.5] * 2, color=RULE, linewidth=0.7)
        for start, column in zip(starts, columns, strict=True):
            value = at_path(line, column[1], hour)
            if column[2] == "outcome":
                box.canvas.page.add_patch(Rectangle((start, y - 8.5), 9, 9, facecolor=colors[value], edgecolor="none"))
                start += 15
            box.canvas.text(start, y, textwrap.shorten(value, 156, placeholder=" …"), size=10.5)


def at_path(line: dict[str, Any], path: str, hour: float) -> str:
    if path == "@timestamp":
        return f"day {int(hour // 24) + 1}, {int(hour % 24):02}:{int(hour % 1 * 60):02}"
    value: Any = line
    for step in path.split("."):
        value = value[step]
    return str(value)


def outcome_colors() -> dict[str, str]:
    """Returns the color of each outcome, from the stacked widget, which has all outcomes."""
    body = dashboard.body(dashboard.template(), ResponderFunction=FUNCTION)
    stacked = next(widget for widget in body["widgets"] if widget["properties"].get("stacked"))
    return {row.dimensions["Outcome"]: row.options["color"] for row in dashboard.metrics(stacked)}


def draw_alarms(box: Box, properties: dict[str, Any]) -> None:
    """Draws the names of the alarms, in as many columns as fit. There is no alarm state without CloudWatch."""
    names = [name.removesuffix(".Arn") for name in re.findall(r"[A-Za-z.]+", " ".join(properties["alarms"]))]
    lines = max(1, int((box.bottom - box.top - 40) // 24))
    columns = max(1, math.ceil(len(names) / lines))
    width = (box.right - box.left - 18) / max(columns, 5)
    for n, name in enumerate(names):
        x, y = box.left + 12 + n // lines * width, box.top + 34 + n % lines * 24
        shape = "round,pad=0,rounding_size=3"
        tile = FancyBboxPatch((x, y), width - 6, 19, boxstyle=shape, facecolor="white", edgecolor="#c3c8cf", linestyle="--")
        box.canvas.page.add_patch(tile)
        box.canvas.text(x + 7, y + 13.5, name, size=10, color=SOFT)
    box.canvas.text(box.right - 12, box.top + 22, NO_DATA, size=11, color=FAINT, ha="right", style="italic")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
