//! Servers that stand in for the issuers in `examples/providers`, each as its documentation describes
//! its API.

mod apis;
mod double;

use std::{fs, path::Path};

pub use self::{
    apis::{ALL, CLOUDFLARE, CONFLUENT_CLOUD, GRAFANA, HCP_TERRAFORM, SCALEWAY, SECRET},
    double::{About, Api, Asked, Double, Token, bearer},
};

/// The declaration that is shipped, with the double in the place of the issuer, its secret in the
/// environment as `ISSUER`, and the state in `folder`.
pub fn declaration(double: &Double, folder: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/providers");
    let text = fs::read_to_string(path.join(double.api.file).with_extension("toml")).unwrap();
    let secret = format!("file = \"/etc/scimitar/{}\"", double.api.file);
    assert!(text.contains(&secret) && text.contains(double.api.host));
    text.replace(double.api.host, &double.url)
        .replace(&secret, "env = \"ISSUER\"")
        .replace("/var/lib/scimitar", &folder.display().to_string())
}
