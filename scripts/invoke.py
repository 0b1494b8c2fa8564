"""`make invoke EVENT=...`: sends one event to the deployed function and prints its answer.

Exit code:

    0  the function succeeded
    1  the function failed: its answer says why
    2  wrong use
"""

import json
from pathlib import Path

import function
from stack import NOT_DONE, OK, WRONG_USE, Stack, Trouble, arguments, run


def main(given: list[str]) -> int:
    parser = arguments("Invokes the deployed function with an event, and prints its answer.")
    parser.add_argument("event", type=Path, metavar="EVENT_FILE", help="a JSON file, such as events/manual.json")
    options = parser.parse_args(given)
    try:
        event = options.event.read_bytes()
    except OSError as error:
        raise Trouble(f"{options.event} cannot be read: {error.strerror}", WRONG_USE) from error

    answer = function.invoke(Stack(options.stack), event)
    print(json.dumps(answer.payload, indent=2, ensure_ascii=False))
    for line in answer.lines:
        print(line)
    if answer.error:
        print(f"the function failed: {answer.error}")
    return NOT_DONE if answer.error else OK


if __name__ == "__main__":
    run(main)
