//! Untrusted text -> text that is safe in a log line, a record or an error.
//!
//! Alert titles, reasons and AWS messages are free text that an attacker can choose. Invariants: a [`SafeText`] and a
//! [`SafeId`] are one line of bounded length, without characters that move a terminal's cursor. A [`SafeText`] is also
//! without text in the shape of a secret access key or session token. A [`SafeId`] keeps what an ID can be.

use std::fmt;

use serde::Serialize;

/// Limit of the safe text, in characters.
const MAX_LENGTH: usize = 300;

/// Limit of an ID, in characters. ASFF's finding IDs are the longest: 512 (Security Hub API reference,
/// "AwsSecurityFinding").
const MAX_ID_LENGTH: usize = 512;

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
        Self(cut(line, MAX_LENGTH, !unread.is_empty()))
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

/// An ID that a source gave, exactly as it gave it: Security Hub finds a finding by nothing else.
///
/// IDs are not redacted as free text is, because any part of a long one can look like a secret: products choose their
/// IDs, and paths and hashes in Base64 are among them. So this type is only for the value of a field by which the
/// source identifies an alert, an event or itself: never for free text, nor for a field that holds what was found. No
/// source puts a secret there. Two cases in which the value is no ID are redacted nevertheless: a value that as a whole
/// has the shape of a secret access key, and one with a space or a quotation mark, which is prose or JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SafeId(String);

impl SafeId {
    /// Escapes control characters in `id` and cuts it to 512 characters.
    pub fn of(id: &str) -> Self {
        let end = id.char_indices().nth(MAX_ID_LENGTH + MARGIN).map_or(id.len(), |(at, _)| at);
        let (read, unread) = id.split_at(end);
        let goes_on = !unread.is_empty();
        let is_text = read.contains(|c: char| c.is_whitespace() || c == '"') || read.len() == SECRET_LENGTH;
        let line = if is_text { escape(&redact(read, goes_on)) } else { escape(read) };
        Self(cut(line, MAX_ID_LENGTH, goes_on))
    }

    /// Returns the ID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Cuts `line` to `limit` characters. A mark tells that something is missing, also if `goes_on` says so.
fn cut(line: String, limit: usize, goes_on: bool) -> String {
    match line.char_indices().nth(limit) {
        Some((end, _)) => format!("{}[cut]", &line[..end]),
        None if goes_on => line + "[cut]",
        None => line,
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
    fn id_is_unchanged_whatever_it_looks_like() {
        for id in [
            "arn:aws:securityhub:us-east-1:012345678912:security-control/S3.8/finding/a1b2c3d4-5678-90ab-cdef-111122223333",
            "arn:aws:securityhub:us-east-1:012345678912:product/a/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "octo/photos#7",
            "Da39A3ee5E6b4B0d3255bfeF95601890afd80709-7",
            "Finding \u{e9}\u{4e16} (1/2)",
            &"Ab3/".repeat(MAX_ID_LENGTH / 4),
        ] {
            assert_eq!(SafeId::of(id).as_str(), id);
        }
    }

    #[test]
    fn secret_in_place_of_id_is_redacted() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(SafeId::of(secret).as_str(), "[redacted]");
        for text in
            [format!("{secret} "), format!("{{\"secret\":\"{secret}\"}}"), format!("{} {secret}", "x".repeat(490))]
        {
            assert!(!SafeId::of(&text).as_str().contains("wJalr"), "{text}");
        }
    }

    #[test]
    fn id_is_one_bounded_line() {
        assert_eq!(SafeId::of("a\r\nb\u{1b}[31m\u{202e}").as_str(), "a\\r\\nb\\u{1b}[31m\\u{202e}");
        for id in ["\u{e9}", "\n", "\u{1b}"] {
            let id = SafeId::of(&id.repeat(1_000_000));
            assert_eq!(id.as_str().chars().count(), MAX_ID_LENGTH + 5);
            assert!(id.as_str().ends_with("[cut]"));
        }
        assert_eq!(SafeId::of(&"x".repeat(MAX_ID_LENGTH + 1)).as_str(), format!("{}[cut]", "x".repeat(MAX_ID_LENGTH)));
    }

    #[test]
    fn long_text_is_cut_and_marked() {
        let safe = SafeText::of(&"\u{e9}! ".repeat(400_000));
        assert_eq!(safe.as_str().chars().count(), MAX_LENGTH + 5);
        assert!(safe.as_str().ends_with("[cut]"));
    }
}
