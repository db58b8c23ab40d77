//! The local control socket: what is said over it, who may use it, and the file itself. What the daemon
//! does for a caller is in `commands/control/`.

pub mod peer;
pub mod socket;
pub mod wire;
