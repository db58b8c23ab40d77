//! What starts the real program or a real server: OpenBao, moto, Prometheus, Chromium.

mod at_hand;
mod audit;
mod aws;
mod cli_args;
mod issuers;
mod monitoring;
mod readme;
mod rotation;
mod together;
mod vault;
mod web;
