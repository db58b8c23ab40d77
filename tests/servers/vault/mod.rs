//! The Vault sink against a real OpenBao, and against a server that answers as told where a real
//! one cannot.

#[cfg(test)]
mod beside;
#[cfg(test)]
mod conforms;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod hazards;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod once;
#[cfg(test)]
mod raft;
#[cfg(test)]
mod repeats;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rotates;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod session;
#[cfg(test)]
mod site;
#[cfg(test)]
mod troubles;

use scimitar_test_support::{bao, binary, delivery, sink_conformance, venv};
