//! What is decided, in situations that are hard to come by.

mod act;
mod astray;
mod clocks;
mod configuring;
mod deliver;
mod dues;
mod found;
mod held;
mod holes;
mod marks;
mod once;
mod others;
mod parts;
mod places;
mod presses;
mod prints;
mod readiness;
mod returns;
mod slots;
mod staged;
mod tells;
mod unproven;
mod uptake;
mod world;
mod writing;
