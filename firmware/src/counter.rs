//! Counts instructions under `qemu-system-arm -icount shift=0`, which lets one nanosecond of virtual time pass
//! per instruction. Without that option, and on a real core, what is counted is time, not instructions.
//!
//! SysTick is the clock: every emulated board has it (the real nRF51 does not). It ticks once per 31 to 63
//! instructions, so a reading alone would be that coarse. The position between two ticks is found like a
//! vernier's: a loop looks at the clock once per 4 instructions and notes in which round it saw each of
//! [`EDGES`] ticks. Between ticks it spends an odd number of instructions more, so that each tick meets the
//! rounds at another phase, and the closest meeting tells where the ticks lie, to the instruction:
//!
//! ```text
//! first_tick = min over k of ( 4·rounds[k] + extra·k − k·instructions_per_tick )
//! ```
//!
//! counted from the loop's first look. Two such positions, one before and one after what is measured, less the
//! fixed overhead between them, give the count: the same in each run of the same image and input. A
//! measurement adds some 500 instructions to a run, which it does not count.
//!
//! The 24-bit timer is extended by counting its wraps in an interrupt. Each wrap, every half to one thousand
//! million instructions, adds the interrupt's own instructions to what is counted, fewer than ten.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m_rt::exception;

use crate::board::CLOCK_HZ;

/// Starts the clock and finds the overhead of a measurement.
pub(crate) fn start_clock() {
    // SAFETY: SysTick belongs to this module; its registers are at these addresses on every Cortex-M, and
    // its handler is below.
    unsafe {
        RELOAD_VALUE.write_volatile(PERIOD_TICKS - 1);
        CURRENT_VALUE.write_volatile(0);
        CONTROL.write_volatile(ENABLE | INTERRUPT | CORE_CLOCK);
    }
    let empty = Counter::start();
    let overhead = empty.elapsed();
    OVERHEAD_INSTRUCTIONS.store(overhead as u32, Ordering::Relaxed);
}

/// A measurement that is under way.
#[derive(Clone, Copy)]
pub struct Counter {
    start: Position,
}

impl Counter {
    /// Starts counting here.
    #[inline(never)]
    pub fn start() -> Counter {
        Counter { start: Position::find() }
    }

    /// Instructions since [`Counter::start`], to within [`RESOLUTION_INSTRUCTIONS`].
    #[inline(never)]
    pub fn elapsed(&self) -> u64 {
        let end = Position::find();
        let overhead = i64::from(OVERHEAD_INSTRUCTIONS.load(Ordering::Relaxed));
        let scaled = end.first_look() - self.start.last_look();
        let instructions = (scaled + TICK.denominator / 2) / TICK.denominator - overhead;
        instructions.max(0) as u64
    }
}

/// How far a measurement may be off, in instructions, because on two boards ticks fall between instructions.
/// Calling what is measured, and handing it its arguments, counts as well: a handful of instructions.
pub const RESOLUTION_INSTRUCTIONS: u64 = 1;

/// Runs exactly `2 * iterations` instructions, to check the counter with; 0 stands for 2^32 iterations.
#[inline(always)]
pub fn known_loop(iterations: u32) {
    // SAFETY: counts a register down.
    unsafe {
        asm!(
            "2:",
            "subs {left}, #1",
            "bne 2b",
            left = inout(reg) iterations => _,
            options(nomem, nostack),
        );
    }
}

/// How many ticks are watched to find a position between them.
pub const EDGES: usize = 8;

/// Where in the stream of instructions the clock was watched. Times are in instructions times
/// [`TICK`]`.denominator`, since the clock was started.
#[derive(Clone, Copy)]
struct Position {
    /// The tick that was watched last.
    last_tick: u64,
    /// Rounds of the watching loop up to each tick.
    rounds: [u32; EDGES],
}

