//! The units of `systemd/`: what systemd's own checkers say of them, and what they do under a real
//! systemd, which `boot.sh` beside this file starts in namespaces of its own.

#[cfg(test)]
pub(crate) mod analyze;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod hooks;
#[cfg(test)]
pub(crate) mod machine;
#[cfg(test)]
mod others;
#[cfg(test)]
mod units;
