//! The `testbed` binary: the same program under the name that users of the Python testbed know.

fn main() -> std::process::ExitCode {
    swf::cli::main()
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
