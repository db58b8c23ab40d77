//! `sandbox`: the tenant to rehearse against, as a server of its own.

use super::{
    output::{Answer, Failure, FailureClass},
    process::Stop,
    progress::Console,
};
use crate::{
    cli::{self, Output},
    error::chain,
    sandbox::{Options, serve},
};

/// Serves until a signal; prints one line with its URL once it listens.
pub async fn serve_until(
    arguments: &cli::Sandbox,
    output: Output,
    stop: &Stop,
    console: &Console,
) -> Answer {
    let rate = arguments.rate.map(|rate| (f64::from(rate.per_second.get()), rate.burst.get()));
    let options = Options {
        listen: arguments.listen,
        data_dir: arguments.data_dir.clone(),
        client: arguments.client.clone(),
        rate,
        ..Options::default()
    };
    let listening = |url: &reqwest::Url| {
        let line = format!("the sandbox listens on {url}\n");
        match output {
            // A reader that went away does not stop the server.
            Output::Text => drop(super::print(&line)),
            // Standard output is for the one document.
            Output::Json => console.print(&line),
        }
    };
    match serve(options, stop.token.clone(), listening).await {
        Ok(()) => Answer::shown(Vec::new(), String::new()),
        Err(error) => {
            let message = format!("{}; {}", chain(&error), error.way_out());
            Answer::failed(Failure::new(FailureClass::System, message))
        }
    }
}
