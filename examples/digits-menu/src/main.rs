//! Handwritten digits on a Cortex-M4, with a menu on the serial port: choose a sample or draw a digit, and see what the model makes
//! of it.

#![no_std]
#![no_main]

mod samples;
mod uart;

// What build.rs made of model/digits.pt2: the module `digits`.
include!(concat!(env!("OUT_DIR"), "/digits.rs"));

use core::fmt::Write;
use core::panic::PanicInfo;
use cortado_runtime::Method;
use cortex_m_rt::entry;
use cortex_m_semihosting::debug;
use samples::{SAMPLES, Sample};
use uart::Uart;

/// The first serial port, and the divider that makes 115,200 baud of the board's 25 MHz.
const UART0: usize = 0x4000_4000;
const BAUD_DIVIDER: u32 = 25_000_000 / 115_200;

/// A picture: 8 rows of 8 pixels, from 0, paper, to 16, ink.
type Picture = [[u8; 8]; 8];
const INK: u8 = 16;

/// How much the model takes a picture for each digit.
type Scores = [f32; digits::OUTPUT0_COUNT];

#[entry]
fn main() -> ! {
    static mut ARENA: digits::Arena = digits::Arena::new();

    // SAFETY: this board has the port there, and it is started this once.
    let mut uart = unsafe { Uart::start(UART0, BAUD_DIVIDER) };
    let mut method = digits::link(ARENA);
    let _ = writeln!(
        uart,
        "Cortado: handwritten digits on a Cortex-M4\n\
         the model has {} bytes, and takes {} of RAM",
        digits::PROGRAM_BYTES,
        digits::ARENA_BYTES
    );
    menu(&mut uart, &mut method);
    let _ = writeln!(uart, "bye");
    // Ends the emulation. On a board without a debugger this would be a fault: there, a menu has no end.
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Asks what to do and does it, until it is told to quit.
fn menu(uart: &mut Uart, method: &mut Method<'_>) {
    loop {
        let _ = write!(
            uart,
            "\n0-9 a sample of that digit   x y  samples that the model gets wrong\n\
             a   all samples              d    draw one yourself\nq   quit\n> "
        );
        let key = loop {
            let key = uart.read_byte();
            if !key.is_ascii_whitespace() {
                break key;
            }
        };
        let _ = writeln!(uart, "{}", key.escape_ascii());
        let sample = |index: u8| &SAMPLES[usize::from(index)];
        match key {
            b'0'..=b'9' => show_sample(uart, method, sample(key - b'0')),
            b'x' | b'y' => show_sample(uart, method, sample(key - b'x' + 10)),
            b'a' => show_all(uart, method),
            b'd' => {
                let picture = read_drawing(uart);
                show(uart, method, &picture);
            }
            b'q' => return,
            _ => {
                let _ = writeln!(uart, "there is no such choice");
            }
        }
    }
}

/// Shows a sample, and whether the model is right.
fn show_sample(uart: &mut Uart, method: &mut Method<'_>, sample: &Sample) {
    let prediction = show(uart, method, &picture_of(sample));
    let right = if prediction == usize::from(sample.digit) { "right" } else { "wrong" };
    let _ = writeln!(uart, "{right}: it is a {}", sample.digit);
}

/// Computes all samples and says how many were right.
fn show_all(uart: &mut Uart, method: &mut Method<'_>) {
    let mut right = 0;
    for sample in &SAMPLES {
        let prediction = greatest(&scores(method, &picture_of(sample)));
        let is_right = prediction == usize::from(sample.digit);
        right += u32::from(is_right);
        let mark = if is_right { "" } else { "  wrong" };
        let _ = writeln!(uart, "{} taken for {prediction}{mark}", sample.digit);
    }
    let _ = writeln!(uart, "{right} of {} are right", SAMPLES.len());
}

/// Shows a picture, the model's scores as shares, and the digit that it takes the picture for, which it returns.
fn show(uart: &mut Uart, method: &mut Method<'_>, picture: &Picture) -> usize {
    const SHADES: &[u8; 9] = b" .:-=+*#@";
    for row in picture {
        let _ = write!(uart, "  |");
        for pixel in row {
            // Letters are twice as high as they are wide.
            let shade = char::from(SHADES[usize::from(pixel / 2)]);
            let _ = write!(uart, "{shade}{shade}");
        }
        let _ = writeln!(uart, "|");
    }
    let scores = scores(method, picture);
    let prediction = greatest(&scores);
    for (digit, share) in shares(&scores).iter().enumerate() {
        let percent = (100.0 * share + 0.5) as usize;
        let bar = &"##################################################"[..percent / 2];
        let space = if bar.is_empty() { "" } else { " " };
        let mark = if digit == prediction { " <" } else { "" };
        let _ = writeln!(uart, "  {digit} {percent:>3} %{space}{bar}{mark}");
    }
    let _ = writeln!(uart, "prediction: {prediction}");
    prediction
}

/// The model's scores for a picture, by digit.
///
/// # Panics
/// The program is not what the module says of it, which the module rules out.
fn scores(method: &mut Method<'_>, picture: &Picture) -> Scores {
    let input = method.fill_input::<f32>(0).expect("there is an input of floats");
    for (value, pixel) in input.iter_mut().zip(picture.as_flattened()) {
        *value = f32::from(*pixel) / f32::from(INK);
    }
    method.execute().expect("the input is set");
    let scores = method.output::<f32>(0).expect("there is an output of floats");
    scores.try_into().expect("the output is as long as the module says")
}

/// Scores as shares of 1: the softmax.
fn shares(scores: &Scores) -> Scores {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = scores.map(|score| libm::expf(score - most));
    let sum: f32 = exponentials.iter().sum();
    exponentials.map(|exponential| exponential / sum)
}

/// The position of the greatest score.
fn greatest(scores: &[f32]) -> usize {
    let positions = scores.iter().enumerate();
    positions.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(position, _)| position)
}

fn picture_of(sample: &Sample) -> Picture {
    sample.rows.map(|row| {
        let mut pixels = [0; 8];
        for (pixel, letter) in pixels.iter_mut().zip(row.chars()) {
            *pixel = letter.to_digit(17).unwrap_or(0) as u8;
        }
        pixels
    })
}

/// A picture that is typed in: eight lines, `#` for ink, `+` for half as much, anything else for paper.
fn read_drawing(uart: &mut Uart) -> Picture {
    let _ = writeln!(uart, "eight lines of eight: # is ink, + is half of it, . is paper");
    let mut picture = Picture::default();
    for row in &mut picture {
        for pixel in row {
            let key = loop {
                let key = uart.read_byte();
                if !key.is_ascii_control() {
                    break key;
                }
            };
            uart.write_byte(key);
            *pixel = match key {
                b'#' => INK,
                b'+' => INK / 2,
                _ => 0,
            };
        }
        let _ = writeln!(uart);
    }
    picture
}

/// Says on the serial port what happened, and ends the emulation with a failure.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // SAFETY: whoever used the port before never will again.
    let mut uart = unsafe { Uart::start(UART0, BAUD_DIVIDER) };
    let _ = writeln!(uart, "\n{info}");
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::udf();
    }
}
