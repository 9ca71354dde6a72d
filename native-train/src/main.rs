//! The command line `yolox-nano`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    native_train::main()
}
