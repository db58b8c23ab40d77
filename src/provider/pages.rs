//! Lists that come in pages.

use std::collections::BTreeSet;

use crate::{
    clock::ProviderTime,
    token::{Listed, Listing, TokenId},
};

/// A part of a list.
pub(super) struct Page {
    pub(super) tokens: Vec<Listed>,
    /// How many there are in all, if it says.
    pub(super) total: Option<usize>,
    /// Whether it is the last one; `None`: it does not say.
    pub(super) is_last: Option<bool>,
    pub(super) provider_time: Option<ProviderTime>,
}

/// The pages of a list so far. A shorter list would be taken for tokens that are gone.
#[derive(Default)]
pub(super) struct Gathered {
    tokens: Vec<Listed>,
    ids: BTreeSet<TokenId>,
    pages: usize,
    /// There is nothing beyond what was gathered.
    ended: bool,
    /// It says that there is more.
    goes_on: bool,
    total: Option<usize>,
    provider_time: Option<ProviderTime>,
}

impl Gathered {
    /// Adds the next page.
    ///
    /// # Errors
    /// When the pages together would not be the whole list.
    pub(super) fn add(&mut self, page: Page) -> Result<(), &'static str> {
        if self.pages == 0 {
            self.total = page.total;
            // The earliest: nothing in the list is older than that.
            self.provider_time = page.provider_time;
        } else if page.total != self.total {
            return Err("its list changed while Scimitar read it");
        } else if self.total.is_none() && page.is_last.is_none() {
            // It does not say how many there are, and this was asked for to make sure: nothing more,
            // or all of it once more, which is to say that it does not do pages.
            let known = page.tokens.iter().filter(|token| self.ids.contains(&token.id)).count();
            if known == page.tokens.len() {
                self.ended = true;
                return Ok(());
            }
        } else if page.tokens.is_empty() {
            return Err("its list ends before it is complete");
        }
        self.pages += 1;
        self.ended = page.is_last == Some(true);
        self.goes_on = page.is_last == Some(false);
        for token in page.tokens {
            if !self.ids.insert(token.id.clone()) {
                return Err("its list shows a token twice");
            }
            self.tokens.push(token);
        }
        match self.total {
            Some(total) if total < self.tokens.len() => {
                Err("its list is longer than the count that it reports")
            }
            Some(total) if total > 0 && self.tokens.is_empty() => Err("its list is missing tokens"),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing is missing, as far as the service says.
    pub(super) fn is_complete(&self) -> bool {
        let gathered = self.tokens.len();
        match self.total {
            Some(total) => self.pages > 0 && total == gathered,
            // Any page may be cut short, whatever its length.
            None => self.ended || (gathered == 0 && !self.goes_on),
        }
    }

    pub(super) fn listing(self) -> Listing {
        Listing { tokens: self.tokens, provider_time: self.provider_time }
    }
}
