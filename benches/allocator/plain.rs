//! What the same rotations cost under the system's allocator, which wipes nothing.

#[path = "../figures/figure.rs"]
mod figure;
#[path = "../figures/resident.rs"]
mod resident;
#[path = "../figures/scene.rs"]
mod scene;
mod work;

use std::alloc::System;

/// The one thing that the two programs beside this file differ in.
#[global_allocator]
static ALLOCATOR: System = System;

fn main() -> anyhow::Result<()> {
    work::run("plain")
}
