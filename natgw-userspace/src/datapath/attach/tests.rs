//! Which refusals mean what.

use aya::sys::SyscallError;

use super::*;

fn refused(errno: i32) -> AttachError {
    let io_error = io::Error::from_raw_os_error(errno);
    let source = SyscallError { call: "bpf_mprog_attach", io_error }.into();
    AttachError::Program { program: program::EXT_IN, interface: "net1".into(), source }
}

#[test]
fn only_a_kernel_without_tcx_is_a_reason_for_clsact() {
    let query = |errno| AttachError::Query { ifindex: 2, source: io::Error::from_raw_os_error(errno) };
    assert!(tcx_unsupported(&refused(libc::EINVAL)) && tcx_unsupported(&query(libc::EINVAL)));
    assert!(tcx_unsupported(&refused(libc::EOPNOTSUPP)));
    for errno in [libc::EPERM, libc::ENODEV, libc::ENOMEM] {
        assert!(!tcx_unsupported(&refused(errno)) && !tcx_unsupported(&query(errno)), "{errno}");
    }
}

#[test]
fn an_interface_that_went_away_is_told_apart_from_a_refusal() {
    assert!(refused(libc::ENODEV).is_interface_gone());
    assert!(!refused(libc::EPERM).is_interface_gone());
}

#[test]
fn a_refusal_names_program_interface_and_errno() {
    let text = refused(libc::EPERM).to_string();
    assert!(text.contains("`natgw_ext_in`") && text.contains("`net1`") && text.contains("not permitted"), "{text}");
}

#[test]
fn egress_is_attached_before_ingress_so_that_no_error_leaks_an_internal_address() {
    assert_eq!(Side::External.hooks(), [Hook::ExtOut, Hook::ExtIn]);
}
