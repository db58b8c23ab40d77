//! The image: what `container/build.sh` and a real builder make of it, what is in it, and the
//! program run in it as a container has it: PID 1, read-only root, no account of the machine's.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::{debian, tenant::until, venv};

/// A static build, where there is one (`.ci/run image` makes it). Without, the image gets the program
/// of these tests with the libraries that it needs.
const STATIC: &str = "SCIMITAR_STATIC";
/// Set to 1 where the tests have no root's rights: the image is then neither made nor run.
const WITHOUT: &str = "SCIMITAR_WITHOUT_ROOT";

fn container() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("container")
}

/// A folder with `buildah` in it, which keeps what it makes in that folder.
fn builder() -> tempfile::TempDir {
    let debian = debian::root(&["buildah"]);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let here = folder.path();
    let write = |name: &str, text: String| {
        fs::create_dir_all(here.join(name).parent().unwrap()).unwrap();
        fs::write(here.join(name), text).unwrap();
    };
    let (at, store) = (debian.display(), here.display());
    write(
        "storage.conf",
        format!(
            "[storage]\ndriver = \"vfs\"\nrunroot = \"{store}/run\"\ngraphroot = \"{store}/graph\"\n"
        ),
    );
    write("registries.conf", String::new());
    write(".config/containers/policy.json", "{\"default\":[{\"type\":\"reject\"}]}".to_owned());
    write(
        "bin/buildah",
        format!(
            "#!/bin/sh\n\
             export LD_LIBRARY_PATH={at}/usr/lib/x86_64-linux-gnu BUILDAH_ISOLATION=chroot HOME={store}\n\
             export CONTAINERS_CONF=/dev/null CONTAINERS_STORAGE_CONF={store}/storage.conf\n\
             export CONTAINERS_REGISTRIES_CONF={store}/registries.conf\n\
             exec {at}/usr/bin/buildah \"$@\"\n"
        ),
    );
    let buildah = here.join("bin/buildah");
    fs::set_permissions(buildah, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs something with that builder at hand.
fn with(builder: &Path, program: &Path, arguments: &[&str]) -> Output {
    let path = format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", builder.display());
    Command::new(program).args(arguments).env("PATH", path).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn hadolint_finds_nothing_in_the_containerfile() {
    let lint = |path: &Path| {
        let output = Command::new(venv::bin().join("hadolint")).arg(path).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let path = container().join("Containerfile");
    assert_eq!(lint(&path), (Some(0), String::new()));
    // It does find something.
    let scratch = tempfile::tempdir().unwrap();
    let mistaken = scratch.path().join("Containerfile");
    let text = fs::read_to_string(path).unwrap();
    fs::write(&mistaken, text.replace("WORKDIR /", "WORKDIR ")).unwrap();
    assert_ne!(lint(&mistaken).0, Some(0));
}

#[test]
fn a_program_that_is_not_static_is_refused_with_the_way_out() {
    let refused = |path: &str| {
        let build = container().join("build.sh");
        let output = Command::new(build).arg("/bin/sh").env("PATH", path).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(
            errors.contains("/bin/sh is not static") && errors.contains("crt-static"),
            "{errors}"
        );
    };
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    refused(path);
    // However much ldd says after the line that settles it: more than a pipe holds.
    let first = tempfile::tempdir().unwrap();
    let ldd = first.path().join("ldd");
    fs::write(&ldd, "#!/bin/sh\nyes 'libc.so.6 => /lib/libc.so.6 (0x0)' | head -n 4000\n").unwrap();
    fs::set_permissions(&ldd, fs::Permissions::from_mode(0o755)).unwrap();
    refused(&format!("{}:{path}", first.path().display()));
}

#[expect(clippy::print_stderr, reason = "a test that is not run says so")]
#[tokio::test(flavor = "multi_thread")]
async fn the_image_holds_one_program_that_runs_unprivileged() {
    if !nix::unistd::geteuid().is_root() {
        assert!(
            std::env::var(WITHOUT).is_ok_and(|value| value == "1"),
            "the image can be made and run by root only; {WITHOUT}=1 lets this test pass without"
        );
        eprintln!("not tested, since {WITHOUT}=1: the image");
        return;
    }
    let builder = builder();
    let buildah = builder.path().join("bin/buildah");
    let ask = |arguments: &[&str]| said(&with(builder.path(), &buildah, arguments));
    let fixed = std::env::var(STATIC).ok();
    let mut arguments = vec![fixed.as_deref().unwrap_or(env!("CARGO_BIN_EXE_scimitar")), "made:1"];
    if fixed.is_none() {
        arguments.insert(0, "--with-libraries");
    }
    said(&with(builder.path(), &container().join("build.sh"), &arguments));
    declared(&serde_json::from_str(&ask(&["inspect", "--type", "image", "made:1"])).unwrap());
    let instance = ask(&["from", "--pull-never", "made:1"]);
    let root = PathBuf::from(ask(&["mount", &instance]));
    let files = contents(&root);
    let has_libraries = files.iter().any(|file| file.starts_with("lib"));
    assert_eq!(has_libraries, fixed.is_none(), "{files:?}");
    runs(&root, builder.path(), fixed.is_none()).await;
    ask(&["umount", &instance]);
    ask(&["rm", &instance]);
    ask(&["rmi", "made:1"]);
}

/// What the image says of itself.
fn declared(image: &Value) {
    let config = &image["Docker"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/scimitar"]));
    assert_eq!(config["Cmd"], serde_json::json!(["run"]));
    assert_eq!(config["StopSignal"], "SIGTERM");
    let check = serde_json::json!(["CMD", "/scimitar", "healthcheck"]);
    assert_eq!(config["Healthcheck"]["Test"], check);
}

/// The files, without the libraries that a build of the tests needs: there is no shell among them.
fn contents(root: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let wanted = [
        "etc/group",
        "etc/nsswitch.conf",
        "etc/passwd",
        "etc/ssl/certs/ca-certificates.crt",
        "scimitar",
    ];
    let own: Vec<&str> =
        files.iter().map(String::as_str).filter(|file| !file.starts_with("lib")).collect();
    assert_eq!(own, wanted);
    files
}

/// Runs it as a container does: read-only but for its state, no rights, nobody else's processes.
async fn runs(root: &Path, scratch: &Path, is_of_a_build: bool) {
    const SCRIPT: &str = "mount --bind \"$1\" \"$1\"; mount --bind \"$2\" \"$1/etc/scimitar\"
        mount --bind \"$3\" \"$1/var/lib/scimitar\"
        mount -o remount,bind,ro \"$1\"; mount -o remount,bind,ro \"$1/etc/scimitar\"
        mount -t proc proc \"$1/proc\"; ip link set lo up
        cd \"$1/var/lib/scimitar\"
        exec setpriv --inh-caps=-all --no-new-privs \
            chroot --userspec=65532:65532 --groups= \"$1\" /scimitar";
    let (config, state) = (scratch.join("config"), scratch.join("state"));
    fs::create_dir_all(&config).unwrap();
    fs::create_dir_all(&state).unwrap();
    nix::unistd::chown(&state, Some(65532.into()), Some(65532.into())).unwrap();
    let text = "[server]\nlisten = \"127.0.0.1:9469\"\n\
                [providers.box]\ntype = \"sandbox\"\ndata_dir = \"/var/lib/scimitar/box\"\n\
                [sinks.disk]\ntype = \"file\"\ndirectory = \"/var/lib/scimitar/tokens\"\n\
                [[connections]]\nname = \"initech\"\nprovider = \"box\"\n\
                connection_id = \"con_okta000000000001\"\nscopes = [\"get:users\"]\n\
                token_lifetime = \"30d\"\n\
                deliver_to = [{ sink = \"disk\", file = \"initech.token\" }]\n";
    fs::write(config.join("scimitar.toml"), text).unwrap();
    // Whoever runs a container makes the folder that /proc is mounted on.
    fs::create_dir_all(root.join("proc")).unwrap();
    let call = |arguments: &str| {
        let mut call = Command::new("unshare");
        call.args([
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--net",
            "--propagation",
            "private",
        ])
        .args(["sh", "-euc", &format!("{SCRIPT} {arguments}"), "sh"])
        .args([root, &config, &state])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null());
        call
    };
    let version = said(&call("--version").output().unwrap());
    let wanted = concat!("scimitar ", env!("CARGO_PKG_VERSION"), " (");
    assert!(version.starts_with(wanted), "{version}");
    // What is shipped says which commit it was built from.
    assert!(is_of_a_build || !version.contains("unknown"), "{version}");
    let checked = said(&call("check").output().unwrap());
    assert!(checked.contains("no errors"), "{checked}");
    let mut daemon = call("run").stderr(Stdio::piped()).spawn().unwrap();
    let token = state.join("tokens/initech.token");
    until("a token in the container", || {
        if daemon.try_wait().unwrap().is_some() {
            let output = daemon.stderr.take().map(std::io::read_to_string);
            panic!("it ended: {output:?}");
        }
        token.exists()
    })
    .await;
    let (value, owner) = (fs::read_to_string(&token).unwrap(), fs::metadata(&token).unwrap());
    assert!(value.starts_with("tok_"));
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 65532);
    let children = format!("/proc/{0}/task/{0}/children", daemon.id());
    let init = fs::read_to_string(children).unwrap();
    // As docker asks for its health: the same program in there.
    let mut health = Command::new("nsenter");
    health.args(["-t", init.trim(), "-m", "-n", "-p", "-r", "-S", "65532", "-G", "65532"]);
    said(&health.args(["/scimitar", "healthcheck"]).env_clear().output().unwrap());
    said(&Command::new("kill").args(["-s", "TERM", init.trim()]).output().unwrap());
    let ended = daemon.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "the daemon in the container");
}
