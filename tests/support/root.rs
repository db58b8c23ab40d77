//! Tests that only root can run: to become another user, or to give files away.

use std::{fs, os::unix::fs::MetadataExt};

/// With this set to 1, what needs root passes without having been run.
pub const WITHOUT: &str = "SCIMITAR_WITHOUT_ROOT";

/// Whether a test that needs root is to be run. Without root it fails, unless it was said that it is to be
/// left out: one that passes because it was not run proves nothing.
#[expect(clippy::print_stderr, reason = "a test that is not run says so")]
pub fn runs_as_root(what: &str) -> bool {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        return true;
    }
    assert!(
        std::env::var(WITHOUT).is_ok_and(|value| value == "1"),
        "{what}: only root can become another user; {WITHOUT}=1 lets this test pass without"
    );
    eprintln!("not tested, since {WITHOUT}=1: {what}");
    false
}
