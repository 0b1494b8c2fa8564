//! Text written by strangers -> text that may stand in a log line, a record or an error.
//!
//! Alert titles, reasons and AWS messages are free text that an attacker may have chosen. Invariant: a [`SafeText`] is
//! one line of bounded length, with nothing that moves a terminal's cursor, and with nothing in it that has the shape of
//! a secret access key or session token.

use std::fmt;

use serde::Serialize;

/// Longest text that is kept, in characters.
const LONGEST: usize = 300;

/// A secret access key is 40 characters of `A-Za-z0-9/+` (TruffleHog's detector `aws`), and a session token longer. With
/// something like a path or the key ID around it the run is longer; what is shorter is no secret.
const SECRET_LENGTH: usize = 40;

/// Read beyond what is kept, so that a secret at the cut is seen whole.
const MARGIN: usize = 200;

/// One safe line of somebody else's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SafeText(String);

impl SafeText {
    /// Makes `text` safe: secrets out, control characters escaped, and cut to 300 characters.
    pub fn of(text: &str) -> Self {
        // One million characters of alert need not be read to keep three hundred.
        let end = text.char_indices().nth(LONGEST + MARGIN).map_or(text.len(), |(at, _)| at);
        let (read, unread) = text.split_at(end);
        let line = escape(&redact(read, !unread.is_empty()));
        if line.chars().count() <= LONGEST && unread.is_empty() {
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

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes out every run of characters that is long enough for a secret and mixes capitals with small letters. Without the
/// mix it is a path, a Git commit or a number: of forty random characters all would have to be of one case.
fn redact(text: &str, goes_on: bool) -> String {
    // `%` and `\` too: a secret in a URL or in JSON text has its slashes encoded with them.
    let opaque = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '+' | '%' | '\\');
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let other = |c: char| opaque(c) != opaque(first);
        let (run, after) = rest.split_at(rest.find(other).unwrap_or(rest.len()));
        let mixed = run.bytes().any(|b| b.is_ascii_uppercase()) && run.bytes().any(|b| b.is_ascii_lowercase());
        // How long the run is that the cut goes through, nobody knows.
        let long = run.len() >= SECRET_LENGTH || (goes_on && after.is_empty());
        safe.push_str(if opaque(first) && mixed && long { "[redacted]" } else { run });
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
        let words = "User: arn:aws:sts::012345678912:assumed-role/responder/fn is not authorized; commit 0123456789abcdef0123456789abcdef01234567, com/example/configuration/of/production/servers";
        assert_eq!(SafeText::of(words).as_str(), words);
    }

    #[test]
    fn a_secret_access_key_is_taken_out_wherever_it_stands() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        for text in [
            secret.to_owned(),
            format!("AKIAIOSFODNN7EXAMPLE:{secret}"),
            format!("{}secret={secret}", "x ".repeat(140)),
            format!("{} {secret}", "x".repeat(285)),
            format!("https://example.com/dump/{secret}"),
            format!("{secret}/"),
            format!("AKIAIOSFODNN7EXAMPLE{secret}"),
            secret.replace('/', "%2F"),
            secret.replace('/', "\\/"),
            format!("x x x {}", format!("{secret} ").repeat(40)),
        ] {
            let safe = SafeText::of(&text);
            assert!(!safe.as_str().contains("wJalr"), "{safe}");
        }
        assert_eq!(SafeText::of(&format!("key={secret}.")).as_str(), "key=[redacted].");
        for cut in 0..600 {
            let safe = SafeText::of(&format!("{}{secret}{}", ". ".repeat(cut), " and so on".repeat(100)));
            assert!(!safe.as_str().contains("wJalr"), "{cut}: {safe}");
        }
    }

    #[test]
    fn a_session_token_is_taken_out() {
        assert_eq!(SafeText::of(&format!("t {} t", "IQoJb3JpZ2luX2Vj".repeat(20))).as_str(), "t [redacted] t");
    }

    #[test]
    fn control_characters_cannot_start_a_line_or_colour_it() {
        let safe = SafeText::of("a\r\nb\u{1b}[31m\u{2028}\u{202e}\0");
        assert_eq!(safe.as_str(), "a\\r\\nb\\u{1b}[31m\\u{2028}\\u{202e}\\u{0}");
    }

    #[test]
    fn a_megabyte_is_cut_and_says_so() {
        let safe = SafeText::of(&"\u{e9}! ".repeat(400_000));
        assert_eq!(safe.as_str().chars().count(), LONGEST + 5);
        assert!(safe.as_str().ends_with("[cut]"));
    }
}
