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

/// Characters that are examined past the limit, so that a secret at the cut is seen whole, also if all of its
/// characters are HTML entities.
const MARGIN: usize = 400;

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
/// case. A run may go on in the next line, because editors and mailers wrap long lines, and its characters may be HTML
/// entities.
fn redact(text: &str, goes_on: bool) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = Run::of(rest);
        if run.length == 0 {
            let other = rest.chars().next().map_or(rest.len(), char::len_utf8);
            safe.push_str(&rest[..other]);
            rest = &rest[other..];
            continue;
        }
        let after = &rest[run.end..];
        let wrapped = next_line(after).map(|start| (start, Run::of(&after[start..])));
        let wrapped = wrapped
            .filter(|(_, next)| next.length > 0)
            .map(|(start, next)| (run.end + start + next.end, run.and(&next)));
        // The length of a run at the cut is unknown.
        let is_secret =
            |run: &Run, end: usize| run.is_mixed() && (run.length >= SECRET_LENGTH || (goes_on && end == rest.len()));
        let end = match wrapped {
            _ if is_secret(&run, run.end) => Some(run.end),
            Some((end, joined)) if is_secret(&joined, end) => Some(end),
            _ => None,
        };
        safe.push_str(if end.is_some() { "[redacted]" } else { &rest[..run.end] });
        rest = &rest[end.unwrap_or(run.end)..];
    }
    safe
}

/// Run of characters that a secret can have.
#[derive(Clone, Copy, Default)]
struct Run {
    /// End in the text, in bytes.
    end: usize,
    /// Number of characters. An entity is one.
    length: usize,
    upper: bool,
    lower: bool,
}

impl Run {
    /// Returns the run at the start of `text`. Its length is 0 if there is none.
    fn of(text: &str) -> Self {
        let mut run = Self::default();
        while let Some((size, c)) = character(&text[run.end..]).filter(|(_, c)| is_opaque(*c)) {
            run.end += size;
            run.length += 1;
            run.upper |= c.is_ascii_uppercase();
            run.lower |= c.is_ascii_lowercase();
        }
        run
    }

    fn and(&self, next: &Self) -> Self {
        let length = self.length + next.length;
        Self { length, upper: self.upper || next.upper, lower: self.lower || next.lower, ..*self }
    }

    fn is_mixed(&self) -> bool {
        self.upper && self.lower
    }
}

/// Tests for a character of a secret. `%` and `\` encode its slashes in a URL or in JSON text.
fn is_opaque(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '+' | '%' | '\\')
}

/// Returns the first character and its size in `text`, in bytes. An HTML entity is the character that it stands for.
fn character(text: &str) -> Option<(usize, char)> {
    let first = text.chars().next()?;
    Some(entity(text).unwrap_or((first.len_utf8(), first)))
}

/// Decodes an HTML entity at the start of `text` if it stands for a character of a secret. It may be escaped again:
/// `&amp;#x2F;`.
fn entity(text: &str) -> Option<(usize, char)> {
    let mut name = text.strip_prefix('&')?;
    while let Some(inner) = name.strip_prefix("amp;") {
        name = inner;
    }
    let end = name.bytes().take(MAX_ENTITY).position(|byte| byte == b';')?;
    let after = &name[end + 1..];
    let name = &name[..end];
    let c = match name {
        "sol" => '/',
        "plus" => '+',
        "percnt" => '%',
        "bsol" => '\\',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    is_opaque(c).then_some((text.len() - after.len(), c))
}

/// Limit of the name of an entity, above what stands for a character of a secret.
const MAX_ENTITY: usize = 10;

/// Returns the start of the next line, without its indentation, if `text` begins with a line break. A `=` before the
/// break is of quoted-printable.
fn next_line(text: &str) -> Option<usize> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r');
    let rest = text.strip_prefix('=').unwrap_or(text).trim_start_matches(blank).strip_prefix('\n')?;
    Some(text.len() - rest.trim_start_matches(blank).len())
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
    fn html_escaped_secret_is_redacted() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE+EY";
        let all = |c: char| format!("&#{};", u32::from(c));
        for text in [
            secret.replace('/', "&#x2F;").replace('+', "&#43;"),
            secret.replace('/', "&sol;").replace('+', "&plus;"),
            secret.replace('/', "&amp;#x2f;"),
            secret.replace('/', "&amp;amp;#047;"),
            format!("<b>secret:&quot;{}&quot;</b>", secret.replace('/', "&#47;")),
            secret.chars().map(all).collect(),
        ] {
            let safe = SafeText::of(&text);
            let hidden = !["wJalr", "MDENG", "bPxRf", "&#119;"].iter().any(|part| safe.as_str().contains(part));
            assert!(hidden && safe.as_str().contains("[redacted]"), "{text}: {safe}");
        }
        for cut in 0..300 {
            let escaped = secret.replace('/', "&amp;#x2F;");
            let safe = SafeText::of(&format!("{}{escaped}{}", ". ".repeat(cut), " and so on".repeat(100)));
            assert!(!safe.as_str().contains("wJalr"), "{cut}: {safe}");
        }
        for text in ["Tom &amp; Jerry &lt;tom@example.com&gt; &#x1F600; AT&T; a&b", "&", "&;", "&#;", "&#x;", "&amp;"] {
            assert_eq!(SafeText::of(text).as_str(), text);
        }
    }

    #[test]
    fn secret_over_two_lines_is_redacted() {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        for at in 1..secret.len() {
            for line_break in ["\n", "\r\n", "\n    ", " \n", "=\r\n"] {
                let (start, end) = secret.split_at(at);
                let safe = SafeText::of(&format!("secret: {start}{line_break}{end}. Rotate it"));
                assert_eq!(safe.as_str(), "secret: [redacted]. Rotate it", "{at} {line_break:?}");
            }
        }
        let prose = "Found in the repository example/photos-backup\nof the team Photos, by a scanner.\nSee Confluence";
        assert_eq!(SafeText::of(prose).as_str(), prose.replace('\n', "\\n"));
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
