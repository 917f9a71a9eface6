//! Handwritten digits on an STM32F411 (a NUCLEO-F411RE as it comes): a picture comes in on the serial port, the digit goes out.
//!
//! Inputs and outputs of the model are `int8`, so nothing is computed in float.

#![no_std]
#![no_main]

// What build.rs made of model/digits.pt2: the module `digits`.
include!(concat!(env!("OUT_DIR"), "/digits.rs"));

use core::fmt::Write;
use cortado_runtime::Method;
use cortex_m::peripheral::DWT;
use cortex_m_rt::entry;
use panic_halt as _;
use stm32f4xx_hal::nb::block;
use stm32f4xx_hal::pac;
use stm32f4xx_hal::prelude::*;
use stm32f4xx_hal::rcc::Config;

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

    let device = pac::Peripherals::take().unwrap();
    let mut core = cortex_m::Peripherals::take().unwrap();
    let mut rcc = device.RCC.freeze(Config::hsi().sysclk(84.MHz()));
    core.DCB.enable_trace();
    core.DWT.enable_cycle_counter();

    // The Nucleo's LED, and the serial port that its debugger shows to the host.
    let gpioa = device.GPIOA.split(&mut rcc);
    let mut led = gpioa.pa5.into_push_pull_output();
    let serial = device.USART2.serial((gpioa.pa2, gpioa.pa3), 115_200.bps(), &mut rcc).unwrap();
    let (mut tx, mut rx) = serial.split();

    let mut method = digits::link(ARENA);
    let _ =
        writeln!(tx, "a picture is a line of 64 pixels, row by row, from 0 (paper) to g (ink)\r");

    let mut reader = Reader::new();
    loop {
        // What a noisy line spoils is refused as a picture below.
        let Ok(byte) = block!(rx.read()) else { continue };
        match reader.take(byte) {
            None => {}
            Some(Err(count)) => {
                let _ = writeln!(tx, "64 pixels are wanted, not {count}\r");
            }
            Some(Ok(picture)) => {
                led.set_high();
                let start = DWT::cycle_count();
                let found = recognise(&mut method, &picture);
                let cycles = DWT::cycle_count().wrapping_sub(start);
                led.set_low();
                let Found { digit, margin } = found;
                let _ = writeln!(tx, "{digit}, {margin} steps ahead, {cycles} cycles\r");
            }
        }
    }
}

/// What the model takes a picture for.
struct Found {
    digit: usize,
    /// How far its score is ahead of the next best one, in steps of the output's scale.
    margin: i32,
}

/// # Panics
/// The program is not what the module says of it, which the module rules out.
fn recognise(method: &mut Method<'_>, picture: &[u8; 64]) -> Found {
    let input = method.fill_input::<i8>(0).unwrap();
    for (integer, pixel) in input.iter_mut().zip(picture) {
        *integer = INTEGERS[usize::from(*pixel)];
    }
    method.execute().unwrap();
    let scores = method.output::<i8>(0).unwrap();
    // Quantizing keeps the order of scores, so the integers are as good as the numbers that they stand for.
    let best = |skipped: Option<usize>| {
        let others = scores.iter().enumerate().filter(|(digit, _)| Some(*digit) != skipped);
        others
            .max_by_key(|(_, score)| **score)
            .map_or((0, i8::MIN), |(digit, score)| (digit, *score))
    };
    let (digit, score) = best(None);
    Found { digit, margin: i32::from(score) - i32::from(best(Some(digit)).1) }
}

/// Puts pictures together from bytes.
struct Reader {
    picture: [u8; 64],
    /// The pixels of this line, of which the first 64 are kept.
    count: usize,
}

impl Reader {
    const fn new() -> Self {
        Reader { picture: [0; 64], count: 0 }
    }

    /// Takes a byte. At a line's end, the picture, or how many pixels the line has instead of 64.
    fn take(&mut self, byte: u8) -> Option<Result<[u8; 64], usize>> {
        if byte == b'\r' || byte == b'\n' {
            // Of the two bytes that may end a line, the second ends an empty one.
            let count = core::mem::take(&mut self.count);
            return match count {
                0 => None,
                64 => Some(Ok(self.picture)),
                count => Some(Err(count)),
            };
        }
        let value = char::from(byte).to_digit(u32::from(INK) + 1)?;
        if let Some(pixel) = self.picture.get_mut(self.count) {
            *pixel = value as u8;
        }
        self.count += 1;
        None
    }
}
