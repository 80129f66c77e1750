//! `natgw check DIR`: what would be programmed, and what is wrong, without touching the kernel.
#![forbid(unsafe_code)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use comfy_table::Table;
use serde::Serialize;

use crate::{
    core::{
        desired::DesiredState,
        diagnostic::{Diagnostic, Location, Reason, Severity},
        index::Index,
        objects::{Kind, Object, ObjectKey, Spec},
        printable::{Printable, printable},
    },
    source::manifests::ManifestDir,
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Whether there is no error; warnings are allowed.
    pub valid: bool,
    /// How many diagnostics are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// What each gateway would get, by its name.
    pub gateways: BTreeMap<String, GatewaySummary>,
    /// Every problem, in the order of files and lines.
    pub diagnostics: Vec<Diagnostic>,
}

/// What would be programmed for one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct GatewaySummary {
    /// Elastic IPs.
    pub eips: usize,
    /// Floating IPs.
    pub fips: usize,
    /// Port mappings.
    pub dnat: usize,
    /// Source networks.
    pub snat: usize,
    /// Routes on the internal interface.
    pub routes: usize,
}

/// How [`CheckReport::render`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Whether [`CheckReport::render`] may use ANSI colours (never in JSON).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Plain text.
    Never,
    /// Severities are coloured.
    Always,
}

/// Reads `dir` and checks it for `gateway`, or for every gateway it names.
#[must_use]
pub fn check(dir: &Path, gateway: Option<&str>) -> CheckReport {
    let snapshot = ManifestDir::new(dir).load();
    let index: Index = snapshot.objects.iter().cloned().collect();
    let names = gateway.map_or_else(|| gateways_of(&index), |name| BTreeSet::from([name.to_owned()]));
    let mut diagnostics = unknown_gateways(&index, &names);
    let mut gateways = BTreeMap::new();
    for name in &names {
        let (state, said) = DesiredState::build(&index, name);
        gateways.insert(name.clone(), GatewaySummary::of(&state));
        diagnostics.extend(said);
    }
    if names.is_empty() {
        // Rules without any gateway are judged all the same: what they lack is an EIP.
        let (_, said) = DesiredState::build(&index, "");
        diagnostics.extend(said.into_iter().filter(|diagnostic| diagnostic.reason != Reason::GatewayMissing));
        if snapshot.diagnostics.is_empty() {
            diagnostics.push(nothing_here(dir));
        }
    }
    snapshot.locate(&mut diagnostics);
    diagnostics.extend(snapshot.diagnostics);
    diagnostics.sort_by(|a, b| order(a).cmp(&order(b)));
    // What concerns no gateway in particular was said once for each.
    diagnostics.dedup();
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    CheckReport { valid: errors == 0, errors, warnings: diagnostics.len() - errors, gateways, diagnostics }
}

fn order(diagnostic: &Diagnostic) -> impl Ord {
    (&diagnostic.location, &diagnostic.object, &diagnostic.field, diagnostic.reason, &diagnostic.message)
}

/// Every gateway that is defined, or that an EIP names.
fn gateways_of(index: &Index) -> BTreeSet<String> {
    let defined = index.of_kind(Kind::VpcNatGateway).map(|object| &*object.key.name);
    let named = index.of_kind(Kind::IptablesEip).filter_map(gateway_of);
    defined.chain(named).map(str::to_owned).collect()
}

fn gateway_of(object: &Object) -> Option<&str> {
    if let Spec::IptablesEip(spec) = &object.spec { spec.nat_gw_dp.as_deref() } else { None }
}

/// EIPs of gateways that are not defined, where others are: probably a misspelt name.
fn unknown_gateways(index: &Index, names: &BTreeSet<String>) -> Vec<Diagnostic> {
    let defined = |name: &str| index.get(&ObjectKey::new(Kind::VpcNatGateway, name)).is_some();
    if index.of_kind(Kind::VpcNatGateway).next().is_none() {
        return Vec::new();
    }
    let eips = index.of_kind(Kind::IptablesEip).filter_map(|object| Some((object, gateway_of(object)?)));
    eips.filter(|(_, name)| names.contains(*name) && !defined(name))
        .map(|(object, name)| Diagnostic {
            severity: Severity::Warning,
            reason: Reason::GatewayMissing,
            object: Some(object.key.clone()),
            field: "spec.natGwDp".to_owned(),
            message: format!("there is no VpcNatGateway `{name}`"),
            fix: "correct the name, or add the VpcNatGateway".to_owned(),
            location: None,
        })
        .collect()
}

fn nothing_here(dir: &Path) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        reason: Reason::GatewayMissing,
        object: None,
        field: String::new(),
        message: "no VpcNatGateway and no IptablesEIP, so there is nothing to translate".to_owned(),
        fix: "add them to files named *.yaml, *.yml or *.json".to_owned(),
        location: Some(Location { file: dir.display().to_string(), position: None }),
    }
}

impl GatewaySummary {
    fn of(state: &DesiredState) -> Self {
        Self {
            eips: state.eips.len(),
            fips: state.fip_in.len(),
            dnat: state.dnat.len(),
            snat: state.snat.len(),
            routes: state.routes.len(),
        }
    }
}

impl CheckReport {
    /// 0 when valid, 1 when there are errors.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        if self.valid { 0 } else { 1 }
    }

    /// The report as text, ending in a newline.
    #[must_use]
    pub fn render(&self, format: Format, colours: Colours) -> String {
        match format {
            // Strings, numbers and lists: there is nothing in a report that JSON cannot say.
            Format::Json => serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default(),
            Format::Table => self.text(colours),
        }
    }

    fn text(&self, colours: Colours) -> String {
        let mut text: String = self.diagnostics.iter().map(|diagnostic| paragraph(diagnostic, colours)).collect();
        if !self.gateways.is_empty() {
            text += &self.summary();
        }
        let verdict = if self.valid { "valid" } else { "not valid" };
        text + &format!("{verdict}: {}, {}\n", count(self.errors, "error"), count(self.warnings, "warning"))
    }

    fn summary(&self) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["GATEWAY", "EIPS", "FIPS", "DNAT", "SNAT", "ROUTES"]);
        for (name, GatewaySummary { eips, fips, dnat, snat, routes }) in &self.gateways {
            let numbers = [eips, fips, dnat, snat, routes].map(ToString::to_string);
            table.add_row(std::iter::once(printable(name)).chain(numbers));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt() + "\n"
    }
}

/// One problem: where and what in the first line, then the words.
fn paragraph(diagnostic: &Diagnostic, colours: Colours) -> String {
    let Diagnostic { severity, reason, object, field, message, fix, location } = diagnostic;
    let (on, off) = match (colours, severity) {
        (Colours::Never, _) => ("", ""),
        (Colours::Always, Severity::Error) => ("\x1b[1;31m", "\x1b[0m"),
        (Colours::Always, Severity::Warning) => ("\x1b[1;33m", "\x1b[0m"),
    };
    let place = location.as_ref().map(|location| format!(" {location}")).unwrap_or_default();
    let object = object.as_ref().map(|object| format!(" {object}")).unwrap_or_default();
    let field = if field.is_empty() { String::new() } else { format!(" {}", Printable(field)) };
    let (message, fix) = (Printable(message), Printable(fix));
    format!("{on}{severity}[{reason}]{off}{place}{object}{field}\n    {message}\n    fix: {fix}\n\n")
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
