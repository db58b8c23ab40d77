//! What is decided, in situations that are hard to come by.

mod act;
mod clocks;
mod deliver;
mod dues;
mod found;
mod holes;
mod marks;
mod others;
mod parts;
mod places;
mod presses;
mod prints;
mod returns;
mod slots;
mod staged;
mod tells;
mod unproven;
mod world;
