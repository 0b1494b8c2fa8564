//! Text written by strangers -> text that may stand in a log line, a record or an error.
//!
//! Alert titles, reasons and AWS messages are free text that an attacker may have chosen. Invariant: a [`PlainText`] is
//! one line of bounded length, with nothing that moves a terminal's cursor, and with nothing in it that has the shape of
//! a secret access key or session token.

use std::fmt;

use serde::Serialize;

/// Longest text that is kept, in characters.
const LONGEST: usize = 300;

/// A secret access key is 40 characters of `A-Za-z0-9/+` (facts: TruffleHog's and AWS's own scanners use this shape).
const SECRET_LENGTH: usize = 40;

/// Nothing that people write runs on for so long without a break, but an STS session token does.
const TOKEN_LENGTH: usize = 100;

/// One safe line of somebody else's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PlainText(String);

impl PlainText {
    /// Makes `text` safe: secrets out, control characters escaped, and cut to 300 characters.
    pub fn of(text: &str) -> Self {
        // One million characters of alert need not be read to keep three hundred; the margin lets a secret that
        // straddles the cut be seen whole.
        let end = text.char_indices().nth(LONGEST + 2 * TOKEN_LENGTH).map_or(text.len(), |(at, _)| at);
        let line: String = escape(&redact(text.get(..end).unwrap_or_default()));
        if line.chars().count() <= LONGEST && end == text.len() {
            Self(line)
        } else {
            Self(line.chars().take(LONGEST).chain("[cut]".chars()).collect())
        }
    }

    /// The safe text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlainText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn redact(text: &str) -> String {
    let opaque = |c: char| c.is_ascii_alphanumeric() || c == '/' || c == '+';
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| opaque(c) == opaque(first);
        let (run, after) = rest.split_at(rest.find(|c| !same(c)).unwrap_or(rest.len()));
        // A Git commit is 40 characters too, but of lower-case hexadecimal alone.
        let commit = run.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let secret = opaque(first) && !commit && (run.len() == SECRET_LENGTH || run.len() >= TOKEN_LENGTH);
        safe.push_str(if secret { "[redacted]" } else { run });
        rest = after;
    }
    safe
}

fn escape(text: &str) -> String {
    let moves = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
            || ('\u{200b}'..='\u{200f}').contains(&c)
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if moves(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_words_stay_as_they_are() {
        let words = "User: arn:aws:sts::012345678912:assumed-role/responder/fn is not authorized; commit 0123456789abcdef0123456789abcdef01234567";
        assert_eq!(PlainText::of(words).as_str(), words);
    }

    #[test]
    fn a_secret_access_key_is_taken_out_wherever_it_stands() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        for text in [
            secret.to_owned(),
            format!("AKIAIOSFODNN7EXAMPLE:{secret}"),
            format!("{}secret={secret}", "x ".repeat(140)),
            format!("{} {secret}", "x".repeat(285)),
        ] {
            let safe = PlainText::of(&text);
            assert!(!safe.as_str().contains("wJalr"), "{safe}");
        }
        assert_eq!(PlainText::of(&format!("key={secret}.")).as_str(), "key=[redacted].");
    }

    #[test]
    fn a_session_token_is_taken_out() {
        assert_eq!(PlainText::of(&format!("t {} t", "IQoJb3JpZ2luX2Vj".repeat(20))).as_str(), "t [redacted] t");
    }

    #[test]
    fn control_characters_cannot_start_a_line_or_colour_it() {
        let safe = PlainText::of("a\r\nb\u{1b}[31m\u{2028}\u{202e}\0");
        assert_eq!(safe.as_str(), "a\\r\\nb\\u{1b}[31m\\u{2028}\\u{202e}\\u{0}");
    }

    #[test]
    fn a_megabyte_is_cut_and_says_so() {
        let safe = PlainText::of(&"\u{e9}! ".repeat(400_000));
        assert_eq!(safe.as_str().chars().count(), LONGEST + 5);
        assert!(safe.as_str().ends_with("[cut]"));
    }
}
