//! Kinds of sink that this build has no more of than their names.

use scimitar::sink::KINDS;

use super::support::{Bench, HEAD};

#[cfg(not(all(feature = "azure_key_vault", feature = "gcp_secret_manager")))]
#[test]
fn a_kind_that_is_not_built_in_is_refused_with_the_way_out() {
    for kind in KINDS.into_iter().filter(|kind| kind.absent.is_some()) {
        let (name, feature) = (kind.name, kind.absent.unwrap());
        super::support::refused(
            &format!("{HEAD}[sinks.x]\ntype = «\"{name}\"\nproject = \"acme-identity\"\n"),
            &format!(
                "this build of scimitar has no sink of type \"{name}\" (built without the cargo \
                 feature {feature})"
            ),
            &format!(
                "use the program as it is shipped (release, package, image), which has every kind of sink, or \
                 build it with: cargo build --features {feature}"
            ),
        );
    }
}

/// One whose feature is on is read.
#[test]
fn each_kind_with_a_feature_is_there_where_that_is_on() {
    let on = [
        ("gcp_secret_manager", cfg!(feature = "gcp_secret_manager")),
        ("azure_key_vault", cfg!(feature = "azure_key_vault")),
    ];
    for (name, on) in on {
        let kind = KINDS.into_iter().find(|kind| kind.name == name).unwrap();
        assert_eq!(kind.absent.is_none(), on, "{name}");
        let problems = Bench::new().problems(&format!("{HEAD}[sinks.x]\ntype = \"{name}\"\n"));
        let is_absent = problems.iter().any(|line| line.contains("cargo feature"));
        assert_eq!(is_absent, !on, "{problems:?}");
    }
}
