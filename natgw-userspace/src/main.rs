//! The `natgw` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    natgw_userspace::cli::main(std::env::args_os())
}
