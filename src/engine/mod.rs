//! The shell: carries out what the core decides, one step after another.
//!
//! ```text
//! daemon ── lanes, agenda, pool          which connection next, and who may begin
//!    │
//! attend, operate, peek                  a call begins: claimed, by a person, or only looked at
//!    │
//! run                                    one call: decide, carry out, write down
//!    ├── look, steps, deliver, hooks     the steps, each with all that it acts on
//!    ├── rest, ended                     how a pass and a call end
//!    ├── guard                           waits for answers: with the lease kept, and with an end
//!    ├── lease, audited, deadline        the claim, the record and the end of the call; what is written down
//!    └── memory                          what was seen, and the values
//!
//! worker                                 what a run is given
//! progress                               what people see meanwhile
//! report, row, stored_status             what became of a connection, and how it stands
//! live, pulse, standstill, scrape, pages what the daemon shows of itself; pages reads all records in turn
//! telling, outages, troubles                      what people are told of services and connections that do not do well; of steps: spoken
//! ```
//!
//! What is decided, and what an answer comes to, is the core's: `rotation::decide`,
//! `rotation::answer`. `docs/architecture.md` follows one rotation through the files.

mod agenda;
mod attend;
mod audited;
mod beside;
mod configure;
pub mod daemon;
mod deadline;
mod deliver;
mod ended;
mod guard;
mod hooks;
mod lanes;
mod lease;
pub mod live;
pub(crate) mod look;
mod memory;
mod operate;
pub mod order;
pub mod outages;
mod pages;
pub mod peek;
pub mod pool;
pub mod progress;
pub mod pulse;
pub mod report;
mod rest;
pub mod row;
mod run;
pub mod scrape;
mod spoken;
mod standstill;
mod steps;
pub mod stored_status;
mod telling;
pub mod token_row;
mod troubles;
pub mod watched_row;
pub mod watching;
pub mod worker;
mod writing;
