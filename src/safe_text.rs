//! Untrusted text -> text that is safe in a log line, a record or an error.
//!
//! Alert titles, reasons and AWS messages are free text that an attacker can choose. Invariant: a [`SafeText`] is one
//! line of bounded length, without characters that move a terminal's cursor, and without text in the shape of a secret
//! access key or session token.

use std::fmt;

use serde::Serialize;

/// Limit of the safe text, in characters.
const MAX_LENGTH: usize = 300;

/// Length of a secret access key: 40 characters of `A-Za-z0-9/+` (TruffleHog's detector `aws`). A session token is
/// longer, and so is a secret with a path or a key ID around it. A shorter run is not a secret.
const SECRET_LENGTH: usize = 40;

/// Characters that are examined past the limit, so that a secret at the cut is seen whole.
const MARGIN: usize = 200;

/// One line of sanitised untrusted text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SafeText(String);

impl SafeText {
    /// Sanitises `text`: redacts secrets, escapes control characters and cuts it to 300 characters.
    pub fn of(text: &str) -> Self {
        // A million characters need not be examined to keep three hundred.
        let end = text.char_indices().nth(MAX_LENGTH + MARGIN).map_or(text.len(), |(at, _)| at);
        let (read, unread) = text.split_at(end);
        let line = escape(&redact(read, !unread.is_empty()));
        if line.chars().count() <= MAX_LENGTH && unread.is_empty() {
            Self(line)
        } else {
            Self(line.chars().take(MAX_LENGTH).chain("[cut]".chars()).collect())
        }
    }

    /// Returns the safe text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Redacts every run of characters that is long enough for a secret and has both upper-case and lower-case letters. A
/// run in one case is a path, a Git commit or a number, because forty random characters are practically never in one
/// case.
fn redact(text: &str, goes_on: bool) -> String {
    // `%` and `\` encode the slashes of a secret in a URL or in JSON text.
    let opaque = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '+' | '%' | '\\');
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let other = |c: char| opaque(c) != opaque(first);
        let (run, after) = rest.split_at(rest.find(other).unwrap_or(rest.len()));
        let mixed = run.bytes().any(|b| b.is_ascii_uppercase()) && run.bytes().any(|b| b.is_ascii_lowercase());
        // The length of a run at the cut is unknown.
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
    fn ordinary_text_is_unchanged() {
        let words = "User: arn:aws:sts::012345678912:assumed-role/responder/fn is not authorized; commit 0123456789abcdef0123456789abcdef01234567, com/example/configuration/of/production/servers";
        assert_eq!(SafeText::of(words).as_str(), words);
    }

    #[test]
    fn secret_access_key_is_redacted_everywhere() {
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
    fn session_token_is_redacted() {
        assert_eq!(SafeText::of(&format!("t {} t", "IQoJb3JpZ2luX2Vj".repeat(20))).as_str(), "t [redacted] t");
    }

    #[test]
    fn control_characters_are_escaped() {
        let safe = SafeText::of("a\r\nb\u{1b}[31m\u{2028}\u{202e}\0");
        assert_eq!(safe.as_str(), "a\\r\\nb\\u{1b}[31m\\u{2028}\\u{202e}\\u{0}");
    }

    #[test]
    fn long_text_is_cut_and_marked() {
        let safe = SafeText::of(&"\u{e9}! ".repeat(400_000));
        assert_eq!(safe.as_str().chars().count(), MAX_LENGTH + 5);
        assert!(safe.as_str().ends_with("[cut]"));
    }
}
