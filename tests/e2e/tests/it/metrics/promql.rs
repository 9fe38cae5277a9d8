//! What PromQL asks for.

use std::collections::BTreeSet;

use rusty_promql_parser::{Expr, GroupingAction, LabelMatchOp, VectorSelector, expr};

/// A metric that is asked for.
#[derive(Debug)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// The labels that it is chosen or grouped by.
    pub labels: BTreeSet<String>,
    /// Labels and values that it must be able to have.
    pub values: Vec<(String, String)>,
}

/// The metrics that an expression asks for.
///
/// # Errors
/// What of it is no PromQL.
pub fn wanted(expression: &str) -> Result<Vec<Wanted>, String> {
    let (rest, parsed) = expr(expression).map_err(|error| error.to_string())?;
    if !rest.trim().is_empty() {
        return Err(format!("cannot be read from here on: {rest}"));
    }
    let mut wanted = Vec::new();
    collect(&parsed, &BTreeSet::new(), &mut wanted);
    Ok(wanted)
}

/// `grouped` are the labels by which the surrounding aggregations group.
fn collect(expr: &Expr, grouped: &BTreeSet<String>, wanted: &mut Vec<Wanted>) {
    let mut inside = |expr: &Expr| collect(expr, grouped, wanted);
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::VectorSelector(selector) => wanted.push(of_selector(selector, grouped)),
        Expr::MatrixSelector(matrix) => wanted.push(of_selector(&matrix.selector, grouped)),
        Expr::Call(call) => call.args.iter().for_each(inside),
        Expr::Binary(binary) => {
            inside(&binary.lhs);
            inside(&binary.rhs);
        }
        Expr::Unary(unary) => inside(&unary.expr),
        Expr::Paren(inner) => inside(inner),
        Expr::Subquery(subquery) => inside(&subquery.expr),
        Expr::Aggregation(aggregation) => {
            let grouping = aggregation.grouping.iter().filter(|it| it.action == GroupingAction::By);
            let own = grouping.flat_map(|grouping| grouping.labels.iter().cloned());
            collect(&aggregation.expr, &grouped.iter().cloned().chain(own).collect(), wanted);
        }
    }
}

fn of_selector(selector: &VectorSelector, grouped: &BTreeSet<String>) -> Wanted {
    let (mut labels, mut values) = (grouped.clone(), Vec::new());
    for matcher in &selector.matchers {
        labels.insert(matcher.name.clone());
        let alternatives: Vec<&str> = match matcher.op {
            LabelMatchOp::Equal => vec![&matcher.value],
            LabelMatchOp::RegexMatch => matcher.value.split('|').collect(),
            LabelMatchOp::NotEqual | LabelMatchOp::RegexNotMatch => continue,
        };
        let is_literal = |value: &&str| value.chars().all(|it| it.is_alphanumeric() || it == '_');
        let literal = alternatives.into_iter().filter(is_literal);
        values.extend(literal.map(|value| (matcher.name.clone(), value.to_owned())));
    }
    Wanted { name: selector.name.clone().unwrap_or_default(), labels, values }
}
