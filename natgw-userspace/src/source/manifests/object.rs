//! From a document to objects: which kind it is, its metadata, its spec, and what is odd about them.

use std::{collections::BTreeSet, sync::Arc};

use serde_ignored::Path as FieldPath;

use super::{
    node::{Key, Node, Value},
    places::Places,
    reader::NodeReader,
};
use crate::core::{
    diagnostic::{Diagnostic, Location, Position, Reason, Severity},
    objects::{API_VERSION, Kind, Object, ObjectKey, Spec, Timestamp, TimestampError, name_fault},
};

/// What one document says, or one file.
#[derive(Debug, Clone, Default)]
pub(super) struct Parsed {
    /// Its objects in the order in which they are written; a key may occur twice.
    pub(super) objects: Vec<(Object, Places)>,
    /// What is wrong with it.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Objects that are recognisable but cannot be read.
    pub(super) broken: BTreeSet<ObjectKey>,
    /// Whether a part is so broken that nobody can say which object it was.
    pub(super) has_unknown_part: bool,
}

impl Parsed {
    /// Adds what a document says that begins after so many lines of the file.
    pub(super) fn add(&mut self, document: &Self, lines_before: u64) {
        let objects = document.objects.iter();
        self.objects.extend(objects.map(|(object, places)| (object.clone(), places.after(lines_before))));
        for diagnostic in &document.diagnostics {
            let mut diagnostic = diagnostic.clone();
            if let Some(at) = diagnostic.location.as_mut().and_then(|location| location.position.as_mut()) {
                *at = at.after(lines_before);
            }
            self.diagnostics.push(diagnostic);
        }
        self.broken.extend(document.broken.iter().cloned());
        self.has_unknown_part |= document.has_unknown_part;
    }
}

/// Fields of `ObjectMeta`: the API server writes them, natgw needs four.
const METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// Reads the objects of a document.
pub(super) struct ObjectReader<'a> {
    file: &'a Arc<str>,
    parsed: &'a mut Parsed,
}

impl<'a> ObjectReader<'a> {
    pub(super) fn new(file: &'a Arc<str>, parsed: &'a mut Parsed) -> Self {
        Self { file, parsed }
    }

    /// Reads one document, or one item of a list.
    pub(super) fn read(&mut self, node: &Node) {
        if !matches!(node.value, Value::Map(_)) {
            self.unrecognisable(node.at, "", "not a Kubernetes object", "write apiVersion, kind, metadata and spec");
            return;
        }
        let Some(api_version) = node.get("apiVersion").and_then(Node::text) else {
            self.unrecognisable(node.at, "apiVersion", "not set, or not a string", &format!("write `{API_VERSION}`"));
            return;
        };
        let Some(kind) = node.get("kind").and_then(Node::text) else {
            let kinds = Kind::ALL.map(Kind::name).join(", ");
            self.unrecognisable(node.at, "kind", "not set, or not a string", &format!("write one of {kinds}"));
            return;
        };
        if let Some(items) = list_items(kind, node) {
            for item in items {
                self.read(item);
            }
            return;
        }
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        match Kind::from_name(kind).filter(|_| group == "kubeovn.io") {
            Some(kind) => self.read_known(kind, api_version, node),
            None => self.unknown_kind(api_version, kind, node),
        }
    }

    fn read_known(&mut self, kind: Kind, api_version: &str, node: &Node) {
        let name = node.get("metadata").and_then(|metadata| metadata.get("name"));
        let Some(name) = name.and_then(Node::text) else {
            let at = name.or_else(|| node.get("metadata")).unwrap_or(node).at;
            let message = format!("this {kind} has no name, or one that is not a string");
            self.unrecognisable(at, "metadata.name", &message, "give it a name, in quotes when it is a number");
            return;
        };
        if let Some(fault) = name_fault(name) {
            let at = node.get("metadata").and_then(|metadata| metadata.get("name")).unwrap_or(node).at;
            let message = format!("`{name}` cannot be the name of this {kind}: {fault}");
            let fix = "use lower-case letters, digits, `-` and `.`, as the API server demands";
            self.unrecognisable(at, "metadata.name", &message, fix);
            return;
        }
        let key = ObjectKey::new(kind, name);
        if api_version != API_VERSION {
            let at = node.get("apiVersion").unwrap_or(node).at;
            let message = format!("`{api_version}` is not a version that natgw reads");
            self.broken(&key, at, "apiVersion", message, format!("write `{API_VERSION}`"));
            return;
        }
        let places = Places::of(self.file, node);
        let Some(spec) = self.spec(&key, node, &places) else { return };
        self.unknown_fields(&key, node, "", &["apiVersion", "kind", "metadata", "spec", "status"]);
        let metadata = node.get("metadata");
        if let Some(metadata) = metadata {
            self.unknown_fields(&key, metadata, "metadata.", METADATA);
        }
        let generation = match metadata.and_then(|metadata| metadata.get("generation")).map(|node| &node.value) {
            Some(Value::Int(generation)) => *generation,
            _ => 0,
        };
        let deleting = metadata.is_some_and(|metadata| metadata.get("deletionTimestamp").is_some());
        let object = Object { created: self.created(&key, node), key, generation, deleting, spec };
        self.parsed.objects.push((object, places));
    }

