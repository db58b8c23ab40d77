//! A test that changes or looks at its whole process, away from the tests beside it.

use std::{env, process::Command};

/// Runs the test of this name once more, alone in a process, and requires that it passes there.
///
/// True in that process, where the test goes on; false where there is nothing left to do.
pub fn is_this(test: &str) -> bool {
    const ALONE: &str = "SCIMITAR_TEST_ALONE";
    if env::var(ALONE).is_ok_and(|alone| alone == test) {
        return true;
    }
    let mut again = Command::new(env::current_exe().unwrap());
    let ended = again.args(["--exact", test, "--nocapture"]).env(ALONE, test).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("1 passed"), "{test} did not run: {said}");
    false
}
