//! The container image, the manifests for Kubernetes, and what a pod does to Scimitar: it is PID 1,
//! its secrets change under it, and it is killed and made anew beside its application.

#[cfg(test)]
mod archive;
#[cfg(test)]
mod helm;
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

use scimitar_test_support::{bao, binary, debian, postgres, venv};
