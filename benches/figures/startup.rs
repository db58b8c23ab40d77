//! From the start of the process to its end: the first command of a new user on a fresh folder,
//! and what follows it.

use std::{ffi::OsString, fs};

use super::{
    figure::Book,
    meter::{self, Cost},
    scene::scratch,
};

const RUNS: usize = 20;

/// What a new user runs first.
const EXAMPLE: &str = include_str!("../../config.example.toml");

pub(crate) fn run(book: &mut Book) -> anyhow::Result<()> {
    let commands: [(&str, &[&str]); 5] = [
        ("first rotation on a fresh folder", &["--rotate-now"]),
        ("--once with nothing due", &["--once"]),
        ("status", &["status"]),
        ("check", &["check"]),
        ("--version", &["--version"]),
    ];
    let mut costs: [Vec<Cost>; 5] = Default::default();
    for _ in 0..RUNS {
        let folder = scratch()?;
        let config = folder.path().join("config.example.toml");
        fs::write(&config, EXAMPLE)?;
        for ((_, command), costs) in commands.iter().zip(&mut costs) {
            let mut arguments: Vec<OsString> = vec!["--config".into(), config.clone().into()];
            arguments.extend(command.iter().map(OsString::from));
            let program = env!("CARGO_BIN_EXE_scimitar");
            let cost = meter::measure(program, arguments, folder.path())?;
            anyhow::ensure!(cost.status == 0, "{command:?} ended with {}", cost.status);
            costs.push(cost);
        }
    }
    for ((name, _), costs) in commands.iter().zip(&costs) {
        let wall: Vec<f64> = costs.iter().map(|cost| cost.wall_ms).collect();
        book.note("startup", &format!("{name}: time"), "ms", wall)?;
        let cpu: Vec<f64> = costs.iter().map(|cost| cost.cpu_ms).collect();
        book.note("startup", &format!("{name}: CPU"), "ms", cpu)?;
    }
    Ok(())
}