impl Position {
    /// Watches the clock. What this takes besides the watching itself does not depend on the clock, so that it
    /// goes into the overhead.
    #[inline(always)]
    fn find() -> Position {
        let mut rounds = [0; EDGES];
        let seen: u32;
        // SAFETY: reads SysTick's current value until it has changed `EDGES` times, which it does as long as it
        // runs, and stores a word for each into the array, whose ends are the two pointers.
        unsafe {
            asm!(
                "ldr {first}, [{register}]",
                "2:",
                "adds {count}, #1",
                "ldr {seen}, [{register}]",
                "cmp {seen}, {first}",
                "beq 2b",
                "mov {first}, {seen}",
                "str {count}, [{slot}]",
                "adds {slot}, #4",
                "cmp {slot}, {end}",
                "bne 2b",
                register = in(reg) CURRENT_VALUE,
                slot = inout(reg) rounds.as_mut_ptr() => _,
                end = in(reg) rounds.as_ptr_range().end,
                count = inout(reg) 0u32 => _,
                first = out(reg) _,
                seen = out(reg) seen,
                options(nostack),
            );
        }
        let (now, value) = now();
        let since = value_to_ticks(value).wrapping_sub(value_to_ticks(seen)) & (PERIOD_TICKS - 1);
        Position { last_tick: now - u64::from(since), rounds }
    }

    /// The time of the first look at the clock.
    fn first_look(&self) -> i64 {
        let after_looks = (0..EDGES).map(|edge| self.look(edge) - edge as i64 * TICK.numerator);
        let first_tick = self.last_tick as i64 - (EDGES as i64 - 1);
        first_tick * TICK.numerator - after_looks.min().unwrap_or(0)
    }

    /// The time of the last look at the clock.
    fn last_look(&self) -> i64 {
        self.first_look() + self.look(EDGES - 1)
    }

    /// How long after the first look the tick `edge` was seen.
    fn look(&self, edge: usize) -> i64 {
        let instructions = 4 * i64::from(self.rounds[edge]) + EXTRA_INSTRUCTIONS * edge as i64;
        instructions * TICK.denominator
    }
}

/// Ticks since the clock was started, with the timer's value at that moment.
fn now() -> (u64, u32) {
    loop {
        let wraps = WRAPS.load(Ordering::Relaxed);
        // SAFETY: reads SysTick's current value, which has no effect.
        let value = unsafe { CURRENT_VALUE.read_volatile() };
        // At 0 the interrupt that counts the wrap may or may not have been taken yet.
        if value != 0 && wraps == WRAPS.load(Ordering::Relaxed) {
            let ticks = u64::from(wraps) * u64::from(PERIOD_TICKS);
            return (ticks + u64::from(value_to_ticks(value)), value);
        }
    }
}

/// Ticks since the last wrap: the timer counts down from the reload value and wraps on reaching 0.
fn value_to_ticks(value: u32) -> u32 {
    value.wrapping_neg() & (PERIOD_TICKS - 1)
}

#[exception]
fn SysTick() {
    // The only writer, so that a load and a store do what Armv6-M has no single instruction for.
    WRAPS.store(WRAPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

static WRAPS: AtomicU32 = AtomicU32::new(0);
static OVERHEAD_INSTRUCTIONS: AtomicU32 = AtomicU32::new(0);

const PERIOD_TICKS: u32 = 1 << 24;

/// What the watching loop runs between seeing a tick and its next round.
const EXTRA_INSTRUCTIONS: i64 = 5;

/// Instructions per tick, in lowest terms: nanoseconds in a second over ticks in a second.
const TICK: Fraction = {
    let divisor = greatest_common_divisor(1_000_000_000, CLOCK_HZ as i64);
    Fraction { numerator: 1_000_000_000 / divisor, denominator: CLOCK_HZ as i64 / divisor }
};

struct Fraction {
    numerator: i64,
    denominator: i64,
}

const fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

const CONTROL: *mut u32 = 0xe000_e010 as *mut u32;
const RELOAD_VALUE: *mut u32 = 0xe000_e014 as *mut u32;
const CURRENT_VALUE: *mut u32 = 0xe000_e018 as *mut u32;
const ENABLE: u32 = 1 << 0;
const INTERRUPT: u32 = 1 << 1;
const CORE_CLOCK: u32 = 1 << 2;
