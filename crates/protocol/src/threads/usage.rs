use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::tolerant;

/// The usage of a run.
///
/// Usages can be added: a field of the sum is known if it is known in one of them.
///
/// ```
/// use twentyfirst_protocol::threads::Usage;
///
/// let mut run = Usage::default();
/// run.output_tokens = Some(12);
/// let total: Usage = [run, run, Usage::default()].into_iter().sum();
/// assert_eq!((total.output_tokens, total.total_cost_usd), (Some(24), None));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Usage {
    /// Tokens read by the model.
    #[serde(default, deserialize_with = "tolerant::count")]
    pub input_tokens: Option<u64>,
    /// Tokens written by the model.
    #[serde(default, deserialize_with = "tolerant::count")]
    pub output_tokens: Option<u64>,
    /// The sum of both.
    #[serde(default, deserialize_with = "tolerant::count")]
    pub total_tokens: Option<u64>,
    /// The cost in US dollars.
    #[serde(default, deserialize_with = "tolerant::or_default")]
    pub total_cost_usd: Option<f64>,
    /// The duration in milliseconds.
    #[serde(default, deserialize_with = "tolerant::count")]
    pub duration_ms: Option<u64>,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input_tokens: sum(self.input_tokens, other.input_tokens, u64::saturating_add),
            output_tokens: sum(self.output_tokens, other.output_tokens, u64::saturating_add),
            total_tokens: sum(self.total_tokens, other.total_tokens, u64::saturating_add),
            total_cost_usd: sum(self.total_cost_usd, other.total_cost_usd, f64::add),
            duration_ms: sum(self.duration_ms, other.duration_ms, u64::saturating_add),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Self::add)
    }
}

impl<'a> Sum<&'a Self> for Usage {
    fn sum<I: Iterator<Item = &'a Self>>(usages: I) -> Self {
        usages.copied().sum()
    }
}

fn sum<T>(one: Option<T>, other: Option<T>, add: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(add(one, other)),
        (one, other) => one.or(other),
    }
}
