//! The figures of a company, year by year.
//!
//! Whole numbers of cents until the last step: floating point arithmetic with powers or
//! logarithms would differ between machines.

use super::rng::Rng;

/// The indicators of a sample, in the order of [`Figures`].
pub(super) const INDICATORS: [&str; 6] = [
    "operating_income",
    "parent_holder_net_profit",
    "total_operating_cost",
    "net_profit",
    "operating_profit",
    "total_profit",
];

/// The figures at the end of a quarter, from the start of its year on.
pub(super) type Figures = [Option<f64>; INDICATORS.len()];

/// How large a company is, and how it fares.
#[derive(Debug)]
pub(super) struct Company {
    /// Income of the year 2000, in cents.
    income: i64,
    /// Growth a year, in per mille of that income.
    growth: i64,
    /// Cost, in per mille of income, around which the years vary.
    cost: i64,
}

impl Company {
    pub(super) fn new(rng: &mut Rng) -> Self {
        // Ten million to a hundred billion yuan, small ones as frequent as large ones.
        let magnitude = 10_i64.pow(u32::try_from(rng.between(7, 10)).unwrap_or(7));
        Self {
            income: rng.between(100, 999) * magnitude,
            growth: rng.between(-20, 180),
            cost: rng.between(820, 990),
        }
    }

    /// The four quarters of a year.
    pub(super) fn year(&self, rng: &mut Rng, year: i64) -> [Figures; 4] {
        let level = 1_000 + self.growth * (year.clamp(2_000, 2_040) - 2_000);
        let income = self.income / 1_000 * level.max(100) / 1_000 * rng.between(850, 1_150);
        let mut share = 0;
        std::array::from_fn(|_| {
            share += rng.between(200, 300);
            self.quarter(rng, income / 1_000 * share)
        })
    }

    fn quarter(&self, rng: &mut Rng, income: i64) -> Figures {
        let mille = |amount: i64, parts: i64| amount / 1_000 * parts;
        let cost = mille(income, self.cost + rng.between(-40, 60));
        let operating_profit = income - cost + mille(income, rng.between(-5, 10));
        let total_profit = operating_profit + mille(income, rng.between(-3, 6));
        // A loss pays no tax.
        let tax = if total_profit > 0 { rng.between(100, 250) } else { 0 };
        let net_profit = total_profit - mille(total_profit, tax);
        let parent = mille(net_profit, rng.between(900, 1_000));
        let amounts = [income, parent, cost, net_profit, operating_profit, total_profit];
        amounts.map(|cents| {
            let missing = rng.per_mille(25);
            #[expect(clippy::cast_precision_loss, reason = "all amounts are far below 2^53 cents")]
            (!missing).then_some(cents as f64 / 100.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_stay_exact_and_add_up_over_the_year() {
        for seed in 0..2_000 {
            let mut rng = Rng::of(seed, [1, 1]);
            let company = Company::new(&mut rng);
            for year in [1, 1_990, 2_024, 9_999] {
                let quarters = company.year(&mut rng, year);
                let incomes: Vec<f64> = quarters.iter().filter_map(|quarter| quarter[0]).collect();
                assert!(incomes.is_sorted(), "{incomes:?}");
                let largest =
                    quarters.iter().flatten().flatten().fold(0.0, |a: f64, b| a.max(b.abs()));
                assert!(largest < 9e13, "{largest}");
            }
        }
    }
}
