//! Listens for words: the samples of a clip stream through the front end, the model and the detector, as they would come from a
//! microphone, and each word is printed when it has been said.

#![no_std]
#![no_main]

// What build.rs made of model/keywords.pt2: the module `keywords`.
include!(concat!(env!("OUT_DIR"), "/keywords.rs"));

use core::panic::PanicInfo;
use cortado_runtime::Method;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use spotting::detector::{Detector, Settings};
use spotting::mfcc::{COEFFICIENTS, HOP_SAMPLES, Mfcc, Quantizer, SAMPLE_RATE_HZ};
use spotting::window::Window;

/// What the model tells apart, in the order of its scores. The first two are no words to be detected.
const CLASSES: [&str; keywords::OUTPUT0_COUNT] =
    ["silence", "unknown", "yes", "no", "stop", "go", "left", "right"];
const OTHERS: usize = 2;

/// Frames that the model looks at: one second.
const FRAMES: usize = keywords::INPUT0_COUNT / COEFFICIENTS;
/// The model runs once per so many frames: every 80 ms.
const FRAMES_PER_STEP: usize = 4;
/// Scores that are taken together: of 0.32 s.
const SMOOTHED: usize = 4;
const SETTINGS: Settings = Settings { threshold: 0.65, quiet_steps: 6 };

/// The clip: 16 kHz, one channel, 16 bits.
static CLIP: &[u8] = include_bytes!("../clip/clip.wav");
const WAV_HEADER_BYTES: usize = 44;

/// The clock of SysTick on this board.
const CLOCK_HZ: u32 = 32_000_000;

#[entry]
fn main() -> ! {
    static mut ARENA: keywords::Arena = keywords::Arena::new();

    let mut clock = cortex_m::Peripherals::take().unwrap().SYST;
    clock.set_clock_source(SystClkSource::Core);
    clock.set_reload(TICKS_MASK);
    clock.clear_current();
    clock.enable_counter();

    let samples = &CLIP[WAV_HEADER_BYTES..];
    hprintln!(
        "listening for {:?}\nthe model has {} bytes, and takes {} of RAM",
        &CLASSES[OTHERS..],
        keywords::PROGRAM_BYTES,
        keywords::ARENA_BYTES
    );
    let counts = listen(samples, &mut keywords::link(ARENA));
    counts.report();
    // Ends the emulation. With a microphone, listening has no end.
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Listens to samples, and prints the words in them.
fn listen(samples: &[u8], method: &mut Method<'_>) -> Counts {
    let mut mfcc = Mfcc::new();
    let quantizer = Quantizer::new(keywords::INPUT0_SCALE, keywords::INPUT0_ZERO_POINT);
    let mut window = Window::<FRAMES>::new(quantizer.quantize(&Mfcc::silence()));
    let mut detector = Detector::<{ CLASSES.len() }, OTHERS, SMOOTHED>::new(SETTINGS);
    let mut counts = Counts::default();

    for (index, bytes) in samples.as_chunks::<{ 2 * HOP_SAMPLES }>().0.iter().enumerate() {
        let mut hop = [0; HOP_SAMPLES];
        for (sample, bytes) in hop.iter_mut().zip(bytes.as_chunks().0) {
            *sample = i16::from_le_bytes(*bytes);
        }
        let start = SYST::get_current();
        window.push(quantizer.quantize(&mfcc.push(&hop)));
        counts.front_end.add_since(start);
        if (index + 1) % FRAMES_PER_STEP != 0 {
            continue;
        }

        let start = SYST::get_current();
        let scores = scores(method, &window);
        counts.model.add_since(start);

        let start = SYST::get_current();
        let detection = detector.push(&scores);
        counts.detector.add_since(start);
        if let Some(detection) = detection {
            let end_ms = (index + 1) * HOP_SAMPLES * 1000 / SAMPLE_RATE_HZ as usize;
            hprintln!(
                "{:>2}.{:02} s  {:<6} {:>3} %",
                end_ms / 1000,
                end_ms % 1000 / 10,
                CLASSES[detection.class],
                (100.0 * detection.share) as u32
            );
        }
        counts.windows += 1;
    }
    counts
}

/// The model's scores for a window.
///
/// # Panics
/// The program is not what the module says of it, which the module rules out.
fn scores(method: &mut Method<'_>, window: &Window<FRAMES>) -> [f32; CLASSES.len()] {
    window.copy_to(method.fill_input::<i8>(0).expect("there is an input of int8"));
    method.execute().expect("the input is set");
    let integers = method.output::<i8>(0).expect("there is an output of int8");
    let mut scores = [0.0; CLASSES.len()];
    for (score, integer) in scores.iter_mut().zip(integers) {
        *score =
            (i32::from(*integer) - keywords::OUTPUT0_ZERO_POINT) as f32 * keywords::OUTPUT0_SCALE;
    }
    scores
}

/// SysTick counts down in 24 bits: half a second, longer than anything here takes.
const TICKS_MASK: u32 = 0x00ff_ffff;

/// How often something was done, and how many ticks of the clock it took.
#[derive(Default)]
struct Count {
    times: u32,
    ticks: u64,
}

impl Count {
    fn add_since(&mut self, start: u32) {
        self.times += 1;
        self.ticks += u64::from(start.wrapping_sub(SYST::get_current()) & TICKS_MASK);
    }

    /// Nanoseconds of one time, which are instructions where each takes one (`-icount shift=0`).
    fn nanoseconds(&self) -> u64 {
        self.ticks * 1_000_000_000 / u64::from(CLOCK_HZ) / u64::from(self.times.max(1))
    }
}

/// What listening took.
#[derive(Default)]
struct Counts {
    front_end: Count,
    model: Count,
    detector: Count,
    windows: u32,
}

impl Counts {
    fn report(&self) {
        let Counts { front_end, model, detector, windows } = self;
        let all = front_end.ticks + model.ticks + detector.ticks;
        hprintln!("{windows} windows; instructions where each takes one nanosecond:");
        for (what, per, count) in [
            ("front end", "frame", front_end),
            ("model", "window", model),
            ("detector", "window", detector),
        ] {
            let percent = 100 * count.ticks / all.max(1);
            hprintln!("{what:<9} {:>8} per {per:<6} {percent:>3} % of all", count.nanoseconds());
        }
        let sound_ms =
            u64::from(front_end.times) * HOP_SAMPLES as u64 * 1000 / u64::from(SAMPLE_RATE_HZ);
        let busy = all * 1_000_000_000 / u64::from(CLOCK_HZ) / sound_ms.max(1);
        hprintln!("together  {} thousand per second of sound", busy);
    }
}

/// Says what happened, and ends the emulation with a failure.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{info}");
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::udf();
    }
}
