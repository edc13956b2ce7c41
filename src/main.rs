//! The program; its verbs are in [`usrlocd::cli`].

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Very many small texts come and go between those that stay: with malloc of glibc the memory between them stays taken.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    usrlocd::cli::main(std::env::args_os())
}
