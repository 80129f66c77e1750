//! Where an object's fields are written, so that a diagnostic about one can point at it.

use std::sync::Arc;

use super::node::{Node, Value};
use crate::core::diagnostic::{Location, Position};

/// The places of one object's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    file: Arc<str>,
    /// Lines of the file before the document, from whose beginning the positions count.
    lines_before: u64,
    start: Position,
    fields: Arc<[Place]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    field: String,
    key: Position,
    value: Position,
}

impl Places {
    /// The places in `object`'s spec: the part whose meaning is judged later. The document counts as the file's first.
    pub(super) fn of(file: &Arc<str>, object: &Node) -> Self {
        let mut fields = Vec::new();
        if let Value::Map(entries) = &object.value {
            for (key, node) in entries.iter().filter(|(key, _)| key.name == "spec") {
                collect(&mut fields, key.name.clone(), key.at, node);
            }
        }
        Self { file: Arc::clone(file), lines_before: 0, start: object.at, fields: fields.into() }
    }

    /// The same places in a document that begins after so many lines.
    pub(super) fn after(&self, lines_before: u64) -> Self {
        Self { lines_before, ..self.clone() }
    }

    /// Where the object begins.
    pub(super) fn start(&self) -> Location {
        self.location(self.start)
    }

    /// Where `field`, or the nearest thing around it, is written.
    pub(super) fn of_field(&self, field: &str) -> Location {
        let mut path = field;
        loop {
            if let Some(place) = self.find(path) {
                return self.location(if path == field { place.value } else { place.key });
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.start(),
            }
        }
    }

    /// Where in the document the name of `field` is written.
    pub(super) fn key_of(&self, field: &str) -> Option<Position> {
        self.find(field).map(|place| place.key)
    }

    /// Which field's value begins at `at` of the document.
    pub(super) fn field_at(&self, at: Position) -> Option<&str> {
        self.fields.iter().find(|place| place.value == at).map(|place| place.field.as_str())
    }

    fn find(&self, field: &str) -> Option<&Place> {
        self.fields.iter().find(|place| place.field == field)
    }

    fn location(&self, at: Position) -> Location {
        Location { file: self.file.as_ref().to_owned(), position: Some(at.after(self.lines_before)) }
    }
}

fn collect(fields: &mut Vec<Place>, field: String, key: Position, node: &Node) {
    match &node.value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(fields, format!("{field}[{index}]"), item.at, item);
            }
        }
        Value::Map(entries) => {
            for (name, child) in entries {
                collect(fields, format!("{field}.{}", name.name), name.at, child);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Unsigned(_) | Value::Float(_) | Value::Text(_) => {}
    }
    fields.push(Place { field, key, value: node.at });
}