    fn spec(&mut self, key: &ObjectKey, node: &Node, places: &Places) -> Option<Spec> {
        let Some(spec) = node.get("spec") else { return Some(Spec::empty(key.kind)) };
        let mut unknown = Vec::new();
        let mut on_unknown = |path: FieldPath<'_>| unknown.push(field_name("spec", &path));
        let reader = serde_ignored::Deserializer::new(NodeReader(spec), &mut on_unknown);
        match Spec::deserialize(key.kind, reader) {
            Ok(read) => {
                for field in unknown {
                    let at = places.key_of(&field).unwrap_or(spec.at);
                    self.unknown_field(key, at, &field);
                }
                Some(read)
            }
            Err(error) => {
                let at = error.at.unwrap_or(spec.at);
                let field = places.field_at(at).unwrap_or("spec").to_owned();
                self.broken(key, at, &field, error.message, "write the type that the field has".to_owned());
                None
            }
        }
    }

    fn created(&mut self, key: &ObjectKey, node: &Node) -> Option<Timestamp> {
        let node = node.get("metadata")?.get("creationTimestamp")?;
        let error = match node.text().map(str::parse) {
            Some(Ok(created)) => return Some(created),
            Some(Err(error)) => error,
            None => TimestampError,
        };
        self.say(
            Reason::InvalidTimestamp,
            Some(key),
            node.at,
            "metadata.creationTimestamp",
            error.to_string(),
            "correct it, or remove it".to_owned(),
        );
        None
    }

    fn unknown_kind(&mut self, api_version: &str, kind: &str, node: &Node) {
        let alike = Kind::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(kind));
        let fix = match alike {
            Some(known) if known.name() == kind => format!("write apiVersion `{API_VERSION}` if it is kube-ovn's"),
            Some(known) => format!("write `{known}` if that is meant"),
            None => "remove it, or ignore this".to_owned(),
        };
        let name = node.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
        let name = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let at = node.get("kind").unwrap_or(node).at;
        let message = format!("{kind}{name} of {api_version} is not a kind that natgw programs; it is ignored");
        self.say(Reason::UnknownKind, None, at, "kind", message, fix);
    }

    fn unknown_fields(&mut self, key: &ObjectKey, node: &Node, prefix: &str, known: &[&str]) {
        let Value::Map(entries) = &node.value else { return };
        for (Key { at, name }, _) in entries.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            self.unknown_field(key, *at, &format!("{prefix}{name}"));
        }
    }

    fn unknown_field(&mut self, key: &ObjectKey, at: Position, field: &str) {
        let message = format!("{} has no such field; it is ignored", key.kind);
        self.say(Reason::UnknownField, Some(key), at, field, message, "correct its name, or remove it".to_owned());
    }

    fn unrecognisable(&mut self, at: Position, field: &str, message: &str, fix: &str) {
        self.parsed.has_unknown_part = true;
        self.say(Reason::InvalidObject, None, at, field, message.to_owned(), fix.to_owned());
    }

    fn broken(&mut self, key: &ObjectKey, at: Position, field: &str, message: String, fix: String) {
        self.parsed.broken.insert(key.clone());
        self.say(Reason::InvalidObject, Some(key), at, field, message, fix);
    }

    /// What cannot be read is an error; everything else said here is not.
    fn say(
        &mut self,
        reason: Reason,
        key: Option<&ObjectKey>,
        at: Position,
        field: &str,
        message: String,
        fix: String,
    ) {
        let severity = if reason == Reason::InvalidObject { Severity::Error } else { Severity::Warning };
        let location = Some(Location { file: self.file.to_string(), position: Some(at) });
        let (object, field) = (key.cloned(), field.to_owned());
        self.parsed.diagnostics.push(Diagnostic { severity, reason, object, field, message, fix, location });
    }
}

/// The items of `kind: List`, as `kubectl get -o yaml` writes it, or of a typed list.
fn list_items<'a>(kind: &str, node: &'a Node) -> Option<&'a [Node]> {
    let Value::List(items) = &node.get("items")?.value else { return None };
    kind.ends_with("List").then_some(items)
}

/// `spec.routes[0].cidr` and the like.
fn field_name(root: &str, path: &FieldPath<'_>) -> String {
    match path {
        FieldPath::Root => root.to_owned(),
        FieldPath::Seq { parent, index } => format!("{}[{index}]", field_name(root, parent)),
        FieldPath::Map { parent, key } => format!("{}.{key}", field_name(root, parent)),
        FieldPath::Some { parent } | FieldPath::NewtypeStruct { parent } | FieldPath::NewtypeVariant { parent } => {
            field_name(root, parent)
        }
    }
}
