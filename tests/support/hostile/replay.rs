//! The corpus, fed file by file.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::Target;

/// How long one input may take in a test build on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);

/// The files of a target's corpus, in the order of their names.
fn corpus(target: Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Feeds the whole corpus of a target to it: each file ends soon, and without a panic.
pub fn replay(target: Target) {
    let files = corpus(target);
    assert!(!files.is_empty(), "{} has no corpus", target.name);
    let (done, fed) = mpsc::channel();
    // A thread of its own, with the stack that the program's workers have: what nests uses it up here
    // if it does there.
    let feeding = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn({
        let files = files.clone();
        move || {
            for file in files {
                let input = fs::read(&file).unwrap();
                (target.feed)(&input);
                done.send(()).unwrap();
            }
        }
    });
    let feeding = feeding.unwrap();
    for file in &files {
        #[expect(clippy::disallowed_methods, reason = "it is the test's own time that is measured")]
        let began = Instant::now();
        match fed.recv_timeout(LONGEST) {
            Ok(()) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                panic!("{} fails on {}", target.name, file.display());
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!(
                    "{} takes longer than {:?} for {}",
                    target.name,
                    began.elapsed(),
                    file.display()
                );
            }
        }
    }
    feeding.join().unwrap();
}
