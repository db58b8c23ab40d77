//! Rates: how often a piece of work can be done a second.

use std::time::Duration;

use super::figure::now;

/// How many samples a rate is taken from.
const SAMPLES: usize = 15;

/// How long each of them lasts.
const SAMPLE: Duration = Duration::from_millis(100);

/// How often `work` can be done a second, as [`SAMPLES`] samples.
pub(crate) fn per_second<E>(mut work: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    let mut samples = Vec::with_capacity(SAMPLES);
    // The clock is read once a batch, so that reading it is not what is measured.
    let mut batch = 1_u32;
    while samples.len() < SAMPLES {
        let began = now();
        let mut done = 0_u32;
        while began.elapsed() < SAMPLE {
            for _ in 0..batch {
                work()?;
            }
            done += batch;
        }
        let took = began.elapsed();
        // The first round only finds out how large a batch should be.
        if batch == 1 && done > 1_000 {
            batch = done / 100;
            continue;
        }
        samples.push(f64::from(done) / took.as_secs_f64());
    }
    Ok(samples)
}
