//! The work that is done under both allocators: rotations by the engine itself in this process,
//! against a tenant in a process of its own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};
