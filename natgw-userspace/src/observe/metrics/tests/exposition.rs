//! The `OpenMetrics` text format, as far as natgw writes it.

use std::fmt;

/// A metric with all its series.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: String,
    pub(super) unit: Option<String>,
    pub(super) samples: Vec<Sample>,
}

impl Family {
    /// The names of its labels.
    pub(super) fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<&str> = Vec::new();
        for (label, _) in self.samples.iter().flat_map(|sample| &sample.labels) {
            if label != "le" && !labels.contains(&label.as_str()) {
                labels.push(label);
            }
        }
        labels
    }
}

/// One line. Prints as `name{label=value,...}`.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.labels.is_empty() {
            return Ok(());
        }
        let labels: Vec<_> = self.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        write!(f, "{{{}}}", labels.join(","))
    }
}

/// Reads it, and panics where it breaks the format.
pub(super) fn parse(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let mut ended = false;
    for line in text.lines() {
        assert!(!ended, "after the end: {line}");
        if line == "# EOF" {
            ended = true;
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            families.push(Family { name: name.to_owned(), help: help.to_owned(), ..Family::default() });
        } else {
            let family = families.last_mut().expect("a family begins with its help text");
            if let Some(meta) = line.strip_prefix("# ") {
                let words: Vec<_> = meta.split(' ').collect();
                let [what, name, value] = words.as_slice() else { panic!("{line}") };
                assert_eq!(*name, family.name, "{line}");
                match *what {
                    "TYPE" => (*value).clone_into(&mut family.kind),
                    "UNIT" => family.unit = Some((*value).to_owned()),
                    _ => panic!("{line}"),
                }
            } else {
                family.samples.push(sample(line));
            }
        }
    }
    assert!(ended, "there is no end");
    families
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').expect("a closing brace");
    let label = |pair: &str| {
        let (label, value) = pair.split_once('=').expect("a label has a value");
        (label.to_owned(), value.trim_matches('"').to_owned())
    };
    Sample {
        name: name.to_owned(),
        labels: labels.split(',').filter(|pair| !pair.is_empty()).map(label).collect(),
        value: value.parse().expect("a number"),
    }
}
