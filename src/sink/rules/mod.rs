//! What holds for every sink: what in a place is ours, which marks are believed and when they go again,
//! which token may be overwritten, how a document keeps what others have in it, when an answer is from
//! before our own write, what a lost one means, and how a place is opened again.

pub(super) mod document;
mod effect;
pub(super) mod elsewhere;
pub(super) mod form;
mod keys;
mod latest;
pub(super) mod marks;
mod place;
mod precedence;
pub(super) mod secret_version;
pub(super) mod tags;

pub(super) use self::{
    effect::Effect,
    keys::Keys,
    latest::Latest,
    place::{elsewhere_now, invalid, not_remembered, remembered},
    precedence::{Refused, changed, lost, yields},
};
