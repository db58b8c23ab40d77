//! Which commit the program was built from.

/// The commit in full, with `-dirty` behind it where the source was changed after it, or `unknown`:
/// `build.rs` says where it comes from.
pub const REVISION: &str = env!("SCIMITAR_REVISION");

/// The version and the commit, as `--version` prints them.
#[must_use]
pub fn version() -> String {
    described(env!("CARGO_PKG_VERSION"), REVISION)
}

/// As many digits of a commit as nobody mistakes for another.
const DIGITS: usize = 12;

fn described(version: &str, revision: &str) -> String {
    if revision == "unknown" {
        return format!("{version} (unknown commit)");
    }
    let (commit, dirty) =
        revision.strip_suffix("-dirty").map_or((revision, ""), |commit| (commit, "-dirty"));
    let is_commit = commit.chars().all(|c| c.is_ascii_hexdigit());
    let short = if is_commit { commit.get(..DIGITS).unwrap_or(commit) } else { commit };
    format!("{version} ({short}{dirty})")
}

#[cfg(test)]
mod tests {
    use super::described;

    #[test]
    fn a_commit_is_shortened_and_a_changed_tree_shows() {
        let commit = "3bba508e94f1d2c3b4a5968778695a4b3c2d1e0f";
        assert_eq!(described("0.2.0", commit), "0.2.0 (3bba508e94f1)");
        assert_eq!(described("0.2.0", &format!("{commit}-dirty")), "0.2.0 (3bba508e94f1-dirty)");
        assert_eq!(described("0.2.0", "0.2.0-1.fc42"), "0.2.0 (0.2.0-1.fc42)");
        assert_eq!(described("0.2.0", "unknown"), "0.2.0 (unknown commit)");
    }
}
