//! The program; its verbs are in [`usrlocd::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    usrlocd::cli::main(std::env::args_os())
}
