//! The least that runs a model: reads inputs from the host, executes, writes the outputs, sample after sample.
//!
//! The variable `CORTADO_MODULE` says at build time where the model's module is. The program is linked, or with the feature `from-file`
//! loaded from its file. `cargo xtask size` measures this image with the feature `bare`, in which nothing reports anything, and without it
//! runs it to count instructions.

#![no_std]
#![no_main]

use cortado_firmware::semihosting::{self, File};
use cortex_m_rt::entry;

include!(concat!(env!("OUT_DIR"), "/model.rs"));

/// What the image ends with when something failed.
const FAILED: u8 = 4;

#[entry]
fn main() -> ! {
    #[cfg(not(feature = "bare"))]
    cortado_firmware::start();
    semihosting::exit(if run().is_some() { 0 } else { FAILED })
}

/// What is measured: from an arena to a method.
#[inline(never)]
fn start() -> Option<cortado_runtime::Method<'static>> {
    // SAFETY: called once, from `main`; no interrupt handler knows of these.
    let arena = unsafe {
        static mut ARENA: model::Arena = model::Arena::new();
        &mut *(&raw mut ARENA)
    };
    #[cfg(not(feature = "from-file"))]
    return Some(model::link(arena));
    #[cfg(feature = "from-file")]
    {
        // SAFETY: as above.
        let state = unsafe {
            static mut STATE: model::State = model::State::new();
            &mut *(&raw mut STATE)
        };
        model::load(&mut state.0, arena).ok()
    }
}

fn run() -> Option<()> {
    #[cfg(not(feature = "bare"))]
    let mut method = {
        use cortado_firmware::{counter::Counter, println, stack};
        let ((method, instructions), stack_bytes) = stack::measure(|| {
            let counter = Counter::start();
            let method = start();
            (method, counter.elapsed())
        });
        println!("load_instructions={instructions}");
        println!("load_stack_bytes={stack_bytes}");
        println!("method_bytes={}", size_of::<cortado_runtime::Method<'_>>());
        method?
    };
    #[cfg(feature = "bare")]
    let mut method = start()?;
    let mut inputs = File::open_fixed(c"inputs.bin").ok()?;
    let mut outputs = File::create_fixed(c"outputs.bin").ok()?;
    loop {
        for index in 0..method.input_count() {
            let input = method.fill_input_bytes(index).ok()?;
            if inputs.read_exact(input).is_err() {
                // The host ended them.
                return (index == 0).then_some(());
            }
        }
        #[cfg(not(feature = "bare"))]
        {
            use cortado_firmware::{counter::Counter, println};
            let counter = Counter::start();
            method.execute().ok()?;
            println!("instructions={}", counter.elapsed());
        }
        #[cfg(feature = "bare")]
        method.execute().ok()?;
        for index in 0..method.output_count() {
            outputs.write_all(method.output_bytes(index).ok()?).ok()?;
        }
    }
}

#[cfg(feature = "bare")]
mod bare {
    use core::arch::asm;
    use core::panic::PanicInfo;

    /// No interrupt but those that every core has.
    #[unsafe(link_section = ".vector_table.interrupts")]
    #[unsafe(no_mangle)]
    #[allow(non_upper_case_globals, reason = "cortex-m-rt's name for it")]
    static __INTERRUPTS: [u32; 1] = [0];

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        image_may_panic()
    }

    /// Linked only if something in the image may panic: the size command looks for its name.
    #[inline(never)]
    #[unsafe(no_mangle)]
    extern "C" fn image_may_panic() -> ! {
        loop {
            // SAFETY: stops the core, and is nothing that the compiler could leave off.
            unsafe { asm!("bkpt 0", options(nomem, nostack)) };
        }
    }
}

/// The size command counts a method as so large.
const _: () = assert!(size_of::<cortado_runtime::Method<'_>>() == 40);
