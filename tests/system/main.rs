//! What needs more of the machine than other tests: root, systemd, namespaces, a container, a clean
//! Debian.

mod container;
mod deb;
mod rpm;
mod systemd;
