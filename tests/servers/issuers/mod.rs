//! `type = "http"` by the real program: the issuers that `examples/providers` declares, with servers
//! that stand in for them.

#[cfg(test)]
mod canary;
#[cfg(test)]
mod rotates;
#[cfg(test)]
mod site;
