//! The image: reads the command line, does what it says and exits with a code.

#![no_std]
#![no_main]

use cortado_firmware::arguments::Arguments;
use cortado_firmware::{board, println, selftest, semihosting};
use cortex_m_rt::entry;

#[entry]
fn main() -> ! {
    cortado_firmware::start();
    let mut line = [0; board::COMMAND_LINE_BYTES_MAX + 1];
    let code = match semihosting::command_line(&mut line) {
        Ok(line) => run(Arguments::new(line)),
        Err(error) => {
            println!("cannot read the command line: {error}");
            1
        }
    };
    semihosting::exit(code)
}

/// Does what `task=` says and returns the exit code.
fn run(arguments: Arguments<'_>) -> u8 {
    match arguments.value("task") {
        None | Some("selftest") => selftest::run(arguments),
        #[cfg(not(feature = "without-programs"))]
        Some("execute") => cortado_firmware::execute::run(arguments),
        #[cfg(not(feature = "without-programs"))]
        Some("programs") => cortado_firmware::trials::programs(arguments),
        #[cfg(not(feature = "without-programs"))]
        Some("faults") => cortado_firmware::trials::faults(arguments),
        #[cfg(feature = "cases")]
        Some("sweep") => cortado_firmware::cases::sweep(),
        #[cfg(feature = "cases")]
        Some("golden") => cortado_firmware::cases::golden(arguments),
        #[cfg(feature = "bench")]
        Some("bench") => cortado_firmware::bench::run(arguments),
        Some(task) => {
            println!(
                "unknown task {task}; there are selftest, execute, programs and faults, with the feature `cases` sweep and golden, and with `bench` bench"
            );
            2
        }
    }
}
