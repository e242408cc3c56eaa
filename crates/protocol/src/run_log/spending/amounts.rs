use std::fmt;

use serde::{Deserialize, Serialize};

use crate::threads::Usage;

/// An amount of US dollars, in billionths. Unlike sums of floating point numbers, its sums do not depend on the order.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Usd(u64);

/// The billionths in a dollar.
const DOLLAR: f64 = 1e9;

impl Usd {
    /// Converts an amount of dollars, rounded to a billionth. Amounts of 0 or below give 0, and amounts above 18 billion give
    /// that much.
    #[must_use]
    pub fn from_dollars(dollars: f64) -> Self {
        // `as` saturates, and turns NaN into 0.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Self((dollars * DOLLAR).round() as u64)
    }

    /// Returns the amount in dollars.
    #[must_use]
    pub fn dollars(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 9 million dollars")]
        let billionths = self.0 as f64;
        billionths / DOLLAR
    }

    /// Returns the sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Writes `0.36 USD`, with as many decimals as the amount needs, up to six.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millionths = self.0.saturating_add(500) / 1000;
        let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
        let text = text.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{text} USD")
    }
}

/// The usage and cost of several runs together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Spent {
    /// The number of runs.
    pub runs: u64,
    /// The cost of the runs.
    #[serde(rename = "nanoUsd")]
    pub cost: Usd,
    /// The tokens read by the model.
    pub input_tokens: u64,
    /// The tokens written by the model.
    pub output_tokens: u64,
    /// The tokens read and written.
    pub total_tokens: u64,
    /// The time that the runs took, in milliseconds.
    pub duration_ms: u64,
}

impl Spent {
    /// Returns the usage of one run, or `None` if nothing is known of it.
    #[must_use]
    pub fn by_run(usage: &Usage) -> Option<Self> {
        (*usage != Usage::default()).then(|| Self {
            runs: 1,
            cost: Usd::from_dollars(usage.total_cost_usd.unwrap_or_default()),
            input_tokens: usage.input_tokens.unwrap_or_default(),
            output_tokens: usage.output_tokens.unwrap_or_default(),
            total_tokens: usage.total_tokens.unwrap_or_default(),
            duration_ms: usage.duration_ms.unwrap_or_default(),
        })
    }

    /// Returns the sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            runs: self.runs.saturating_add(other.runs),
            cost: self.cost.plus(other.cost),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            total_tokens: self.total_tokens.saturating_add(other.total_tokens),
            duration_ms: self.duration_ms.saturating_add(other.duration_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sum_does_not_depend_on_its_order(mut dollars in prop::collection::vec(0.0..10.0, 0..40)) {
            let sum = |dollars: &[f64]| {
                let amounts = dollars.iter().map(|dollars| Usd::from_dollars(*dollars));
                amounts.fold(Usd::default(), Usd::plus)
            };
            let forward = sum(&dollars);
            dollars.reverse();
            prop_assert_eq!(forward, sum(&dollars));
            prop_assert!((forward.dollars() - dollars.iter().sum::<f64>()).abs() < 1e-6);
        }

        #[test]
        fn only_amounts_above_zero_count(dollars in any::<f64>()) {
            let amount = Usd::from_dollars(dollars);
            prop_assert!(amount == Usd::default() || dollars > 0.0);
        }
    }

    #[test]
    fn an_amount_is_shown_without_trailing_zeros() {
        for (dollars, shown) in [
            (0.0, "0 USD"),
            (5.0, "5 USD"),
            (0.356_699_999_999_999_9, "0.3567 USD"),
            (0.0001, "0.0001 USD"),
            (120.5, "120.5 USD"),
            (f64::NAN, "0 USD"),
            (-1.0, "0 USD"),
        ] {
            assert_eq!(Usd::from_dollars(dollars).to_string(), shown);
        }
        assert_eq!(Usd::from_dollars(f64::INFINITY), Usd(u64::MAX));
    }
}
