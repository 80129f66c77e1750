//! The `OpenAPI` definitions of the server's types: generated code that the source package leaves out.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The comment that asks for definitions of a package.
const MARK: &str = "+k8s:openapi-gen=";
/// Marked, but programs of their own.
const OTHER_PROGRAMS: [&str; 2] = ["k8s.io/code-generator", "k8s.io/sample-apiserver"];

/// The generator.
pub(crate) const GENERATOR: &str = "./vendor/k8s.io/kube-openapi/cmd/openapi-gen";

/// Its arguments, in the root `tree` of the source.
pub(crate) fn arguments(tree: &Path, report: &Path) -> Result<Vec<String>> {
    let inputs: Vec<_> = packages(tree)?.into_iter().collect();
    let pairs = [
        ("--input-dirs", inputs.join(",")),
        ("--output-package", "k8s.io/kubernetes/pkg/generated/openapi".to_owned()),
        ("--output-file-base", "zz_generated.openapi".to_owned()),
        ("--go-header-file", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt".to_owned()),
        ("--report-filename", report.display().to_string()),
    ];
    let pairs = pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    Ok(["--logtostderr".to_owned()].into_iter().chain(pairs).collect())
}

/// The Go packages that are marked. vendor/k8s.io consists of links into staging.
fn packages(tree: &Path) -> Result<BTreeSet<String>> {
    let mut packages = BTreeSet::new();
    for (dir, import) in [("pkg", "k8s.io/kubernetes/pkg"), ("staging/src", "k8s.io/kubernetes/vendor")] {
        let root = tree.join(dir);
        for marked in marked(&root)? {
            let below = marked.strip_prefix(&root).unwrap_or(&marked);
            if !OTHER_PROGRAMS.iter().any(|other| below.starts_with(other)) {
                packages.insert(format!("{import}/{}", below.display()));
            }
        }
    }
    Ok(packages)
}

/// The directories below `root` with a Go file that carries the mark.
fn marked(root: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let entry = entry.with_context(|| format!("cannot read {}", dir.display()))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "go") {
                let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                if text.windows(MARK.len()).any(|window| window == MARK.as_bytes()) {
                    found.insert(dir.clone());
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_packages_of_both_trees_are_found_and_others_are_not() {
        let tree = std::env::temp_dir().join(format!("natgw-xtask-openapi-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = tree.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("pkg/apis/abac/v0/doc.go", "// +k8s:openapi-gen=true\npackage v0\n");
        put("pkg/apis/abac/v1/doc.go", "package v1\n");
        put("pkg/apis/abac/v1/notes.txt", "+k8s:openapi-gen=true\n");
        put("staging/src/k8s.io/api/core/v1/doc.go", "// +k8s:openapi-gen=true\npackage v1\n");
        put("staging/src/k8s.io/sample-apiserver/doc.go", "// +k8s:openapi-gen=true\npackage x\n");
        let packages = packages(&tree).unwrap();
        fs::remove_dir_all(&tree).unwrap();
        let expected = ["k8s.io/kubernetes/pkg/apis/abac/v0", "k8s.io/kubernetes/vendor/k8s.io/api/core/v1"];
        assert_eq!(packages.into_iter().collect::<Vec<_>>(), expected);
    }
}
