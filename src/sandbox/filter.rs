//! SCIM filters (RFC 7644 section 3.4.2.2), as far as Auth0 knows them: `eq`, `and`, `or`.

use serde_json::Value;

/// The longest filter that is read, in bytes.
const LONGEST: usize = 2_000;
/// How deep parentheses may nest.
const DEEPEST: usize = 16;

/// A filter that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    /// The attribute (a path with dots) has the value.
    Eq(String, Value),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// What is wrong with it, in words for `detail`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("a filter may have at most {LONGEST} bytes"));
        }
        let mut parser = Parser { words: words(text)?, at: 0, depth: 0 };
        let filter = parser.any()?;
        match parser.next() {
            None => Ok(filter),
            Some(word) => Err(format!("{word:?} was not expected")),
        }
    }

    /// Whether a resource matches.
    pub(super) fn matches(&self, resource: &Value) -> bool {
        match self {
            Self::Eq(path, value) => found(resource, path, value),
            Self::And(left, right) => left.matches(resource) && right.matches(resource),
            Self::Or(left, right) => left.matches(resource) || right.matches(resource),
        }
    }

    /// The attribute and value of a plain `eq`, from which a missing element can be made.
    pub(super) fn pair(&self) -> Option<(&str, &Value)> {
        match self {
            Self::Eq(path, value) => Some((path, value)),
            Self::And(..) | Self::Or(..) => None,
        }
    }
}

/// Attributes whose case counts (RFC 7643 section 3.1); all others are compared without it.
fn case_exact(path: &str) -> bool {
    path.eq_ignore_ascii_case("id") || path.eq_ignore_ascii_case("externalId")
}

fn found(resource: &Value, path: &str, wanted: &Value) -> bool {
    fn walk(value: &Value, path: Option<&str>, wanted: &Value, exact: bool) -> bool {
        if let Value::Array(items) = value {
            return items.iter().any(|item| walk(item, path, wanted, exact));
        }
        let Some(path) = path else {
            return match (value, wanted) {
                (Value::String(have), Value::String(want)) if !exact => {
                    have.to_lowercase() == want.to_lowercase()
                }
                // `emails eq "a@b"` compares the elements' values.
                (Value::Object(members), want) => {
                    members.get("value").is_some_and(|have| walk(have, None, want, exact))
                }
                (have, want) => have == want,
            };
        };
        let (first, rest) = match path.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        value.as_object().is_some_and(|members| {
            members
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(first))
                .any(|(_, value)| walk(value, rest, wanted, exact))
        })
    }
    walk(resource, Some(path), wanted, case_exact(path))
}

fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' => 1,
            '"' => quoted(rest).ok_or("a string is not closed")?,
            _ => {
                rest.find(|c: char| c.is_whitespace() || c == '(' || c == ')').unwrap_or(rest.len())
            }
        };
        let (word, behind) = rest.split_at(length);
        words.push(word.to_owned());
        rest = behind.trim_start();
    }
    Ok(words)
}

/// The length of the JSON string that `text` begins with.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| {
        let end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        end.then_some(at + 1)
    })
}

struct Parser {
    words: Vec<String>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Filter, String> {
        let mut left = self.all()?;
        while self.skip("or") {
            left = Filter::Or(Box::new(left), Box::new(self.all()?));
        }
        Ok(left)
    }

    fn all(&mut self) -> Result<Filter, String> {
        let mut left = self.one()?;
        while self.skip("and") {
            left = Filter::And(Box::new(left), Box::new(self.one()?));
        }
        Ok(left)
    }

    fn one(&mut self) -> Result<Filter, String> {
        if self.skip("(") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err("parentheses nest too deep".to_owned());
            }
            let inner = self.any()?;
            self.depth -= 1;
            return if self.skip(")") { Ok(inner) } else { Err("a ) is missing".to_owned()) };
        }
        let path = self.next().ok_or("an attribute is missing")?;
        let legal = path.chars().all(|c| c.is_ascii_alphanumeric() || ".:_-$".contains(c));
        if !legal {
            return Err(format!("{path:?} is not an attribute"));
        }
        let operator = self.next().ok_or("an operator is missing")?;
        if !operator.eq_ignore_ascii_case("eq") {
            return Err(format!("{operator:?} is not supported; eq, and, or are"));
        }
        let value = self.next().ok_or("a value is missing")?;
        let value =
            serde_json::from_str(&value).map_err(|_| format!("{value:?} is not a value"))?;
        Ok(Filter::Eq(path, value))
    }

    fn next(&mut self) -> Option<String> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word.clone())
    }

    fn skip(&mut self, expected: &str) -> bool {
        let there = self.words.get(self.at).is_some_and(|word| word.eq_ignore_ascii_case(expected));
        self.at += usize::from(there);
        there
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn eq_and_or_are_understood() {
        let user = json!({
            "userName": "Ada@example.com", "externalId": "X1", "active": true,
            "emails": [{ "value": "ada@example.com", "type": "work" }],
        });
        for (filter, expected) in [
            (r#"userName eq "ada@EXAMPLE.com""#, true),
            (r#"externalId eq "x1""#, false),
            (r#"externalId EQ "X1" and active eq true"#, true),
            (r#"active eq false or externalId eq "X1""#, true),
            (r#"active eq false and externalId eq "X1" or active eq true"#, true),
            (r#"active eq false and (externalId eq "X1" or active eq true)"#, false),
            (r#"emails.value eq "ada@example.com""#, true),
            (r#"emails eq "ada@example.com""#, true),
            (r#"nickName eq "ada""#, false),
        ] {
            assert_eq!(Filter::parse(filter).unwrap().matches(&user), expected, "{filter}");
        }
    }

    #[test]
    fn everything_else_is_refused_in_words() {
        for bad in [
            "",
            "userName",
            "userName eq",
            "userName sw \"a\"",
            "userName eq a",
            "(a eq 1",
            "a eq 1 b",
            "a eq \"",
            "not (a eq 1)",
            "a eq 1 and",
        ] {
            assert!(Filter::parse(bad).is_err(), "{bad}");
        }
        let deep = format!("{}a eq 1{}", "(".repeat(500), ")".repeat(500));
        assert!(Filter::parse(&deep).is_err());
    }
}
