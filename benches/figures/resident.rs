//! The memory that a running process holds.

use std::fs;

use anyhow::Context;

/// Resident memory of a running process in MiB: at this moment, and its peak so far.
pub(crate) fn resident(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
    };
    field("VmRSS:").zip(field("VmHWM:")).context("the kernel does not tell the memory in use")
}
