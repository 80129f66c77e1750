//! Reader of `published.txt`.

use std::ops::RangeInclusive;

/// One kind, as published.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) short_name: &'static str,
    /// Name, type, JSON path.
    pub(super) columns: Vec<[&'static str; 3]>,
    /// Parents come before their children.
    pub(super) fields: Vec<Field>,
}

/// One place in a schema.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) path: &'static str,
    pub(super) type_: &'static str,
    pub(super) format: Option<&'static str>,
    pub(super) range: RangeInclusive<i64>,
    pub(super) default: Option<&'static str>,
    pub(super) values: Vec<&'static str>,
    pub(super) required: Vec<&'static str>,
}

/// All kinds, in the order of [`super::definitions`].
pub(super) fn published() -> Vec<Published> {
    let mut kinds: Vec<Published> = Vec::new();
    for line in include_str!("published.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        match *words.as_slice() {
            ["kind", kind, plural, singular, short_name] => {
                kinds.push(Published { kind, plural, singular, short_name, columns: Vec::new(), fields: Vec::new() });
            }
            ["column", name, type_, path] => last(&mut kinds).columns.push([name, type_, path]),
            [path, type_, ref limits @ ..] => last(&mut kinds).fields.push(field(path, type_, limits)),
            _ => panic!("not understood: {line}"),
        }
    }
    kinds
}

fn last(kinds: &mut [Published]) -> &mut Published {
    kinds.last_mut().expect("a kind comes first")
}

fn field(path: &'static str, type_: &'static str, limits: &[&'static str]) -> Field {
    let value = |name: &str| limits.iter().find_map(|limit| limit.strip_prefix(name)?.strip_prefix('='));
    let list = |name: &str| value(name).map(|values| values.split('|').collect()).unwrap_or_default();
    let number = |name: &str, otherwise: i64| value(name).map_or(otherwise, |text| text.parse().expect("a number"));
    let (lowest, highest) = match value("format") {
        Some("int32") => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    };
    Field {
        path,
        type_,
        format: value("format"),
        range: number("minimum", lowest)..=number("maximum", highest),
        default: value("default"),
        values: list("enum"),
        required: list("required"),
    }
}

#[test]
fn the_table_covers_the_kinds_of_the_definitions() {
    let kinds: Vec<_> = published().iter().map(|published| published.kind).collect();
    let ours: Vec<_> = super::definitions().into_iter().map(|definition| definition.spec.names.kind).collect();
    assert_eq!(kinds, ours);
    // A table that was cut short would let everything pass.
    assert!(published().iter().all(|published| published.fields.len() > 10 && published.columns.len() > 1));
}
