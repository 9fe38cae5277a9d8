//! What must be so of one member, whatever fails: a set of possible balances that every answer narrows, and that a
//! command whose answer was lost widens.

use std::collections::BTreeSet;

use e2e::Answer;

/// A member's points, as far as the answers tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance(BTreeSet<i64>);

impl Balance {
    /// Exactly so many.
    pub fn of(points: i64) -> Self {
        Self(BTreeSet::from([points]))
    }

    /// Whether so many are possible.
    pub fn allows(&self, points: i64) -> bool {
        self.0.contains(&points)
    }

    /// Takes in what became of a change.
    ///
    /// # Errors
    /// When no possible balance fits the answer.
    pub fn observe(&mut self, amount: i64, answer: Option<&Answer>) -> Result<(), String> {
        let status = answer.map(|answer| answer.status.as_u16());
        let remaining = answer.and_then(|answer| answer.body["remainPoint"].as_i64());
        let before = self.0.clone();
        let changed = before.iter().map(|points| points + amount).filter(|points| *points >= 0);
        match (status, remaining) {
            (Some(200), Some(remaining)) => self.0 = changed.filter(|points| *points == remaining).collect(),
            (Some(422), Some(remaining)) => {
                self.0.retain(|points| *points == remaining && points + amount < 0);
            }
            (None | Some(500..), _) => self.0 = changed.chain(before.iter().copied()).collect(),
            _ => return Err(format!("{amount} of a NORMAL member was answered with {answer:?}")),
        }
        if self.0.is_empty() {
            return Err(format!("{amount} of {before:?} was answered with {answer:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;

    fn answer(status: u16, remaining: i64) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, body: json!({ "remainPoint": remaining }) }
    }

    #[test]
    fn an_answer_must_fit_and_a_lost_one_leaves_both_open() {
        let mut balance = Balance::of(1_000);
        assert_eq!(balance.observe(500, Some(&answer(200, 1_500))), Ok(()));
        assert_eq!(balance.observe(-1_600, Some(&answer(422, 1_500))), Ok(()));
        assert_eq!(balance.observe(-300, None), Ok(()));
        assert!(balance.allows(1_500) && balance.allows(1_200) && !balance.allows(1_000));

        assert!(balance.clone().observe(1, Some(&answer(200, 1_502))).is_err());
        assert!(
            balance.clone().observe(-1_201, Some(&answer(422, 1_500))).is_err(),
            "it would have sufficed"
        );
        assert!(balance.clone().observe(1, Some(&answer(409, 1_500))).is_err());
        assert_eq!(balance.observe(1, Some(&answer(200, 1_201))), Ok(()));
        assert_eq!(balance, Balance::of(1_201));
    }
}
