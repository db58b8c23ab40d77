//! What rotations cost under the allocator that the program is shipped with.

#[path = "../figures/figure.rs"]
mod figure;
#[path = "../figures/resident.rs"]
mod resident;
#[path = "../figures/scene.rs"]
mod scene;
mod work;

use std::alloc::System;

use zeroizing_alloc::ZeroAlloc;

/// The one thing that the two programs beside this file differ in.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> anyhow::Result<()> {
    work::run("wiping")
}
