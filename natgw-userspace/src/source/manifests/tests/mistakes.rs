//! What is said of mistakes, and that they take nothing away.

use std::os::unix::fs::symlink;

use super::*;

/// What is said of one file called `a.yaml`.
fn case(text: &str, want: &[&str]) {
    let dir = directory();
    write(dir.path(), "a.yaml", text);
    assert_eq!(said(&ManifestDir::new(dir.path()).load(), dir.path()), want);
}

const KEEPS: &str = "(correct it; what the file last said of objects that are missing now stays in force)";

#[test]
fn broken_yaml_is_placed_by_line_and_column_and_hides_no_other_document() {
    let dir = directory();
    let broken = "apiVersion: kubeovn.io/v1\nkind: [IptablesEIP\nmetadata: {name: b}\n".to_owned();
    write(dir.path(), "a.yaml", &file(&[eip("a", "203.0.113.10"), broken, eip("c", "203.0.113.12")]));
    let snapshot = ManifestDir::new(dir.path()).load();
    assert_eq!(names(&snapshot), ["a", "c"]);
    assert_eq!(
        said(&snapshot, dir.path()),
        [format!("error ManifestSyntax a.yaml:11:9: illegal placement of ':' indicator {KEEPS}")]
    );
}

#[test]
fn syntax_errors() {
    let line = |text: &str| format!("error ManifestSyntax {text} {KEEPS}");
    case("a: b: c\n", &[&line("a.yaml:1:5: mapping values are not allowed in this context")]);
    case("a: 1\na: 2\n", &[&line("a.yaml:2:1: duplicate mapping key `a` is not allowed here")]);
    case("\n\na: 'x\n", &[&line("a.yaml:3:4: unclosed quote")]);
    case("a: *nope\n", &[&line("a.yaml:1:4: reference to unknown value")]);
}

