"""`make run`, from outside: what it prints, how it ends, and that it leaves nothing behind."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cases
import harness
import pytest
import run

HERE = Path(__file__).parents[1]
WHAT_MAKE_RUN_NEEDS = ("run.py", "harness.py", "cases.py")


@pytest.fixture
def make_run(bootstrap, simulator_program):
    """Runs run.py as the Makefile does."""

    def make_run(event, bootstrap=bootstrap):
        command = command_line(bootstrap, simulator_program, event)
        environment = harness.child_environment({})
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return make_run


def test_a_finding_ends_in_a_dead_key_and_the_story_is_told_in_order(make_run):
    done = make_run(cases.EVENTS / "guardduty-s3-exfiltration.json")
    assert (done.returncode, done.stderr) == (0, "")
    story = [
        "The simulator holds:",
        "bucket photos in us-east-1 with AKIAIOSFODNN7EXAMPLE and AKIAI44QH8DHBEXAMPLE",
        "guardduty-s3-exfiltration.json (",
        "  1      0 ms  DeleteBucketAccessKey  us-east-1       photos",
        "GetOperation",
        "GetBucketAccessKeys",
        '  "status_code": "revoked",',
        "Lambda says: ok",
        "revoked: Deleted access key AKIAIOSFODNN7EXAMPLE of bucket photos in us-east-1",
        "All keys that the event does not name are still there: AKIAI44QH8DHBEXAMPLE of photos.",
        "As it should be: events/README.md says `revoked` for guardduty-s3-exfiltration.json.",
    ]
    assert_in_order(story, done.stdout)


def test_a_persons_event_ends_in_a_dead_key(make_run):
    done = make_run(cases.EVENTS / "manual.json")
    assert done.returncode == 0
    assert_in_order(["Lambda says: ok", "revoked: Deleted access key", "As it should be"], done.stdout)


def test_an_outcome_that_is_an_error_to_lambda_ends_with_1(make_run):
    done = make_run(cases.EVENTS / "manual-malformed-key.json")
    assert done.returncode == 1
    assert_in_order(
        [
            "The simulator saw no call.",
            "Lambda says: Responder.Unreadable",
            "unreadable: No access key",
            "As it should be",
        ],
        done.stdout,
    )


def test_an_event_of_the_callers_own_finds_its_key_on_its_bucket(make_run, tmp_path):
    event = tmp_path / "mine.json"
    event.write_text('{"accessKeyId": "AKIAMY0OWN0KEYEXAMPL", "bucketName": "my-bucket", "region": "sa-east-1"}')
    done = make_run(event)
    assert done.returncode == 0
    assert_in_order(["bucket my-bucket in sa-east-1 with AKIAMY0OWN0KEYEXAMPL", "revoked: Deleted"], done.stdout)
    assert "README" not in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "nowhere.json cannot be read: No such file or directory"),
        ("", "nowhere.json is not JSON"),
        ('{"accessKeyId": ', "nowhere.json is not JSON"),
        ("[" * 100_000, "nowhere.json is not JSON"),
    ],
    ids=["missing", "empty", "cut short", "too deep"],
)
def test_an_event_file_that_cannot_be_used_is_named(content, says, make_run, tmp_path):
    event = tmp_path / "nowhere.json"
    if content is not None:
        event.write_text(content)
    done = make_run(event)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and "Traceback" not in done.stderr


def test_a_program_that_is_not_there_is_named(make_run, tmp_path):
    done = make_run(cases.EVENTS / "manual.json", bootstrap=tmp_path / "bootstrap")
    assert done.returncode == 2
    assert f"there is no program {tmp_path / 'bootstrap'}" in done.stderr


def test_a_function_that_does_not_start_ends_with_2_and_its_last_words(make_run, tmp_path):
    done = make_run(cases.EVENTS / "manual.json", bootstrap=script(tmp_path, "echo these are my last words; exit 1"))
    assert done.returncode == 2
    assert "the function did not answer" in done.stderr and "these are my last words" in done.stderr


@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process_behind(interruption, simulator_program, tmp_path):
    pid_file = tmp_path / "pid"
    bootstrap = script(tmp_path, f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 600")
    command = command_line(bootstrap, simulator_program, cases.EVENTS / "manual.json")
    # A shell starts background jobs with SIGINT ignored, and children inherit that. A person's terminal does not.
    running = subprocess.Popen(
        command,
        env=harness.child_environment({}),
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with running:
        until(pid_file.exists)
        children = [int(pid_file.read_text()), *children_of(running.pid)]
        assert len(children) == 3, "the function, the emulator and the simulator"
        running.send_signal(interruption)
        assert running.wait(timeout=30) == 128 + interruption
    until(lambda: not any(is_running(child) for child in children))


def test_an_outcome_that_is_not_the_tables_ends_with_3(bootstrap, simulator_program, capsys):
    case = next(case for case in cases.table() if case.file == "manual.json")
    payload, event = run.read_event(case.path)
    elsewhere = cases.world(cases.NOTHING, event)
    done = run.let_loose(bootstrap, simulator_program, payload, elsewhere)
    assert run.report(done, case) == run.NOT_AS_EXPECTED
    assert "NOT AS IT SHOULD BE: events/README.md says `revoked` for manual.json." in capsys.readouterr().out
    assert run.report(done, None) == run.OK


def test_a_lost_bystander_or_record_ends_with_3_whatever_lambda_says(capsys):
    bystander = ("us-east-1", "photos", cases.BYSTANDERS[0])
    answer = harness.Answer(200, '{"records": [{}]}', 0.1)
    record = {"status_code": "revoked", "message": "Deleted"}
    lost = run.Run({bystander}, set(), [], [record], answer)
    assert run.report(lost, None) == run.NOT_AS_EXPECTED
    assert f"keys are gone that the event does not name: {bystander[2]} of photos" in capsys.readouterr().out
    assert run.report(run.Run(set(), set(), [], [], answer), None) == run.NOT_AS_EXPECTED
    assert run.report(run.Run({bystander}, {bystander}, [], [record], answer), None) == run.OK


def test_make_run_needs_nothing_but_the_standard_library():
    ours = {Path(name).stem for name in WHAT_MAKE_RUN_NEEDS}
    for name in WHAT_MAKE_RUN_NEEDS:
        for node in ast.walk(ast.parse((HERE / name).read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert {module.split(".")[0] for module in modules} <= sys.stdlib_module_names | ours


def command_line(bootstrap, simulator_program, event):
    return [sys.executable, HERE / "run.py", "--bootstrap", bootstrap, "--simulator", simulator_program, event]


def script(directory, text):
    program = directory / "bootstrap"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return program


def assert_in_order(parts, text):
    start = 0
    for part in parts:
        found = text.find(part, start)
        assert found >= 0, f"{part!r} is not there, or not in its place:\n{text}"
        start = found + len(part)


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
