//! Feeds libFuzzer's inputs to one of the targets: one program for all of them, since linking it takes
//! longer than many of them need. `fuzz/run` builds and runs it.
//!
//!     SCIMITAR_FUZZ_TARGET=NAME fuzz [OPTIONS OF LIBFUZZER] FOLDER…
//!
//! Without a target it names those that there are, and ends.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use scimitar_test_support::hostile::{TARGETS, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("SCIMITAR_FUZZ_TARGET").unwrap_or_default();
        match TARGETS.into_iter().find(|target| target.name == name) {
            Some(target) => drop(CHOSEN.set(target)),
            None => {
                TARGETS.iter().for_each(|target| println!("{}", target.name));
                std::process::exit(i32::from(!name.is_empty()));
            }
        }
    },
    |data: &[u8]| {
        if let Some(target) = CHOSEN.get() {
            (target.feed)(data);
        }
    }
);
