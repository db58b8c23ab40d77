//! `sandbox`: the tenant to rehearse against, as a server of its own.

use super::{
    output::{Answer, Failure, FailureClass, Judge},
    process::Stop,
};
use crate::{
    cli,
    error::chain,
    sandbox::{Options, serve},
};

/// Serves until a signal; prints one line with its URL once it listens.
pub async fn serve_until(arguments: &cli::Sandbox, stop: &Stop) -> Answer {
    let rate = arguments.rate.map(|rate| (f64::from(rate.per_second.get()), rate.burst.get()));
    let options = Options {
        listen: arguments.listen,
        data_dir: arguments.data_dir.clone(),
        client: arguments.client.clone(),
        rate,
        ..Options::default()
    };
    let listening = |url: &reqwest::Url| {
        // A reader that went away does not stop the server.
        let _ = super::print(&format!("the sandbox listens on {url}\n"));
    };
    match serve(options, stop.token.clone(), listening).await {
        Ok(()) => Answer {
            rows: Vec::new(),
            text: Some(String::new()),
            failure: None,
            judge: Judge::Shown,
        },
        Err(error) => Answer::failed(Failure::new(FailureClass::System, chain(&error))),
    }
}
