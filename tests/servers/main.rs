//! What starts the real program or a real server: OpenBao, moto, Prometheus, Chromium.

mod at_hand;
mod audit;
mod aws;
mod cli_args;
mod cli_help;
#[cfg(any(feature = "azure_key_vault", feature = "gcp_secret_manager"))]
mod clouds;
mod control;
mod fleet;
mod issuers;
mod kubernetes;
mod monitoring;
mod postgres;
mod programs;
mod readme;
mod rotation;
mod together;
mod vault;
mod web;
