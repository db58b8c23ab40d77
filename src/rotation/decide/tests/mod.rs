//! What is decided, in situations that are hard to come by.

mod act;
mod clocks;
mod deliver;
mod dues;
mod found;
mod parts;
mod prints;
mod slots;
mod world;
