//! Handwritten digits on an RP2040 (a Raspberry Pi Pico as it comes): takes one sample after the other, says on the serial port what the
//! model takes it for, and blinks that many times.
//!
//! Inputs and outputs of the model are `int8`: this core has no floating point unit.

#![no_std]
#![no_main]

mod samples;

// What build.rs made of model/digits.pt2: the module `digits`.
include!(concat!(env!("OUT_DIR"), "/digits.rs"));

use core::fmt::Write;
use cortado_runtime::Method;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use panic_halt as _;
use rp2040_hal::Clock;
use rp2040_hal::clocks::init_clocks_and_plls;
use rp2040_hal::fugit::RateExtU32;
use rp2040_hal::gpio::{FunctionUart, Pins};
use rp2040_hal::pac;
use rp2040_hal::uart::{DataBits, StopBits, UartConfig, UartPeripheral};
use rp2040_hal::{Sio, Timer, Watchdog, entry};
use samples::{SAMPLES, Sample};

/// What the chip's boot ROM starts: makes the flash readable in place.
// SAFETY: the section holds this and nothing else; `memory.x` puts it where the boot ROM looks.
#[unsafe(link_section = ".boot2")]
#[used]
static SECOND_STAGE: [u8; 256] = rp2040_boot2::BOOT_LOADER_GENERIC_03H;

/// The Pico's crystal.
const CRYSTAL_HZ: u32 = 12_000_000;

/// The darkest value of a pixel; 0 is paper.
const INK: u8 = 16;

/// 1.5 · 2²³.
const ROUNDS: f32 = 12_582_912.0;

/// The model's integer for each value of a pixel.
const INTEGERS: [i8; INK as usize + 1] = {
    let mut integers = [0; INK as usize + 1];
    let mut value = 0;
    while value < integers.len() {
        let real = value as f32 / INK as f32;
        // Numbers of that size have no fractions, so adding it rounds: half to even, as PyTorch does. The cast to `i8` saturates.
        let steps = real / digits::INPUT0_SCALE + ROUNDS - ROUNDS;
        integers[value] = (steps + digits::INPUT0_ZERO_POINT as f32) as i8;
        value += 1;
    }
    integers
};

#[entry]
fn main() -> ! {
    static mut ARENA: digits::Arena = digits::Arena::new();

    let mut device = pac::Peripherals::take().unwrap();
    let mut watchdog = Watchdog::new(device.WATCHDOG);
    let clocks = init_clocks_and_plls(
        CRYSTAL_HZ,
        device.XOSC,
        device.CLOCKS,
        device.PLL_SYS,
        device.PLL_USB,
        &mut device.RESETS,
        &mut watchdog,
    )
    .ok()
    .unwrap();
    let mut timer = Timer::new(device.TIMER, &mut device.RESETS, &clocks);

    // The Pico's LED, and the serial port on its first two pins.
    let sio = Sio::new(device.SIO);
    let pins = Pins::new(device.IO_BANK0, device.PADS_BANK0, sio.gpio_bank0, &mut device.RESETS);
    let mut led = pins.gpio25.into_push_pull_output();
    let serial =
        (pins.gpio0.into_function::<FunctionUart>(), pins.gpio1.into_function::<FunctionUart>());
    let settings = UartConfig::new(115_200.Hz(), DataBits::Eight, None, StopBits::One);
    let mut uart = UartPeripheral::new(device.UART0, serial, &mut device.RESETS)
        .enable(settings, clocks.peripheral_clock.freq())
        .unwrap();

    let mut method = digits::link(ARENA);
    for sample in SAMPLES.iter().cycle() {
        let start = timer.get_counter();
        let digit = recognise(&mut method, sample);
        let duration = timer.get_counter() - start;
        let _ = writeln!(
            uart,
            "a {} is taken for a {digit}, in {} us\r",
            sample.digit,
            duration.to_micros()
        );
        // A zero is one long flash.
        let (flashes, lit_ms) = if digit == 0 { (1, 1000) } else { (digit, 150) };
        for _ in 0..flashes {
            let _ = led.set_high();
            timer.delay_ms(lit_ms);
            let _ = led.set_low();
            timer.delay_ms(250);
        }
        timer.delay_ms(1500);
    }
    unreachable!("the samples come round again and again")
}

/// The digit that the model takes a sample for.
///
/// # Panics
/// The program is not what the module says of it, which the module rules out.
fn recognise(method: &mut Method<'_>, sample: &Sample) -> usize {
    let pixels = sample.rows.iter().flat_map(|row| row.chars());
    let input = method.fill_input::<i8>(0).unwrap();
    for (integer, pixel) in input.iter_mut().zip(pixels) {
        let value = pixel.to_digit(u32::from(INK) + 1).unwrap_or(0);
        *integer = INTEGERS[value as usize];
    }
    method.execute().unwrap();
    let scores = method.output::<i8>(0).unwrap();
    // Quantizing keeps the order of scores, so the integers are as good as the numbers that they stand for.
    let positions = scores.iter().enumerate();
    positions.max_by_key(|(_, score)| **score).map_or(0, |(digit, _)| digit)
}
