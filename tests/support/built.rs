//! What cargo built, and the folders for what tests leave behind.

use std::{env, fs, path::PathBuf};

/// The `scimitar` that was built with these tests.
///
/// Cargo names it to the test binaries that it runs. One that is run by hand finds it where cargo puts
/// it: one folder above its own.
pub fn program() -> PathBuf {
    let named = env::var_os("CARGO_BIN_EXE_scimitar").map(PathBuf::from);
    named.unwrap_or_else(|| {
        let own = env::current_exe().unwrap();
        own.ancestors().nth(2).unwrap().join("scimitar")
    })
}

/// Cargo's folder for what it builds: `target`, unless it was told another.
pub fn target() -> PathBuf {
    program().ancestors().nth(2).unwrap().to_owned()
}

/// The folder for what tests make: `CARGO_TARGET_TMPDIR` of the test binaries.
pub fn scratch() -> PathBuf {
    let folder = target().join("tmp");
    fs::create_dir_all(&folder).unwrap();
    folder
}
