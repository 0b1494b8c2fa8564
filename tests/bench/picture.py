"""Draws docs/performance.svg from what `bench.py` has measured.

    picture.py DATA.json docs/performance.svg

Left the share of cold starts whose delete had been read after so much time, right their median by the function's memory. The
same data give the same bytes.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
from bench import ARTEFACT, BOTO3, FLOOR, NAIVE, quantile, wall
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

COLOURS = {ARTEFACT: "#1b6ac9", NAIVE: "#c9531b", BOTO3: "#8a8f98", FLOOR: "#1b2530"}
INK, RULE = "#1b2530", "#dfe3e8"
TITLE = "From process start to DeleteBucketAccessKey read by the server"


def main(data: Path, picture: Path) -> int:
    """Draws, and writes the picture."""
    found = json.loads(data.read_text())
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "performance", "font.family": "DejaVu Sans"})
    throttled = bool(found["throttled"])
    figure, axes = plt.subplots(1, 2 if throttled else 1, figsize=(11, 4.2), squeeze=False)
    figure.suptitle(f"{TITLE} ({found['starts']} cold starts each)", color=INK, fontsize=12)
    distribution(axes[0][0], found["cold"])
    if throttled:
        by_memory(axes[0][1], found["throttled"])
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None, "Creator": None, "Title": TITLE})
    # matplotlib leaves spaces at the ends of lines.
    picture.write_text("\n".join(line.rstrip() for line in picture.read_text().splitlines()) + "\n")
    return 0


def distribution(axes: Axes, cold: dict[str, list[dict[str, Any]]]) -> None:
    for program, starts in cold.items():
        walls = sorted(wall(start) for start in starts)
        shares = [(number + 1) / len(walls) for number in range(len(walls))]
        axes.step(walls, shares, where="post", color=COLOURS[program], label=program, linewidth=2)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("share of starts")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
    dress(axes, "whole processor: milliseconds")
    axes.xaxis.set_major_formatter(FuncFormatter(plain))


def by_memory(axes: Axes, throttled: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    for program in COLOURS:
        medians = [quantile([wall(start) for start in programs[program]], 0.5) for programs in throttled.values()]
        axes.plot([int(memory) for memory in throttled], medians, "o-", color=COLOURS[program], label=program, linewidth=2)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([int(memory) for memory in throttled], list(throttled))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("median, ms")
    dress(axes, "memory of the function, MB")
    axes.yaxis.set_major_formatter(FuncFormatter(plain))


def dress(axes: Axes, label: str) -> None:
    axes.set_xlabel(label)
    axes.grid(visible=True, which="both", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="center")


def plain(value: float, _position: int | None = None) -> str:
    return f"{value:g}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
