//! The runner.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipeline::main()
}
