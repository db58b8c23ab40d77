//! Auth0's two ways through a list: by page, and by checkpoint.

use serde_json::{Value, json};

use super::wire::{TenantAnswer, TenantRequest, invalid_query, refusal};

/// What a caller asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// `page` and `per_page`.
    Numbered { page: usize, per_page: usize, totals: bool },
    /// `take`, and the id that the page begins behind.
    Checkpoint { take: usize, after: Option<String> },
}

impl Page {
    /// Reads the parameters of a list that knows both ways.
    pub(super) fn read(ask: &TenantRequest) -> Result<Self, TenantAnswer> {
        if ask.param("take").is_some() || ask.param("from").is_some() {
            return Self::checkpoint(ask);
        }
        let page = number(ask, "page", 0, 0..=1_000_000)?;
        let per_page = number(ask, "per_page", 100, 1..=100)?;
        // A caller may learn the total of a larger list, but must then go on by checkpoint.
        if page * per_page >= 1000 {
            return Err(refusal(
                400,
                "You can only page through the first 1000 records; use take and from beyond them",
                Some("invalid_paging"),
            ));
        }
        let totals = ask.param("include_totals") == Some("true");
        Ok(Self::Numbered { page, per_page, totals })
    }

    /// Reads the parameters of a list that is read by checkpoint only.
    pub(super) fn checkpoint(ask: &TenantRequest) -> Result<Self, TenantAnswer> {
        let take = number(ask, "take", 50, 1..=100)?;
        let after = match ask.param("from") {
            None => None,
            Some(cursor) => Some(
                from_cursor(cursor)
                    .ok_or_else(|| refusal(400, "Invalid pagination cursor.", None))?,
            ),
        };
        Ok(Self::Checkpoint { take, after })
    }

    /// Where a checkpoint page begins.
    pub(super) fn after(&self) -> Option<&str> {
        match self {
            Self::Numbered { .. } => None,
            Self::Checkpoint { after, .. } => after.as_deref(),
        }
    }

    /// Takes the page out of all that is behind [`Page::after`], and wraps it as `member`.
    /// `show` is called for the entries of the page only.
    pub(super) fn wrap<'a, T: 'a>(
        &self,
        member: &str,
        mut entries: impl Iterator<Item = (&'a String, &'a T)>,
        show: impl Fn(&'a String, &'a T) -> Value,
    ) -> Value {
        match self {
            Self::Numbered { page, per_page, totals } => {
                let start = page * per_page;
                let mut total = 0;
                let mut shown = Vec::new();
                for (index, (id, entry)) in entries.enumerate() {
                    total += 1;
                    if (start..start + per_page).contains(&index) {
                        shown.push(show(id, entry));
                    } else if index >= start + per_page && !totals {
                        break;
                    }
                }
                if *totals {
                    json!({ "start": start, "limit": per_page, "total": total, member: shown })
                } else {
                    Value::Array(shown)
                }
            }
            Self::Checkpoint { take, .. } => {
                let page: Vec<_> = entries.by_ref().take(*take).collect();
                let last = page.last().map(|(id, _)| to_cursor(id));
                let shown: Vec<_> = page.into_iter().map(|(id, entry)| show(id, entry)).collect();
                match last.filter(|_| entries.next().is_some()) {
                    Some(next) => json!({ member: shown, "next": next }),
                    None => json!({ member: shown }),
                }
            }
        }
    }
}

fn number(
    ask: &TenantRequest,
    name: &str,
    absent: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<usize, TenantAnswer> {
    let Some(text) = ask.param(name) else {
        return Ok(absent);
    };
    match text.parse() {
        Err(_) => Err(invalid_query(&format!(
            "'Expected type integer but found type string' on property {name}"
        ))),
        Ok(number) if number < *range.start() => Err(invalid_query(&format!(
            "'Value {number} is less than minimum {}' on property {name}",
            range.start()
        ))),
        Ok(number) if number > *range.end() => Err(invalid_query(&format!(
            "'Value {number} is greater than maximum {}' on property {name}",
            range.end()
        ))),
        Ok(number) => Ok(number),
    }
}

/// An opaque text, so that no client comes to rely on ids in it.
fn to_cursor(id: &str) -> String {
    id.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn from_cursor(cursor: &str) -> Option<String> {
    let digits = cursor.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok().filter(|id| id.starts_with("con_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_a_made_up_one_does_not() {
        assert_eq!(from_cursor(&to_cursor("con_a")).as_deref(), Some("con_a"));
        for bad in ["x", "zz", "6", "6161", "ff"] {
            assert_eq!(from_cursor(bad), None, "{bad}");
        }
    }
}
