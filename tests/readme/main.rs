//! What the README and the documents say is so: commands, keys, metrics, the picture of the state
//! machine, and the tour, which is run as it stands.
//!
//! `UPDATE_README=1 cargo test --test readme` writes the picture and the tour's output anew.

#[cfg(test)]
mod diagram;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod text;
#[cfg(test)]
mod tour;
