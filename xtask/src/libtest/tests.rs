//! Output as libtest prints it, whole and torn.

use super::*;

const ALL_PASSED: &str = "\nrunning 2 tests\ntest a ... ok\ntest b ... ok\n\nsuccesses:\n\n---- a stdout ----\nnoise\n\n\n\
    successes:\n    a\n    b\n\n\
    test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\n";

fn read(output: &str, success: bool) -> (Counts, Vec<String>) {
    let mut reader = Reader::new();
    let mut shown = Vec::new();
    for line in output.lines() {
        match reader.line(line) {
            Shown::Line => shown.push(line.to_owned()),
            Shown::Instead(text) => shown.push(text),
            Shown::Hidden => {}
        }
    }
    (reader.finish(success), shown)
}

fn counts(passed: u64, failed: u64, skipped: u64) -> Counts {
    Counts { passed, failed, skipped }
}

#[test]
fn what_passing_tests_print_is_not_shown() {
    let (result, shown) = read(ALL_PASSED, true);
    assert_eq!(result, counts(2, 0, 0));
    assert_eq!(shown[..3], ["running 2 tests", "test a ... ok", "test b ... ok"]);
    assert!(shown[3].starts_with("test result: ok."), "{shown:?}");
    assert_eq!(shown.len(), 4);
}

#[test]
fn results_of_several_processes_are_added() {
    assert_eq!(read(&ALL_PASSED.repeat(3), true).0, counts(6, 0, 0));
}

#[test]
fn what_failing_tests_print_is_shown() {
    let output = "running 2 tests\ntest a ... FAILED\ntest b ... ignored, slow\n\nfailures:\n\n---- a stdout ----\n\
        thread 'a' panicked at src/x.rs:1:1:\nleft: 1\n\n\nfailures:\n    a\n\n\
        test result: FAILED. 0 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
    let (result, shown) = read(output, false);
    assert_eq!(result, counts(0, 1, 1));
    assert!(shown.contains(&"left: 1".to_owned()), "{shown:?}");
}

#[test]
fn a_test_that_skips_itself_is_skipped_once_and_its_reason_shown() {
    let output = "running 2 tests\ntest a ... ok\ntest b ... ok\n\nsuccesses:\n\n---- a stdout ----\nprobing\n\
        SKIPPED: no TCX in this kernel\nSKIPPED: no TCX in this kernel\n\n\nsuccesses:\n    a\n    b\n\n\
        test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
    let (result, shown) = read(output, true);
    assert_eq!(result, counts(1, 0, 1));
    assert!(shown.contains(&"SKIPPED: a: no TCX in this kernel".to_owned()), "{shown:?}");
}

#[test]
fn a_skip_that_escaped_the_capture_counts_as_well() {
    let output = "running 1 test\nSKIPPED: no macvlan\ntest a ... ok\n\n\
        test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
    assert_eq!(read(output, true).0, counts(0, 0, 1));
}

#[test]
fn a_failing_test_that_mentions_a_skip_has_failed() {
    let output = "running 1 test\ntest a ... FAILED\n\nfailures:\n\n---- a stdout ----\nSKIPPED: no\npanicked\n\n\
        failures:\n    a\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s\n";
    assert_eq!(read(output, false).0, counts(0, 1, 0));
}

#[test]
fn a_process_that_died_fails_all_its_tests() {
    let output = "running 3 tests\ntest a ... ok\nerror: test failed (signal: 11, SIGSEGV)\n";
    assert_eq!(read(output, false).0, counts(0, 3, 0));
    // ... also when the next process is fine.
    assert_eq!(read(&format!("{output}{ALL_PASSED}"), false).0, counts(2, 3, 0));
}

#[test]
fn a_failure_without_a_test_is_a_failure() {
    assert_eq!(read("error: no test target named `restart`\n", false).0, counts(0, 1, 0));
    assert_eq!(read(ALL_PASSED, false).0, counts(2, 1, 0));
}

#[test]
fn nothing_run_is_nothing_passed() {
    let output = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0s\n";
    assert_eq!(read(output, true), (counts(0, 0, 0), vec![]));
}

#[test]
fn a_result_behind_unfinished_output_is_found() {
    let line =
        "half a linetest result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
    assert_eq!(parse_result(line), Some((7, 0, 0)));
    assert_eq!(parse_result("test result: broken"), None);
    assert_eq!(parse_header("running 12 tests"), Some(12));
    assert_eq!(parse_header("running natgw on eth0"), None);
}

#[test]
fn a_header_that_a_test_has_printed_is_no_process() {
    let output = "running 2 tests\ntest a ... ok\ntest b ... ok\n\nsuccesses:\n\n---- a stdout ----\nrunning 9 tests\n\n\
                  successes:\n    a\n    b\n\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
    assert_eq!(read(output, true).0, counts(2, 0, 0));
}
