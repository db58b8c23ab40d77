//! Values that many have in common.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// A value that is kept once for all that have the same one. Whoever changes it has one of its own
/// from then on.
#[derive(Debug, Default, PartialEq)]
pub struct Shared<T>(Arc<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: PartialEq> Shared<T> {
    /// One of `kept` that is equal, or a new one, which is then kept. Only the newest few are looked
    /// through: what many have in common comes often.
    #[must_use]
    pub fn interned(value: T, kept: &mut Vec<Self>) -> Self {
        const FEW: usize = 16;
        if let Some(place) = kept.iter().position(|one| **one == value) {
            return kept.get(place).cloned().unwrap_or_else(|| Self::from(value));
        }
        if kept.len() == FEW {
            kept.remove(0);
        }
        let new = Self::from(value);
        kept.push(new.clone());
        new
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_kept_once_until_one_changes() {
        let mut kept = Vec::new();
        let one = Shared::interned("a".to_owned(), &mut kept);
        let mut other = Shared::interned("a".to_owned(), &mut kept);
        assert!(Arc::ptr_eq(&one.0, &other.0));
        other.push('b');
        assert_eq!((one.as_str(), other.as_str()), ("a", "ab"));
        for number in 0..40 {
            drop(Shared::interned(number.to_string(), &mut kept));
        }
        assert!(kept.len() <= 16, "{}", kept.len());
    }
}
