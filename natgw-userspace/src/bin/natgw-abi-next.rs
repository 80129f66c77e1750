//! `natgw` with the next version of the map ABI: only the tests build and run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    natgw_userspace::cli::main(std::env::args_os())
}
