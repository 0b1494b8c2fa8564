"""A function whose environment is wrong does not start: a typing error must not turn into a key that lives on."""

import subprocess

import alerts
import harness
import pytest

LOOPBACK = "http://127.0.0.1:4599"
WRONG = {
    "a mode that does not exist": ({"RESPONDER_MODE": "dry-run"}, "dry-run", "enforce (the default), dry_run"),
    "a variable that does not exist": ({"RESPONDER_MOD": "dry_run"}, None, "RESPONDER_MODE"),
    "an endpoint elsewhere": (
        {"AWS_ENDPOINT_URL_LIGHTSAIL": "https://lightsail.example.com"},
        "https://lightsail.example.com",
        "http or https at a loopback address",
    ),
    "an endpoint that only looks like loopback": (
        {"AWS_ENDPOINT_URL_LIGHTSAIL": "http://127.0.0.1.example.com"},
        "http://127.0.0.1.example.com",
        "http or https at a loopback address",
    ),
    "a Region that is none": ({"AWS_REGION": "Ireland"}, "Ireland", "a Region code such as eu-central-1"),
}


@pytest.mark.parametrize(("settings", "value", "accepted"), WRONG.values(), ids=WRONG)
def test_a_wrong_variable_is_named_with_its_value_and_what_is_accepted(settings, value, accepted, bootstrap):
    code, said = run_alone(bootstrap, {**harness.own_environment(LOOPBACK), **settings})
    assert code != 0
    for part in [*settings, *([value] if value else []), accepted]:
        assert part in said
    assert harness.OWN_SECRET_ACCESS_KEY not in said and harness.OWN_SESSION_TOKEN not in said


def test_all_wrong_variables_are_named_at_once(bootstrap):
    wrong = {"RESPONDER_MODE": "off", "RESPONDER_MOD": "dry_run", "AWS_REGION": "", "AWS_ACCESS_KEY_ID": ""}
    code, said = run_alone(bootstrap, {**harness.own_environment("http://192.0.2.1"), **wrong})
    assert code != 0
    for part in [*wrong, "AWS_ENDPOINT_URL_LIGHTSAIL", "http://192.0.2.1"]:
        assert part in said


@pytest.mark.parametrize("missing", ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_missing_variable_is_named(missing, bootstrap):
    environment = harness.own_environment(LOOPBACK)
    del environment[missing]
    code, said = run_alone(bootstrap, environment)
    assert code != 0
    assert f"{missing} is missing" in said


def test_a_function_that_did_not_start_acts_on_nothing_and_says_so_to_lambda(lightsail, start):
    lightsail.seed("us-east-1", alerts.BUCKET, [alerts.KEY])
    function = start(RESPONDER_MODE="dry")
    answer = function.invoke(alerts.by_hand())
    assert answer.error_type is not None
    assert lightsail.requests() == []
    assert "RESPONDER_MODE is" in function.log()


def run_alone(bootstrap, environment):
    """Runs the function without any Lambda around it; returns its exit code and all that it says."""
    done = subprocess.run(
        [bootstrap], env=harness.child_environment(environment), capture_output=True, text=True, timeout=10, check=False
    )
    return done.returncode, (done.stdout + done.stderr).replace('\\"', '"')
