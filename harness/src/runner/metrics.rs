//! Waits until the operator's metrics are as described. They are no objects that could be watched: they are read again
//! and again.

use std::time::Duration;

use tokio::time::Instant;

use super::trouble::{Trouble, within};
use crate::scenario::forms::Count;
use crate::sli::exposition::Scrape;
use crate::sli::selector::Selector;
use crate::target::Teller;

/// From one look to the next.
const EVERY: Duration = Duration::from_millis(100);

/// Waits until the sum of the series that are meant, without its fraction, is as expected.
pub(super) async fn expect(
    teller: &dyn Teller,
    series: &Selector,
    value: Count,
    limit: Duration,
) -> Result<(), Trouble> {
    let patience = Instant::now() + limit;
    loop {
        let read = read(teller).await;
        let found = read.as_ref().map_err(Clone::clone).and_then(|scrape| sum(scrape, series));
        match found {
            Ok(found) if value.accepts(whole(found)) => return Ok(()),
            _ if Instant::now() + EVERY <= patience => tokio::time::sleep(EVERY).await,
            Ok(found) => {
                let trouble = Trouble::new(format!("`{series}` was {found}, not {value}, {}", within(limit)));
                let lines = read.iter().flat_map(|scrape| scrape.named(series.name())).map(|it| format!("{it:?}"));
                return Err(trouble.with(format!("series called {}", series.name()), lines.collect()));
            }
            Err(why) => return Err(Trouble::new(format!("`{series}` could not be read {}: {why}", within(limit)))),
        }
    }
}

async fn read(teller: &dyn Teller) -> Result<Scrape, String> {
    let text = teller.metrics().await.ok_or("the operator does not run")??;
    Scrape::parse(&text).map_err(|error| error.to_string())
}

fn sum(scrape: &Scrape, series: &Selector) -> Result<f64, String> {
    series.sum(scrape).ok_or_else(|| format!("there is no series called {}", series.name()))
}

/// Counts are whole numbers, and what is less than none is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is what is meant"
)]
fn whole(value: f64) -> usize {
    value.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::*;

    /// Tells of a counter that is a second old for each second.
    struct Counting(Instant);

    impl Teller for Counting {
        fn metrics(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
            let text =
                format!("seen_total{{by=\"me\"}} {}.5\nseen_total{{by=\"you\"}} 100\n", self.0.elapsed().as_secs());
            async { Some(Ok(text)) }.boxed()
        }
    }

    struct Silent;

    impl Teller for Silent {
        fn metrics(&self) -> BoxFuture<'_, Option<Result<String, String>>> {
            async { None }.boxed()
        }
    }

    async fn look(teller: &dyn Teller, series: &str, value: &str, seconds: u64) -> Result<u64, String> {
        let begun = Instant::now();
        let (series, value) = (series.parse().unwrap(), Count::parse(value).unwrap());
        let done = expect(teller, &series, value, Duration::from_secs(seconds)).await;
        done.map(|()| begun.elapsed().as_secs()).map_err(|trouble| trouble.message)
    }

    #[tokio::test(start_paused = true)]
    async fn a_series_is_waited_for_and_what_it_was_is_told() {
        let teller = Counting(Instant::now());
        assert_eq!(look(&teller, "seen_total{by=\"me\"}", "0", 60).await, Ok(0));
        assert_eq!(look(&teller, "seen_total{by=\"me\"}", ">=3", 60).await, Ok(3));
        assert_eq!(look(&teller, "seen_total", "105", 60).await, Ok(2));
        let told = look(&teller, "seen_total{by=\"you\"}", "<100", 1).await.unwrap_err();
        assert_eq!(told, "`seen_total{by=\"you\"}` was 100, not fewer than 100, within 1s");
        let told = look(&teller, "heard_total", "1", 1).await.unwrap_err();
        assert_eq!(told, "`heard_total` could not be read within 1s: there is no series called heard_total");
        let told = look(&Silent, "seen_total", "1", 1).await.unwrap_err();
        assert_eq!(told, "`seen_total` could not be read within 1s: the operator does not run");
    }
}
