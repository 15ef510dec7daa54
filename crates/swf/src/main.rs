//! The `swf` binary.

fn main() -> std::process::ExitCode {
    swf::cli::main()
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
