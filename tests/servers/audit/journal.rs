//! `format = "journald"`, with a journal that the test is: a socket where systemd has its own, seen by
//! the process under test alone (a mount namespace).

use std::{
    collections::BTreeSet,
    fs,
    os::unix::net::UnixDatagram,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::world::{CLIENT_SECRET, NAME, World};

/// Runs a command line in a world whose journal is in the folder `journal`.
fn run(world: &World, arguments: &str) -> std::process::Output {
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
         mount --bind \"$0\" /run/systemd/journal && exec \"$1\" --config scimitar.toml {arguments}"
    );
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(world.path("journal"))
        .arg(env!("CARGO_BIN_EXE_scimitar"))
        .current_dir(world.folder.path())
        .output()
        .unwrap()
}

fn journalled() -> World {
    let mut world = World::new();
    world.config.more = "[log]\nformat = \"journald\"\n".to_owned();
    world.configure();
    fs::create_dir(world.path("journal")).unwrap();
    world
}

/// A field as the journal's own protocol has it: a line, or a name, a length and the bytes.
fn field(record: &[u8], name: &str) -> Option<String> {
    let mut rest = record;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        let (found, value, used) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], line[at + 1..].to_vec(), end + 1),
            None => {
                let length = rest.get(end + 1..end + 9)?.try_into().ok()?;
                let length = usize::try_from(u64::from_le_bytes(length)).ok()?;
                (line, rest.get(end + 9..end + 9 + length)?.to_vec(), end + 9 + length + 1)
            }
        };
        if found == name.as_bytes() {
            return String::from_utf8(value).ok();
        }
        rest = rest.get(used..)?;
    }
    None
}

#[test]
fn the_journal_has_a_rotation_with_its_fields_but_no_value() {
    let world = journalled();
    let socket = UnixDatagram::bind(world.path("journal/socket")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let records: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let done = Arc::new(AtomicBool::new(false));
    let (gathered, ended) = (Arc::clone(&records), Arc::clone(&done));
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        loop {
            match socket.recv(&mut buffer) {
                Ok(length) => gathered.lock().unwrap().push(buffer[..length].to_vec()),
                Err(_) if ended.load(Ordering::SeqCst) => return,
                Err(_) => {}
            }
        }
    });
    let output = run(&world, "--rotate-now -vvv");
    done.store(true, Ordering::SeqCst);
    reader.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    let records = records.lock().unwrap();
    let minted = records
        .iter()
        .find(|record| field(record, "SCIMITAR_EVENT").as_deref() == Some("minted"))
        .expect("one line a step");
    for (name, value) in [
        ("SCIMITAR_CONNECTION", NAME),
        ("SCIMITAR_PROVIDER", "acme"),
        ("SCIMITAR_TOKEN_ID", &world.held()),
        ("SYSLOG_IDENTIFIER", "scimitar"),
        ("MESSAGE", &format!("{NAME}: {} was created", world.held())),
        ("PRIORITY", "6"),
    ] {
        assert_eq!(field(minted, name).as_deref(), Some(value), "{name}");
    }
    let mut secrets: BTreeSet<String> = world.entropy.drawn();
    secrets.insert(CLIENT_SECRET.to_owned());
    for record in records.iter() {
        let text = String::from_utf8_lossy(record);
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
    }
    let targets: BTreeSet<String> =
        records.iter().filter_map(|record| field(record, "TARGET")).collect();
    assert!(targets.iter().any(|target| target.starts_with("hyper")), "{targets:?}");
}

#[test]
fn without_a_journal_it_logs_to_standard_error_and_says_so() {
    let world = journalled();
    let output = run(&world, "--rotate-now -v");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}");
    let first = words.lines().find(|line| line.contains(" WARN ")).unwrap_or_default();
    let told = "cannot reach the journal at /run/systemd/journal/socket; logging to standard error";
    assert!(first.contains(told) && first.contains("format = "), "{words}");
    assert!(words.contains(&format!("{} was created", world.held())), "{words}");
}
