//! The walks: pages whose commands are run one after the other, against a sandbox that is a server and a
//! real OpenBao where the page has one.

use std::{fs, path::Path};

use scimitar_test_support::binary::Call;

use super::{
    bao::{Bao, ROOT},
    text,
    tour::{Around, plain, run},
    venv,
};

/// A page, and the mark of its blocks.
struct Walk {
    page: &'static str,
    mark: &'static str,
    /// The folder that the page shows.
    folder: &'static str,
}

/// Runs the blocks of a page and requires that it shows what is seen.
fn walk(walk: &Walk, folder: &Path, mut around: Around) {
    let document = text::read(walk.page);
    let real = folder.canonicalize().unwrap().display().to_string();
    around.shown.push((real, walk.folder));
    let blocks = text::blocks(&document, walk.mark);
    assert!(blocks.len() > 5, "{}", blocks.len());
    let seen: Vec<String> = blocks.iter().map(|block| run(block, folder, &around)).collect();
    if text::updating() {
        return text::update(walk.page, walk.mark, &seen);
    }
    let (shown, seen) = (plain(&blocks.concat()), plain(&seen.concat()));
    assert_eq!(seen, shown, "UPDATE_README=1 cargo test readme:: rewrites {}", walk.page);
}

/// The ten steps to a first rotation at Auth0 and Vault, with a sandbox and an OpenBao in their places.
#[tokio::test]
async fn the_first_rotation_goes_as_its_page_says() {
    let page = Walk { page: "docs/first-rotation.md", mark: "walk", folder: "/etc/scimitar" };
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start(false).await;
    let sandbox = "sandbox --listen 127.0.0.1:0 --client-id scimitar --client-secret s3cret";
    let sandbox: Vec<&str> = sandbox.split(' ').collect();
    let sandbox = Call::new(folder.path(), &sandbox).start();
    sandbox.out.until_text("/\n");
    let said = sandbox.out.text();
    let tenant = said.split("http://").nth(1).unwrap().trim().trim_end_matches('/').to_owned();
    let vault = bao.url.replace("http://", "");

    // The file as the page shows it, but where the two are in this run.
    let configuration = text::blocks(&text::read(page.page), "walk: scimitar.toml");
    assert_eq!(configuration.len(), 1);
    let configuration =
        configuration[0].replace("127.0.0.1:4400", &tenant).replace("127.0.0.1:8200", &vault);
    fs::write(folder.path().join("scimitar.toml"), configuration).unwrap();

    let around = Around {
        variables: vec![
            ("PATH", venv::bin().display().to_string()),
            ("SCIMITAR_CONFIG", "scimitar.toml".to_owned()),
            ("BAO_ADDR", bao.url.clone()),
            ("BAO_TOKEN", ROOT.to_owned()),
        ],
        shown: vec![(tenant, "127.0.0.1:4400"), (vault, "127.0.0.1:8200")],
    };
    let path = folder.path().to_owned();
    tokio::task::spawn_blocking(move || walk(&page, &path, around)).await.unwrap();
    sandbox.kill_9();
}

/// Backup, restore, loss, damage, a move and a downgrade, in the sandbox.
#[test]
fn the_ledgers_disasters_go_as_their_page_says() {
    let page = Walk { page: "docs/operations.md", mark: "walk", folder: "/srv/scimitar" };
    let folder = tempfile::tempdir().unwrap();
    let config = text::read("config.example.toml");
    fs::write(folder.path().join("config.example.toml"), config).unwrap();
    let variables = vec![("SCIMITAR_CONFIG", "config.example.toml".to_owned())];
    walk(&page, folder.path(), Around { variables, shown: Vec::new() });
}
