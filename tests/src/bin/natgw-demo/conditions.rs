//! What natgw says of every object, as `kubectl get -o custom-columns` would show it.

use comfy_table::{ContentArrangement, Table, presets};
use kube::api::{DynamicObject, ListParams};
use natgw_tests::{Cluster, clock, cluster_lab::api, daemon::PATIENCE};
use natgw_userspace::core::objects::Kind;
use serde_json::Value;

use crate::{progress, report::Report};

/// Shows them, and reports whether all are as they should be.
pub(crate) fn run(cluster: &Cluster, report: &mut Report) {
    let all = || Kind::REQUIRED.into_iter().flat_map(|kind| rows(cluster, kind)).collect::<Vec<_>>();
    let good = |row: &[String; 6]| row[3] == "True";
    let settled = clock::within(PATIENCE, || all().iter().all(good));
    let rows = all();
    progress("what the API server has from natgw:");
    progress(&table(&rows));
    let bad: Vec<_> =
        rows.iter().filter(|row| !good(row)).map(|row| format!("{}/{}: {}", row[0], row[1], row[5])).collect();
    let verdict = if settled && bad.is_empty() {
        Ok(format!("{} conditions of {} kinds", rows.len(), Kind::REQUIRED.len()))
    } else {
        Err(bad.join("; "))
    };
    report.add("conditions are True", verdict);
}

/// Kind, name, condition, status, reason, message.
fn rows(cluster: &Cluster, kind: Kind) -> Vec<[String; 6]> {
    let list = cluster.block_on(async { api(cluster, kind).list(&ListParams::default()).await });
    let list = list.unwrap_or_else(|error| panic!("cannot list {kind}: {error}"));
    list.items.iter().flat_map(|object| of_object(kind, object)).collect()
}

fn of_object(kind: Kind, object: &DynamicObject) -> Vec<[String; 6]> {
    let name = object.metadata.name.clone().unwrap_or_default();
    let conditions = object.data.get("status").and_then(|status| status["conditions"].as_array().cloned());
    let row = |condition: &Value| {
        let [what, status, reason, message] = ["type", "status", "reason", "message"]
            .map(|field| condition[field].as_str().unwrap_or_default().to_owned());
        [kind.to_string(), name.clone(), what, status, reason, message]
    };
    match conditions {
        Some(conditions) if !conditions.is_empty() => conditions.iter().map(row).collect(),
        // Not said yet.
        Some(_) | None => vec![row(&Value::Null)],
    }
}

fn table(rows: &[[String; 6]]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["KIND", "NAME", "CONDITION", "STATUS", "REASON", "MESSAGE"]);
    table.add_rows(rows);
    table.trim_fmt()
}
