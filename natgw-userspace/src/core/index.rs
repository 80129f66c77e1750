//! The set of objects a source has told us about: a value, not a history.

use std::collections::BTreeMap;

use super::objects::{Kind, Object, ObjectKey};

/// Objects by key. Two indexes that hold the same objects are equal, however they came to hold them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Index {
    objects: BTreeMap<ObjectKey, Object>,
}

impl Index {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `object`, or replaces the one with its key.
    pub fn apply(&mut self, object: Object) {
        self.objects.insert(object.key.clone(), object);
    }

    /// Removes the object with `key`, if there is one.
    pub fn delete(&mut self, key: &ObjectKey) {
        self.objects.remove(key);
    }

    /// Replaces everything: what is not in `objects` is gone.
    pub fn reset(&mut self, objects: impl IntoIterator<Item = Object>) {
        self.objects = objects.into_iter().map(|object| (object.key.clone(), object)).collect();
    }

    /// The object with `key`.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Every object, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// The objects of `kind`, by name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects.range(ObjectKey::new(kind, "")..).map(|(_, object)| object).take_while(move |o| o.key.kind == kind)
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl FromIterator<Object> for Index {
    fn from_iter<I: IntoIterator<Item = Object>>(objects: I) -> Self {
        let mut index = Self::new();
        index.reset(objects);
        index
    }
}
