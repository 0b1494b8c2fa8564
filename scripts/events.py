"""`make events`: the sample events with their outcomes, from the table in events/README.md."""

import re
import shutil
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "events" / "README.md"


def main() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \| ([^|]+) \|$", README.read_text(), re.M)
    files = max(len(file) for file, _, _ in rows)
    results = [", ".join(re.findall(r"[a-z_]+", outcomes)) for _, _, outcomes in rows]
    outcomes = max(map(len, results))
    room = max(20, shutil.get_terminal_size((140, 24)).columns - files - outcomes - 4)
    for (file, what, _), result in zip(rows, results, strict=True):
        told = what if len(what) <= room else what[: room - 3].rstrip(" ,") + "..."
        print(f"{file:{files}}  {result:{outcomes}}  {told}")


if __name__ == "__main__":
    main()
