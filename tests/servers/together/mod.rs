//! One connection, three kinds of sink, each a real server or the real file system, through the real
//! binary: all of them get the token, one that is away holds no other up, and a value that one of
//! them has is never lost.

#[cfg(test)]
mod holes;
#[cfg(test)]
mod image;
#[cfg(test)]
mod mixed;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod three;
#[cfg(test)]
mod tls;

use scimitar_test_support::{bao, binary, moto, secrets_manager};
