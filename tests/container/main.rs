//! The container image, the manifests for Kubernetes, and what a pod does to Scimitar: it is PID 1,
//! its secrets change under it, and it is killed and made anew beside its application.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests themselves do"
)]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/bao.rs"]
mod bao;
#[cfg(test)]
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/binary.rs"]
mod binary;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/debian.rs"]
mod debian;
#[cfg(test)]
mod image;
#[cfg(test)]
mod kubernetes;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod pid1;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod tenant;
#[path = "../support/venv.rs"]
mod venv;
