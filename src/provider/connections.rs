//! The connections of an account, as a list of it shows them.

use std::collections::BTreeSet;

use crate::token::ConnectionId;

/// A connection that can have SCIM tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: ConnectionId,
    /// What it is called at the provider; any text.
    pub name: String,
    /// Its strategy in the provider's words, such as `okta`.
    pub strategy: String,
}

/// Which connections are wanted: where each costs a call, the others are not asked about.
pub type Wanted<'a> = dyn Fn(&Found) -> bool + Send + Sync + 'a;

/// So many pages in a row may show nothing new: what moves while the list is read is shown twice.
const BARREN: usize = 20;

/// More connections than any account has.
const MOST: usize = 100_000;

/// The pages of such a list so far.
#[derive(Debug, Default)]
pub(super) struct Pages {
    found: Vec<Found>,
    ids: BTreeSet<ConnectionId>,
    cursors: BTreeSet<String>,
    /// How many pages in a row showed nothing new.
    barren: usize,
}

impl Pages {
    /// Adds a page and gives back where the next one begins; `None` after the last one.
    ///
    /// # Errors
    /// When the list does not come to an end.
    pub(super) fn add(
        &mut self,
        found: Vec<Found>,
        next: Option<String>,
    ) -> Result<Option<String>, &'static str> {
        let before = self.found.len();
        for one in found {
            // What moves while the list is read may be shown twice.
            if self.ids.insert(one.id.clone()) {
                self.found.push(one);
            }
        }
        let Some(next) = next.filter(|next| !next.is_empty()) else { return Ok(None) };
        if !self.cursors.insert(next.clone()) {
            return Err("its pages form a loop");
        }
        self.barren = if self.found.len() > before { 0 } else { self.barren + 1 };
        if self.barren > BARREN || self.found.len() > MOST {
            return Err("its pages do not end");
        }
        Ok(Some(next))
    }

    /// All of them, once the last page was added.
    pub(super) fn all(self) -> Vec<Found> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(nth: usize) -> Found {
        let id = ConnectionId::try_new(format!("c-{nth}")).unwrap();
        Found { id, name: "a".to_owned(), strategy: "okta".to_owned() }
    }

    #[test]
    fn a_list_comes_to_an_end_or_is_none() {
        let mut pages = Pages::default();
        for nth in 0..50 {
            let next = pages.add(vec![found(nth), found(nth / 2)], Some(format!("{nth}")));
            assert_eq!(next, Ok(Some(format!("{nth}"))));
        }
        assert_eq!(pages.add(Vec::new(), Some("7".to_owned())), Err("its pages form a loop"));
        assert_eq!(pages.add(Vec::new(), None), Ok(None));
        assert_eq!(pages.all().len(), 50);

        let mut pages = Pages::default();
        let ended =
            (0..1000).find_map(|nth| pages.add(vec![found(0)], Some(nth.to_string())).err());
        assert_eq!(ended, Some("its pages do not end"));

        let mut pages = Pages::default();
        let many = (0..=MOST).map(found).collect();
        assert_eq!(pages.add(many, Some("x".to_owned())), Err("its pages do not end"));
    }
}
