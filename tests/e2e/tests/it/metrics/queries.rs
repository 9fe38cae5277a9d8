//! What the dashboards and the alerts ask Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// An expression, and where it stands.
#[derive(Debug)]
pub struct Query {
    /// The file and the panel or rule.
    pub place: String,
    /// The PromQL, with values for the variables of a dashboard.
    pub expression: String,
    /// The labels that a legend shows.
    pub shown: BTreeSet<String>,
}

/// All expressions, and the names that recording rules give.
pub fn all() -> (Vec<Query>, BTreeSet<String>) {
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops");
    let mut queries = Vec::new();
    for file in files(&ops.join("grafana/dashboards"), "json") {
        let dashboard: Value = serde_json::from_str(&read(&file)).expect("a dashboard");
        of_dashboard(&dashboard, &mut queries);
    }
    assert!(!queries.is_empty(), "no dashboard asks for anything");
    let mut recorded = BTreeSet::new();
    let rules: Value = serde_saphyr::from_str(&read(&ops.join("prometheus/alerts.yml"))).expect("rules");
    for rule in array(&rules["groups"]).iter().flat_map(|group| array(&group["rules"])) {
        let name = rule["alert"].as_str().or(rule["record"].as_str()).expect("a name");
        recorded.extend(rule["record"].as_str().map(str::to_owned));
        let shown = legend_labels(&rule["annotations"].to_string().replace("$labels.", ""));
        queries.push(Query { place: format!("rule {name}"), expression: text(&rule["expr"]), shown });
    }
    (queries, recorded)
}

fn of_dashboard(dashboard: &Value, queries: &mut Vec<Query>) {
    for panel in array(&dashboard["panels"]) {
        let place = format!("panel {}", text(&panel["title"]));
        for target in panel["targets"].as_array().into_iter().flatten() {
            let shown = legend_labels(&text(&target["legendFormat"]));
            queries.push(Query { place: place.clone(), expression: text(&target["expr"]), shown });
        }
    }
    for annotation in array(&dashboard["annotations"]["list"]) {
        if let Some(expression) = annotation["expr"].as_str() {
            let shown = BTreeSet::new();
            queries.push(Query { place: "annotation".to_owned(), expression: expression.to_owned(), shown });
        }
    }
    for variable in array(&dashboard["templating"]["list"]) {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (expression, label) = inner.and_then(|inner| inner.rsplit_once(", ")).expect("label_values");
        let place = format!("variable {}", text(&variable["name"]));
        queries.push(Query { place, expression: expression.to_owned(), shown: [label.to_owned()].into() });
    }
    for query in queries {
        query.expression = query.expression.replace("$__rate_interval", "5m");
    }
}

/// The names in `{{ }}` that are not functions or values of a template.
fn legend_labels(legend: &str) -> BTreeSet<String> {
    let inner = legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim()));
    inner.filter(|name| !name.starts_with('$')).map(str::to_owned).collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.extension().is_some_and(|it| it == extension)).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("the file")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}
