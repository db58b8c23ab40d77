//! A folder with a configuration of a tenant inside the process and one delivery.

/// `sink`: its whole table; `connection`: the lines of the connection that say where it goes, and how.
pub fn configured(sink: &str, connection: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        r#"
[state]
url = "sqlite://ledger.db"
[providers.box]
type = "sandbox"
data_dir = "box"
{sink}
[[connections]]
name = "initech"
provider = "box"
connection_id = "con_okta000000000001"
scopes = ["get:users", "post:users", "put:users", "patch:users", "delete:users"]
token_lifetime = "30d"
{connection}
"#
    );
    std::fs::write(folder.path().join("c.toml"), config).unwrap();
    folder
}
