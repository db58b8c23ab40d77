//! The sink that is a person: a client without an API, which somebody pastes the token into.
//!
//! Nothing is sent anywhere. That a token waits there is written down, shown everywhere and told by
//! hooks; the previous token stays until the person says that the client has the new one.

mod config;
mod schema;
mod settings;

use std::time::Duration;

use async_trait::async_trait;

pub use self::{
    config::{HandoffConfig, KIND},
    settings::{HandoffSettings, HandoffTarget},
};
use crate::{
    error::Fault,
    rotation::uptake::Uptake,
    sink::{Delivery, Fence, Place, Reading, Sink, Version},
};

/// One client that a person takes one connection's token to.
#[derive(Debug)]
pub struct HandoffSink {
    place: Place,
    instructions: String,
}

impl HandoffSink {
    /// Checks the delivery.
    ///
    /// # Errors
    /// [`crate::error::Code::Invalid`] when it cannot be one.
    pub fn try_new(settings: &HandoffSettings, target: &HandoffTarget) -> Result<Self, Fault> {
        let (place, instructions) = target.checked(settings)?;
        Ok(Self { place, instructions })
    }
}

#[async_trait]
impl Sink for HandoffSink {
    fn place(&self) -> &Place {
        &self.place
    }

    fn readable(&self) -> bool {
        false
    }

    fn uptake(&self) -> Uptake {
        Uptake::ByPerson { instructions: self.instructions.clone() }
    }

    /// Nothing is sent.
    fn lingers(&self) -> Duration {
        Duration::ZERO
    }

    async fn read(&self) -> Result<Reading, Fault> {
        Ok(Reading::unasked())
    }

    async fn prove_writable(&self, _: &Reading) -> Result<(), Fault> {
        Ok(())
    }

    /// The token waits for a person from now on: what is written down after this says so.
    ///
    /// # If the answer is lost
    /// It is said again.
    async fn promote(
        &self,
        delivery: &Delivery,
        _: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        fence.check().await?;
        Ok(Version(delivery.marks.token_id.to_string()))
    }
}
