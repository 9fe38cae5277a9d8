//! Alerts that somebody can act on, and a dashboard that any Grafana can show. That the metrics exist is a matter of the
//! end-to-end tests, which have services to ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

/// What Prometheus loads.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(rename = "name")]
    _name: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    alert: Option<String>,
    record: Option<String>,
    expr: String,
    #[serde(rename = "for")]
    _for: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_what_to_do() {
    let runbook = read("docs/runbook.md");
    let mut sections: BTreeSet<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    for rule in rules() {
        let Some(alert) = &rule.alert else {
            assert!(rule.record.is_some(), "{rule:?}");
            continue;
        };
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning")), "{alert}");
        for annotation in ["summary", "description"] {
            assert!(rule.annotations.get(annotation).is_some_and(|text| !text.is_empty()), "{alert}");
        }
        let url = format!("docs/runbook.md#{}", alert.to_lowercase());
        assert_eq!(rule.annotations.get("runbook_url"), Some(&url), "{alert}");
        assert!(
            sections.remove(alert.as_str()),
            "the runbook has no section {alert}, or two rules have the name"
        );
    }
    assert!(sections.is_empty(), "the runbook tells of alerts that there are not: {sections:?}");
}

#[test]
fn every_section_of_the_runbook_says_what_it_means_how_to_look_and_what_to_do() {
    let runbook = read("docs/runbook.md");
    for section in runbook.split("\n## ").skip(1) {
        for part in ["**Means** ", "**Look** ", "**do** "] {
            assert!(section.to_lowercase().contains(&part.to_lowercase()), "{part} is not in {section}");
        }
    }
    let anchors: BTreeSet<String> =
        runbook.lines().filter_map(|line| Some(line.strip_prefix("## ")?.to_lowercase())).collect();
    for link in runbook.split("](#").skip(1).filter_map(|rest| rest.split_once(')')) {
        assert!(anchors.contains(link.0), "there is no section {}", link.0);
    }
}

/// Where several systems share a Prometheus, each sees its own only.
#[test]
fn every_rule_and_panel_asks_for_one_job() {
    for rule in rules().iter().filter(|rule| !rule.expr.contains("service:")) {
        each_selector(&rule.expr, r#"{job="mileage""#);
    }
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            each_selector(target["expr"].as_str().expect("an expression"), r#"{job="$job""#);
        }
    }
}

/// Each `{` of an expression that opens a selector, and not a placeholder in a label's value.
fn each_selector(expression: &str, begins: &str) {
    let selectors: Vec<&str> = expression
        .match_indices('{')
        .map(|(at, _)| &expression[at..])
        .filter(|it| it.contains('='))
        .collect();
    assert!(!selectors.is_empty(), "{expression} asks for all jobs");
    assert!(selectors.iter().all(|selector| selector.starts_with(begins)), "{expression}");
}

#[test]
fn the_dashboard_can_be_shown_by_any_grafana_with_any_prometheus() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "it is of an old Grafana");
    assert!(dashboard.get("id").is_none() && dashboard["uid"].is_string(), "it is known by its uid");
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let variables: BTreeSet<&str> = variables.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "instance", "job", "service"].into());
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels() {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: the id is taken");
        let place = |name: &str| panel["gridPos"][name].as_u64().expect("a place");
        for x in place("x")..place("x") + place("w") {
            assert!(x < 24, "{title} is too wide");
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} hides another panel");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!panel["targets"].as_array().expect("queries").is_empty(), "{title}");
        }
    }
}

#[test]
fn the_alerts_fire_when_they_should_where_promtool_can_tell() {
    let folder = root().join("ops/prometheus");
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        match Command::new("promtool").args(arguments).current_dir(&folder).output() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("promtool is not installed: only the shape of the rules is known");
            }
            done => {
                let done = done.expect("promtool runs");
                let said = [done.stdout, done.stderr].concat();
                assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
            }
        }
    }
}

fn rules() -> Vec<Rule> {
    let rules: Rules = serde_saphyr::from_str(&read("ops/prometheus/alerts.yml")).expect("rules");
    rules.groups.into_iter().flat_map(|group| group.rules).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("ops/grafana/dashboards/mileage.json")).expect("a dashboard")
}

fn panels() -> Vec<Value> {
    dashboard()["panels"].as_array().expect("panels").clone()
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect(file)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
