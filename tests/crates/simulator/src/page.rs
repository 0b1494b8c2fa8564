//! Cuts a long list into pages, as `GetBuckets` and `GetOperations` do with `pageToken` and
//! `nextPageToken`.
//!
//! A token names the last entry that was seen, not a number of entries. So every entry that stays
//! is seen exactly once, even when others come and go between two pages.

use serde_json::{Value, json};

use crate::refusal::Refusal;

/// One page of `all`, which must be sorted by key. Tokens are opaque to clients; `list` is part
/// of them, so that one of another operation is refused.
pub(crate) fn cut<K: AsRef<str>>(
    list: &str,
    all: impl Iterator<Item = (K, Value)>,
    token: Option<&str>,
    size: usize,
) -> Result<Value, Refusal> {
    let after = token.map(|token| read(list, token)).transpose()?;
    let mut rest = all.filter(|(key, _)| after.as_deref().is_none_or(|after| key.as_ref() > after)).peekable();
    let mut page = Vec::new();
    let mut last = String::new();
    for (key, value) in rest.by_ref().take(size) {
        last = key.as_ref().to_owned();
        page.push(value);
    }
    let mut answer = json!({ list: page });
    if rest.peek().is_some() {
        answer["nextPageToken"] = hex::encode(format!("{list}/{last}")).into();
    }
    Ok(answer)
}

fn read(list: &str, token: &str) -> Result<String, Refusal> {
    let bytes = hex::decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.as_deref()
        .and_then(|text| text.strip_prefix(list)?.strip_prefix('/'))
        .map(str::to_owned)
        .ok_or_else(|| Refusal::invalid_input("The pageToken is not one of this operation."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(all: &[&str], token: Option<&str>) -> (Vec<String>, Option<String>) {
        let answer = cut("letters", all.iter().map(|key| (*key, json!(key))), token, 2).unwrap();
        let shown = serde_json::from_value(answer["letters"].clone()).unwrap();
        (shown, answer["nextPageToken"].as_str().map(str::to_owned))
    }

    #[test]
    fn pages_hold_every_entry_once_and_the_last_has_no_token() {
        let (first, token) = page(&["a", "b", "c", "d"], None);
        let (second, end) = page(&["a", "b", "c", "d"], token.as_deref());
        assert_eq!((first, second, end), (vec!["a".into(), "b".into()], vec!["c".into(), "d".into()], None));
        assert_eq!(page(&[], None), (vec![], None));
    }

    #[test]
    fn an_entry_that_vanishes_between_two_pages_hides_no_other() {
        let (_, token) = page(&["a", "b", "c"], None);
        assert_eq!(page(&["c"], token.as_deref()).0, ["c"]);
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let (_, token) = page(&["a", "b", "c"], None);
        for token in [token.as_deref(), Some("zz"), Some("")] {
            let none = std::iter::empty::<(&str, Value)>();
            assert_eq!(cut("others", none, token, 2).unwrap_err().kind, "InvalidInputException");
        }
    }
}
