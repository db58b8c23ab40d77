//! A mass rotation against a tenant's limit: how close it comes to what the limit allows, and how often
//! the tenant has to say so.

use std::{ffi::OsString, fs};

use anyhow::Context;
use scimitar::sandbox::{Options, Sandbox};
use tokio::runtime::Runtime;

use super::{figure::Book, meter, scene};

/// How many connections are rotated.
const SIZE: usize = 300;

/// The tenant's limit: requests a second, and at once.
const LIMIT: (f64, u32) = (50.0, 50);

pub(crate) fn run(runtime: &Runtime, book: &mut Book) -> anyhow::Result<()> {
    let (rate, burst) = LIMIT;
    let said = format!("rate_limit = {{ per_second = {rate}, burst = {burst} }}\n");
    of(runtime, book, "limit configured", &said, 0.0)?;
    of(runtime, book, "limit learnt", "", 2.0)
}

fn of(
    runtime: &Runtime,
    book: &mut Book,
    name: &str,
    limit: &str,
    throttled: f64,
) -> anyhow::Result<()> {
    let options = Options { connections: SIZE, rate: Some(LIMIT), ..Options::default() };
    let tenant = runtime.block_on(Sandbox::start(options))?;
    let folder = scene::scratch()?;
    scene::configure(folder.path(), SIZE, tenant.url().as_str(), scene::WHOLE)?;
    let config = scene::config(folder.path());
    let text = fs::read_to_string(&config)?;
    let provider = format!("client_id = \"bench\"\nshare = \"100%\"\n{limit}");
    let text = text.replacen("client_id = \"bench\"\n", &provider, 1);
    fs::write(&config, format!("{text}[metrics]\ntextfile = \"run.prom\"\n"))?;
    let arguments: Vec<OsString> = vec![
        "--config".into(),
        config.into(),
        "--rotate-now".into(),
        "--timeout".into(),
        "10m".into(),
    ];
    let cost = meter::measure(env!("CARGO_BIN_EXE_scimitar"), arguments, folder.path())?;
    anyhow::ensure!(cost.status == 0, "the mass rotation ended with {}", cost.status);
    let series = fs::read_to_string(folder.path().join("run.prom"))?;
    let calls: f64 = counted(&series, |line| !line.contains("login")).context("no calls")?;
    let refused = counted(&series, |line| line.contains("code=\"429\"")).unwrap_or_default();
    let (rate, _) = LIMIT;
    let of_least = cost.wall_ms / 1000.0 * rate / (calls - refused);
    let name = format!("{SIZE} connections, {name}");
    book.note("mass", &format!("{name}: calls"), "", vec![calls])?;
    book.note("mass", &format!("{name}: time by calls / rate"), "", (vec![of_least], 1.03))?;
    book.note("mass", &format!("{name}: answers 429"), "", (vec![refused], throttled))?;
    runtime.block_on(tenant.stop());
    Ok(())
}

/// The sum of the request counters that fit.
fn counted(series: &str, fits: impl Fn(&str) -> bool) -> Option<f64> {
    let lines = series.lines().filter(|line| line.starts_with("scimitar_provider_requests_total{"));
    let values = lines.filter(|line| fits(line)).filter_map(|line| line.rsplit_once(' '));
    values.map(|(_, value)| value.parse::<f64>().ok()).sum()
}
