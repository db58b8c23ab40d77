//! What is decided, in situations that are hard to come by.

mod deliver;
mod dues;
mod found;
mod sample;
mod slots;
mod world;
