//! `natgw crds`: the definitions as YAML, for `kubectl apply -f -`.

use super::definitions;
use crate::{
    cli::CrdsArgs,
    exit::{Exit, Failure},
    status,
};

/// `natgw crds`
///
/// # Errors
/// Standard output cannot be written.
pub fn print(args: &CrdsArgs) -> Result<Exit, Failure> {
    let text = render(args.kind.as_deref())
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot write YAML: {error}")))?;
    status::print(text.as_bytes())
}

/// The definitions of all kinds, or of one.
pub(super) fn render(kind: Option<&str>) -> Result<String, serde_saphyr::SerializeError> {
    let mut wanted = definitions();
    wanted.retain(|definition| kind.is_none_or(|kind| definition.spec.names.kind == kind));
    serde_saphyr::to_string_multiple(&wanted)
}

/// The kind with this name, in any case.
///
/// # Errors
/// There is none; says which there are.
pub fn parse_kind(name: &str) -> Result<String, String> {
    let kinds: Vec<_> = definitions().into_iter().map(|definition| definition.spec.names.kind).collect();
    let found = kinds.iter().find(|kind| kind.eq_ignore_ascii_case(name));
    found.cloned().ok_or_else(|| format!("it is none of {}", kinds.join(", ")))
}