#[test]
fn nesting_and_alias_bombs_are_refused_and_cost_nothing() {
    let deep = format!("a: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let mut wide = "a: &a [x, x, x]\n".to_owned();
    for (name, last) in ('b'..='i').zip('a'..) {
        let aliases = vec![format!("*{last}"); 10].join(", ");
        wide += &[&format!("{name}: &{name} ["), aliases.as_str(), "]\n"].concat();
    }
    let mut chain = "a: &a x\n".to_owned();
    for (name, last) in ('b'..='z').zip('a'..) {
        chain +=
            &[format!("{name}: &{name} "), "[".repeat(20), format!("*{last}"), "]".repeat(20), "\n".into()].concat();
    }
    for text in [deep, wide, chain, "- ".repeat(10_000) + "\n"] {
        let dir = directory();
        write(dir.path(), "a.yaml", &file(&[text, eip("a", "203.0.113.10")]));
        let snapshot = ManifestDir::new(dir.path()).load();
        let said = said(&snapshot, dir.path());
        assert!(said.len() == 1 && said[0].starts_with("error ManifestSyntax a.yaml:"), "{said:?}");
        assert_eq!(names(&snapshot), ["a"]);
    }
}

#[test]
fn documents_that_are_no_objects() {
    let stop = "write apiVersion, kind, metadata and spec";
    case("just text\n", &[&format!("error InvalidObject a.yaml:1:1: not a Kubernetes object ({stop})")]);
    case("- 1\n", &[&format!("error InvalidObject a.yaml:1:1: not a Kubernetes object ({stop})")]);
    case(
        "kind: IptablesEIP\n",
        &["error InvalidObject a.yaml:1:1: apiVersion: not set, or not a string (write `kubeovn.io/v1`)"],
    );
    case(
        "apiVersion: kubeovn.io/v1\nkind: 5\n",
        &["error InvalidObject a.yaml:1:1: kind: not set, or not a string (write one of VpcNatGateway, IptablesEIP, \
           IptablesFIPRule, IptablesDnatRule, IptablesSnatRule, QoSPolicy, Subnet)"],
    );
    case(
        "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata:\n  name: 5\n",
        &["error InvalidObject a.yaml:4:9: metadata.name: this IptablesEIP has no name, or one that is not a string \
           (give it a name, in quotes when it is a number)"],
    );
    case(
        "apiVersion: kubeovn.io/v1beta1\nkind: IptablesEIP\nmetadata: {name: a}\n",
        &[
            "error InvalidObject a.yaml:1:13: IptablesEIP/a: apiVersion: `kubeovn.io/v1beta1` is not a version that natgw \
           reads (write `kubeovn.io/v1`)",
        ],
    );
}

#[test]
fn fields_of_the_wrong_type() {
    let object = |spec: &str| {
        format!("apiVersion: kubeovn.io/v1\nkind: VpcNatGateway\nmetadata: {{name: gw1}}\nspec:\n  {spec}\n")
    };
    let line = |text: &str| format!("error InvalidObject {text} (write the type that the field has)");
    case(
        &object("lanIp: [10.0.1.1]"),
        &[&line("a.yaml:5:10: VpcNatGateway/gw1: spec.lanIp: invalid type: sequence, expected a string")],
    );
    case(
        &object("vpc: true"),
        &[&line("a.yaml:5:8: VpcNatGateway/gw1: spec.vpc: invalid type: boolean `true`, expected a string")],
    );
    case(
        &object("routes: [{cidr: 1.5}]"),
        &[&line(
            "a.yaml:5:19: VpcNatGateway/gw1: spec.routes[0].cidr: invalid type: floating point `1.5`, expected a string",
        )],
    );
    case(
        &object("routes: none"),
        &[&line("a.yaml:5:11: VpcNatGateway/gw1: spec.routes: invalid type: string \"none\", expected a sequence")],
    );
}

#[test]
fn unknown_fields_and_kinds_are_warned_of_and_ignored() {
    case(
        "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {name: a, nmae: b}\nspce: {}\nspec:\n  natGwDp: gw1\n  \
         v4IP: 203.0.113.10\n",
        &[
            "warning UnknownField a.yaml:7:3: IptablesEIP/a: spec.v4IP: IptablesEIP has no such field; it is ignored \
             (correct its name, or remove it)",
            "warning UnknownField a.yaml:4:1: IptablesEIP/a: spce: IptablesEIP has no such field; it is ignored (correct \
             its name, or remove it)",
            "warning UnknownField a.yaml:3:21: IptablesEIP/a: metadata.nmae: IptablesEIP has no such field; it is ignored \
             (correct its name, or remove it)",
        ],
    );
    case(
        "apiVersion: kubeovn.io/v1\nkind: VpcNatGateway\nmetadata: {name: a}\nspec: {routes: [{cidr: 10.0.0.0/8, via: x}]}\n",
        &[
            "warning UnknownField a.yaml:4:36: VpcNatGateway/a: spec.routes[0].via: VpcNatGateway has no such field; it is \
           ignored (correct its name, or remove it)",
        ],
    );
    case(
        "apiVersion: kubeovn.io/v1\nkind: Vpc\nmetadata: {name: vpc1}\n",
        &[
            "warning UnknownKind a.yaml:2:7: kind: Vpc `vpc1` of kubeovn.io/v1 is not a kind that natgw programs; it is \
           ignored (remove it, or ignore this)",
        ],
    );
    case(
        "apiVersion: kubeovn.io/v1\nkind: IptablesEip\nmetadata: {name: a}\n",
        &[
            "warning UnknownKind a.yaml:2:7: kind: IptablesEip `a` of kubeovn.io/v1 is not a kind that natgw programs; it \
           is ignored (write `IptablesEIP` if that is meant)",
        ],
    );
    case(
        "apiVersion: apps/v1\nkind: Deployment\n",
        &[
            "warning UnknownKind a.yaml:2:7: kind: Deployment of apps/v1 is not a kind that natgw programs; it is ignored \
           (remove it, or ignore this)",
        ],
    );
    case(
        "apiVersion: kubeovn.io/v1\nkind: IptablesEIP\nmetadata: {name: a, creationTimestamp: yesterday}\n",
        &[
            "warning InvalidTimestamp a.yaml:3:40: IptablesEIP/a: metadata.creationTimestamp: not an RFC 3339 time in UTC, \
           such as 2026-01-31T12:00:00Z (correct it, or remove it)",
        ],
    );
}

#[test]
fn of_an_object_written_twice_the_first_by_path_and_place_counts() {
    let dir = directory();
    write(dir.path(), "b.yaml", &eip("a", "203.0.113.12"));
    write(dir.path(), "a.yaml", &file(&[eip("a", "203.0.113.10"), eip("a", "203.0.113.11")]));
    let snapshot = ManifestDir::new(dir.path()).load();
    assert_eq!(snapshot.objects.len(), 1);
    let crate::core::objects::Spec::IptablesEip(spec) = &snapshot.objects[0].spec else { panic!("an EIP") };
    assert_eq!(spec.v4ip.as_deref(), Some("203.0.113.10"));
    let relative: Vec<_> = said(&snapshot, dir.path())
        .iter()
        .map(|line| line.replace(&format!("{}/", dir.path().display()), ""))
        .collect();
    let tail = "IptablesEIP/a: metadata.name: also written at a.yaml:1:1, which is the one that counts (rename or remove \
                one of the two)";
    assert_eq!(
        relative,
        [format!("error DuplicateObject a.yaml:9:1: {tail}"), format!("error DuplicateObject b.yaml:1:1: {tail}")]
    );
}

#[test]
fn files_that_cannot_be_read_are_named_and_hide_no_others() {
    let dir = directory();
    write(dir.path(), "good.yaml", &eip("a", "203.0.113.10"));
    fs::create_dir(dir.path().join("dir.yaml")).expect("a directory");
    symlink("nowhere", dir.path().join("link.yaml")).expect("a link");
    fs::write(dir.path().join("latin1.yaml"), b"a: 1\nb: \xe9\n").expect("writable");
    let huge = fs::File::create(dir.path().join("huge.yaml")).expect("writable");
    huge.set_len(MAX_FILE_BYTES + 1).expect("a sparse file");
    let snapshot = ManifestDir::new(dir.path()).load();
    assert_eq!(names(&snapshot), ["a"]);
    let stays = "what the file last said stays in force";
    assert_eq!(
        said(&snapshot, dir.path()),
        [
            format!(
                "error ManifestUnreadable dir.yaml: cannot be read: not a regular file (make it a readable file; {stays})"
            ),
            format!("error ManifestTooLarge huge.yaml: larger than 16 MiB (split it; {stays})"),
            format!("error ManifestUnreadable latin1.yaml: not UTF-8 in line 2 (save it as UTF-8; {stays})"),
            format!(
                "error ManifestUnreadable link.yaml: cannot be read: No such file or directory (os error 2) (make it a \
                 readable file; {stays})"
            ),
        ]
    );
}

#[test]
fn a_typing_error_removes_nothing_and_a_deletion_does() {
    let dir = directory();
    let mut manifests = ManifestDir::new(dir.path());
    let path = dir.path().to_owned();
    let mut load = |text: &str| {
        write(&path, "a.yaml", text);
        let snapshot = manifests.load();
        (names(&snapshot).join(" "), snapshot.diagnostics.len())
    };
    let [a, b, c] = ["a", "b", "c"].map(|name| eip(name, "203.0.113.10"));
    assert_eq!(load(&file(&[a.clone(), b.clone()])), ("a b".into(), 0));
    // Nobody can say what the second document was: everything that is missing stays, what is new is added.
    assert_eq!(load(&file(&[a.clone(), "kind: [\n".into(), c.clone()])), ("a b c".into(), 1));
    assert_eq!(load("kind: [\n"), ("a b c".into(), 1));
    assert_eq!(load(&file(&[b.clone(), c.clone()])), ("b c".into(), 0));
    // Here it is known which object is broken: that one stays, the deleted one goes.
    assert_eq!(load(&b.replace("v4ip: 203.0.113.10", "v4ip: [1]")), ("b".into(), 1));
    assert_eq!(load(&b), ("b".into(), 0));
    assert_eq!(load(""), (String::new(), 0));
}

#[test]
fn a_file_that_becomes_unreadable_keeps_its_objects_and_one_that_is_removed_does_not() {
    let dir = directory();
    let mut manifests = ManifestDir::new(dir.path());
    let path = dir.path().join("a.yaml");
    write(dir.path(), "a.yaml", &eip("a", "203.0.113.10"));
    assert_eq!(names(&manifests.load()), ["a"]);
    fs::write(&path, b"\xff").expect("writable");
    for _ in 0..2 {
        let snapshot = manifests.load();
        assert_eq!((names(&snapshot), snapshot.diagnostics.len()), (vec!["a"], 1));
    }
    fs::remove_file(&path).expect("removable");
    assert_eq!(manifests.load(), Snapshot::default());
}

#[test]
fn an_object_moved_out_of_a_file_that_is_now_broken_counts_where_it_went() {
    let dir = directory();
    let mut manifests = ManifestDir::new(dir.path());
    write(dir.path(), "a.yaml", &file(&[eip("a", "203.0.113.10"), eip("b", "203.0.113.11")]));
    manifests.load();
    write(dir.path(), "a.yaml", "kind: [\n");
    write(dir.path(), "z.yaml", &eip("b", "203.0.113.99"));
    let snapshot = manifests.load();
    assert_eq!(names(&snapshot), ["a", "b"]);
    assert_eq!(snapshot.diagnostics.len(), 1);
    let crate::core::objects::Spec::IptablesEip(spec) = &snapshot.objects[1].spec else { panic!("an EIP") };
    assert_eq!(spec.v4ip.as_deref(), Some("203.0.113.99"));
}

#[test]
fn a_directory_that_is_gone_keeps_everything_and_is_named() {
    let dir = directory();
    let inner = dir.path().join("manifests");
    let mut manifests = ManifestDir::new(&inner);
    let missing = "error DirectoryUnavailable manifests: cannot list the manifest directory: No such file or directory (os \
                   error 2) (create it, or correct its path; what it last said stays in force)";
    assert_eq!(said(&manifests.load(), dir.path()), [missing]);
    fs::create_dir(&inner).expect("a directory");
    write(&inner, "a.yaml", &eip("a", "203.0.113.10"));
    assert_eq!(names(&manifests.load()), ["a"]);
    fs::remove_dir_all(&inner).expect("removable");
    let snapshot = manifests.load();
    assert_eq!((names(&snapshot), said(&snapshot, dir.path())), (vec!["a"], vec![missing.to_owned()]));
}

#[test]
fn a_name_that_no_object_can_have_is_refused_and_removes_nothing() {
    let dir = directory();
    let mut source = ManifestDir::new(dir.path());
    write(dir.path(), "a.yaml", &eip("web", "203.0.113.10"));
    source.load();
    write(dir.path(), "a.yaml", &eip("\"a\\e[2J\\nb\\u202e\"", "203.0.113.11"));
    let snapshot = source.load();
    assert_eq!(names(&snapshot), ["web"]);
    assert_eq!(
        said(&snapshot, dir.path()),
        ["error InvalidObject a.yaml:4:9: metadata.name: `a\\u{1b}[2J\\nb\\u{202e}` cannot be the name of this \
          IptablesEIP: only lower-case letters, digits, `-` and `.` are allowed (use lower-case letters, digits, `-` \
          and `.`, as the API server demands)"]
    );
}
