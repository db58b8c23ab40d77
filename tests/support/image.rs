//! What is in the memory of a process that runs: all that can be read of it, as whoever stops it with a
//! debugger sees it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

/// What is read at once where a mapping cannot be read as a whole.
const PAGE: usize = 4096;

/// The readable mappings of a process at one moment.
pub struct Image(Vec<Mapping>);

struct Mapping {
    /// As `/proc/PID/maps` has it.
    name: String,
    bytes: Vec<u8>,
}

impl Image {
    /// Takes it, while the process runs on.
    ///
    /// # Errors
    /// When the memory of that process is closed to this one.
    pub fn of(pid: u32) -> io::Result<Self> {
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let mappings = maps.lines().filter_map(|line| mapping(&memory, line));
        Ok(Self(mappings.collect()))
    }

    /// Where these bytes are.
    pub fn places(&self, bytes: &[u8]) -> Vec<String> {
        let finder = memchr::memmem::Finder::new(bytes);
        let places = self.0.iter().flat_map(|mapping| {
            let found = finder.find_iter(&mapping.bytes);
            found.map(|at| {
                let from = at.saturating_sub(160);
                let until = mapping.bytes.len().min(at + bytes.len() + 32);
                let around = mapping.bytes.get(from..at).unwrap_or_default();
                let behind = mapping.bytes.get(at + bytes.len()..until).unwrap_or_default();
                format!(
                    "{} at {at:#x}: {}…{}",
                    mapping.name,
                    around.escape_ascii(),
                    behind.escape_ascii()
                )
            })
        });
        places.collect()
    }

    /// How much there is of it.
    pub fn length(&self) -> usize {
        self.0.iter().map(|mapping| mapping.bytes.len()).sum()
    }
}

/// The bytes of one mapping, with zeros where the kernel lets nobody read them; `None` where it lets nobody
/// read any of it.
fn mapping(memory: &File, line: &str) -> Option<Mapping> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    if !rest.starts_with('r') {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
    if memory.read_exact_at(&mut bytes, start).is_err() {
        // A page that cannot be read hides no other. What was unmapped meanwhile holds nothing any more.
        let mut read = 0;
        let mut at = start;
        for page in bytes.chunks_mut(PAGE) {
            match memory.read_exact_at(page, at) {
                Ok(()) => read += 1,
                Err(_) => page.fill(0),
            }
            at += u64::try_from(page.len()).unwrap();
        }
        if read == 0 {
            return None;
        }
    }
    Some(Mapping { name: line.to_owned(), bytes })
}
