//! The binary: what it prints, how it ends.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
};

use lightsail_simulator::Dialect;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lightsail-simulator");

fn run(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(PROGRAM).args(arguments).output()
}

#[test]
fn the_program_says_where_it_listens_and_ends_cleanly_when_told_to() {
    for signal in ["-TERM", "-INT"] {
        let mut program = Command::new(PROGRAM)
            .args([
                "--listen",
                "127.0.0.1:0",
                "--keep-alive",
                "no",
                "--latency-ms",
                "5",
                "--regions",
                "mx-central-1,ap-east-1:disabled",
                "--denied-tag",
                "protect=true",
                "--dialect",
                "absent-key=failed",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("lightsail-simulator listening on http://127.0.0.1:").unwrap();
        assert!(port.trim_end().parse::<u16>().is_ok_and(|port| port > 0), "{line}");
        Command::new("kill").args([signal, &program.id().to_string()]).status().unwrap();
        assert_eq!(program.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[test]
fn arguments_that_cannot_be_meant_end_with_2_and_are_named() {
    for (arguments, expected) in [
        (&["--port", "1"][..], "unknown argument `--port`, expected --listen, --account"),
        (&["--listen"], "--listen needs a value"),
        (&["--listen", "here"], "--listen cannot be `here`: ADDRESS:PORT is accepted"),
        (&["--listen", "0.0.0.0:0"], "only loopback addresses are accepted"),
        (&["--account", "me"], "`me` is not an account: 12 digits are"),
        (&["--page-size", "0"], "a page must have room"),
        (&["--latency-ms", "-1"], "--latency-ms cannot be `-1`: a number is accepted"),
        (
            &["--dialect", "absent-key=gone"],
            "--dialect: absent-key cannot be `gone`, expected one of not-found, succeeded",
        ),
        (
            &["--dialect", "mood=bad"],
            "--dialect: unknown setting `mood`, expected one of delete-operations, absent-key",
        ),
        (&["--dialect", "absent-key"], "--dialect: `absent-key` is not a setting with a value: NAME=VALUE"),
        (&["--regions", "eu-west-1,Mars"], "`Mars` is not a Region's name"),
        (&["--regions", "eu-west-1:closed"], "`eu-west-1:closed` is not a Region's name"),
        (&["--denied-tag", "protect"], "--denied-tag cannot be `protect`: KEY=VALUE is accepted"),
        (&["--keep-alive", "maybe"], "--keep-alive cannot be `maybe`: yes or no is accepted"),
    ] {
        let output = run(arguments).unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && text.contains(expected), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_names_every_argument() {
    let output = run(&["--help"]).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    for argument in [
        "--listen",
        "--account",
        "--secret-access-key",
        "--page-size",
        "--done-at-poll",
        "--latency-ms",
        "--keep-alive",
        "--regions",
        "--denied-tag",
        "--dialect",
        "--help",
    ] {
        assert!(text.contains(argument), "{text}");
    }
    for (setting, values) in Dialect::SETTINGS {
        assert!(text.contains(setting) && values.iter().all(|value| text.contains(value)), "{setting}: {text}");
    }
    assert!(output.status.success());
}
