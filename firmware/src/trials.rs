//! Many programs in one run, sound and damaged ones, and everything that a caller may do wrong.
//!
//! The host loads a *pack* as the program: a count, then offset and length of each program, all of them words, then the programs,
//! each at a multiple of 16 bytes. Inputs are bytes that the host makes alike ([`Inputs`]).
//!
//! * `task=programs outputs=PATH` loads and executes each program, whatever its constant form, and writes nine bytes for each: what
//!   became of it ([`EXECUTED`] and so on), and the digest of its outputs.
//! * `task=faults repeats=COUNT` takes two sound programs and does everything wrong that a caller can do wrong; after each
//!   fault the first program must still compute what it computed before.

use core::fmt::Debug;
use core::mem::discriminant;

use cortado_runtime::{
    ALIGNMENT, Banks, ExecuteError, LayoutPolicy, LoadError, Method, Program, TensorError,
};

use crate::arguments::Arguments;
use crate::execute::{Digest, Lent, divide};
use crate::semihosting::File;
use crate::{board, memory, println, stack};

/// A program was executed.
pub const EXECUTED: u8 = 0;
/// A program was refused when it was loaded.
pub const REFUSED: u8 = 1;
/// A program needs more memory than there is.
pub const TOO_LARGE: u8 = 2;
/// A program was loaded and could not be executed.
pub const FAILED: u8 = 3;

/// The programs of a pack.
struct Pack {
    file: &'static [u8],
    count: usize,
}

impl Pack {
    fn loaded(arguments: Arguments<'_>) -> Option<Pack> {
        let file = memory::program(arguments.number("program").ok().flatten()?)?;
        let count = word(file, 0)?;
        Some(Pack { file, count })
    }

    fn program(&self, index: usize) -> Option<&'static [u8]> {
        let (offset, bytes) = (word(self.file, 1 + 2 * index)?, word(self.file, 2 + 2 * index)?);
        self.file.get(offset..)?.get(..bytes)
    }
}

fn word(file: &[u8], index: usize) -> Option<usize> {
    let bytes = file.get(4 * index..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes) as usize)
}

/// The bytes of a program's inputs, one after the other: a linear congruential generator's upper ones.
struct Inputs(u32);

impl Inputs {
    fn new() -> Self {
        Inputs(0x2545_f491)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (self.0 >> 24) as u8;
        }
    }
}

/// Runs every program of the pack and returns the exit code.
pub fn programs(arguments: Arguments<'_>) -> u8 {
    println!("board={}", board::NAME);
    println!("isa={}", board::ISA);
    let (Some(pack), Some(ram)) = (Pack::loaded(arguments), memory::take_arena()) else {
        println!("error: there is no pack of programs");
        return 1;
    };
    let Some(Ok(mut outputs)) = arguments.value("outputs").map(File::create) else {
        println!("error: outputs=PATH is missing, or cannot be written");
        return 1;
    };
    let (mut load_stack, mut execute_stack) = (0, 0);
    for index in 0..pack.count {
        let Some(file) = pack.program(index) else {
            println!("error: program {index} is not in the pack");
            return 1;
        };
        // What a program finds in memory is whatever the one before it left there.
        let mut stacks = [0; 2];
        let (status, digest) = one(file, ram, &mut stacks);
        (load_stack, execute_stack) = (load_stack.max(stacks[0]), execute_stack.max(stacks[1]));
        let mut record = [status; 9];
        record[1..].copy_from_slice(&digest.0.to_le_bytes());
        if outputs.write_all(&record).is_err() {
            println!("error: the outputs cannot be written");
            return 1;
        }
    }
    println!("programs={}", pack.count);
    println!("load_stack_bytes={load_stack}");
    println!("execute_stack_bytes={execute_stack}");
    0
}

/// What becomes of a program, and the digest of its outputs; `stacks` takes what loading and executing took.
fn one(file: &[u8], ram: &mut [u8], stacks: &mut [usize; 2]) -> (u8, Digest) {
    let mut digest = Digest::new();
    let needs = Program::parse(file).and_then(|program| program.requirements());
    let Ok(needs) = needs else { return (REFUSED, digest) };
    let Some((state, arena, rest)) = divide(ram, needs) else { return (TOO_LARGE, digest) };
    let banks = Banks::split(arena, &needs.banks).unwrap_or_default();
    let (method, used) = stack::measure(|| {
        Program::parse(file).and_then(|program| program.load(LayoutPolicy::Adapt, state, banks))
    });
    stacks[0] = used;
    let Ok(mut method) = method else { return (REFUSED, digest) };
    let rest = match rest.as_ptr().align_offset(ALIGNMENT) {
        skipped if skipped <= rest.len() => &mut rest[skipped..],
        _ => &mut [],
    };
    let Ok(mut lent) = Lent::take(&method, rest) else { return (TOO_LARGE, digest) };
    let mut inputs = Inputs::new();
    let mut lent_inputs = lent.inputs();
    for index in 0..method.input_count() {
        let input = match method.is_input_lent(index) {
            true => lent_inputs.next(),
            false => method.fill_input_bytes(index).ok(),
        };
        let Some(input) = input else { return (FAILED, digest) };
        inputs.fill(input);
    }
    drop(lent_inputs);
    let (outcome, used) =
        lent.with(|read, written| stack::measure(|| method.execute_with(read, written)));
    stacks[1] = used;
    if outcome.is_err() {
        return (FAILED, digest);
    }
    let mut lent_outputs = lent.outputs();
    for index in 0..method.output_count() {
        let output = match method.is_output_lent(index) {
            true => lent_outputs.next(),
            false => method.output_bytes(index).ok(),
        };
        let Some(output) = output else { return (FAILED, digest) };
        digest.add(output);
    }
    (EXECUTED, digest)
}

/// What was tried and what of it did not come out as it must.
#[derive(Default)]
struct Checks {
    passed: usize,
    failed: usize,
}

impl Checks {
    fn hold(&mut self, name: &str, holds: bool) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("FAILED {name}");
        }
    }

    /// Holds an outcome against the error that must come of it; what the error carries is not compared.
    fn refuses<T, E: Debug>(&mut self, name: &str, outcome: Result<T, E>, expected: E) {
        match outcome {
            Err(error) if discriminant(&error) == discriminant(&expected) => self.passed += 1,
            Err(error) => {
                println!("{error:?} for {expected:?}");
                self.hold(name, false);
            }
            Ok(_) => self.hold(name, false),
        }
    }
}

/// Does everything wrong, and returns the exit code.
pub fn faults(arguments: Arguments<'_>) -> u8 {
    println!("board={}", board::NAME);
    println!("isa={}", board::ISA);
    let repeats = arguments.number("repeats").ok().flatten().unwrap_or(100);
    let mut checks = Checks::default();
    let outcome = try_faults(arguments, repeats, &mut checks);
    println!("stack_bytes={} of {}", stack::high_water_bytes(), stack::bytes());
    println!("passed={}", checks.passed);
    println!("failed={}", checks.failed);
    match outcome {
        Some(()) if checks.failed == 0 && checks.passed > 0 => 0,
        Some(()) => 1,
        None => {
            println!("error: there is no pack of two sound programs that fit the board twice");
            1
        }
    }
}

fn try_faults(arguments: Arguments<'_>, repeats: usize, checks: &mut Checks) -> Option<()> {
    let pack = Pack::loaded(arguments)?;
    let (first, second) = (pack.program(0)?, pack.program(1)?);
    let ram = memory::take_arena()?;
    let needs = |file| Program::parse(file).and_then(|program| program.requirements()).ok();
    let (needed, other_needed) = (needs(first)?, needs(second)?);
    let program = Program::parse(first).ok()?;
    let policy = LayoutPolicy::Adapt;

    // Memory that does not do.
    let state_words = needed.state_words as usize;
    for shift in 1..ALIGNMENT {
        let outcome = Program::parse(first.get(shift..)?);
        checks.refuses("a misaligned program", outcome, LoadError::ProgramMisaligned);
    }
    {
        let (state, arena, _) = divide(&mut *ram, needed)?;
        let (bank, needed, given) = (0, needed.arena_bytes, 0);
        for missing in [1, 16, needed as usize] {
            let less = arena.get_mut(..(needed as usize).checked_sub(missing)?)?;
            let outcome = program.load(policy, state, less);
            let expected = LoadError::ArenaTooSmall { bank, needed, given };
            checks.refuses("too small an arena", outcome, expected);
        }
        for missing in [1, state_words] {
            let less = state.get_mut(..state_words - missing)?;
            let outcome = program.load(policy, less, &mut *arena);
            let expected = LoadError::StateTooSmall { needed: 0, given: 0 };
            checks.refuses("too small a state", outcome, expected);
        }
    }
    let state_bytes = (4 * state_words).next_multiple_of(ALIGNMENT);
    for shift in 1..ALIGNMENT {
        let (state, rest) = ram.split_at_mut(state_bytes);
        let state = cortado_kernels::memory::cast_mut::<u32>(state)?;
        let arena = rest.get_mut(shift..)?.get_mut(..needed.arena_bytes as usize)?;
        let outcome = program.load(policy, state, arena);
        checks.refuses("a misaligned arena", outcome, LoadError::ArenaMisaligned { bank: 0 });
    }

    // What memory holds does not matter, and calls in the wrong order are refused and harm nothing.
    ram.fill(0xa5);
    let (state, arena, rest) = divide(&mut *ram, needed)?;
    let mut method = program.load(policy, state, &mut *arena).ok()?;
    let unset = ExecuteError::InputNotSet { index: 0 };
    checks.refuses("execute before inputs", method.execute(), unset);
    checks.refuses("output before execute", method.output_bytes(0), TensorError::NotExecuted);
    let digest = execute(&mut method)?;
    println!("digest={:016x}", digest.0);
    checks.hold("the same again", execute(&mut method) == Some(digest));
    checks.refuses("execute without new inputs", method.execute(), unset);
    checks.hold("after an error", execute(&mut method) == Some(digest));
    let count = (method.input_count(), method.output_count());
    checks.refuses("no such input", method.set_input_bytes(count.0, &[]), TensorError::Index);
    checks.refuses("no such output", method.output_bytes(count.1), TensorError::Index);
    let length = TensorError::Length { needed: 0, given: 0 };
    checks.refuses("an empty input", method.set_input_bytes(0, &[]), length);
    let kept = method.output_bytes(0).is_ok();
    checks.hold("outputs are kept when an input is refused", kept);
    checks.refuses("another type", method.set_input::<i64>(0, &[0]), TensorError::DType);
    checks.refuses("an input of one byte", method.set_input_bytes(0, &[0]), length);
    let lent: [u8; 1] = [0];
    let outcome = method.execute_with(&[&lent], &mut []);
    checks.hold("memory that nobody asked for is refused", outcome.is_err());
    checks.hold("after many errors", execute(&mut method) == Some(digest));
    let mut same = 0;
    for _ in 0..repeats {
        same += usize::from(execute(&mut method) == Some(digest));
    }
    println!("repeats={same}");
    checks.hold("every repeat gives the same digest", same == repeats);

    // Two methods in one image, taking turns within each other's runs.
    let rest = rest.get_mut(rest.as_ptr().align_offset(ALIGNMENT)..)?;
    let (other_state, other_arena, rest) = divide(rest, other_needed)?;
    let mut other =
        Program::parse(second).ok()?.load(policy, other_state, &mut *other_arena).ok()?;
    let other_digest = execute(&mut other)?;
    println!("other_digest={:016x}", other_digest.0);
    for _ in 0..20 {
        fill(&mut method)?;
        fill(&mut other)?;
        method.execute().ok()?;
        other.execute().ok()?;
        checks.hold("taking turns", read(&method) == Some(digest));
        checks.hold("taking turns, the other", read(&other) == Some(other_digest));
        fill(&mut method)?;
        let mut inner = None;
        let outcome = method.execute_observed(&[], &mut [], |step| {
            if step.instruction == 0 {
                inner = execute(&mut other);
            }
        });
        checks.hold("one within the other", outcome.is_ok() && read(&method) == Some(digest));
        checks.hold("one within the other, inside", inner == Some(other_digest));
    }

    // Power goes after each instruction, and what memory holds then is what the restart finds.
    let bytes = needed.arena_bytes as usize;
    let snapshot = rest.get_mut(..bytes)?;
    for stop in 0.. {
        fill(&mut method)?;
        let mut is_stopped = false;
        let outcome = method.execute_observed(&[], &mut [], |step| {
            if step.instruction == stop {
                is_stopped = true;
                if let Some(memory) = step.memory.region_mut(0) {
                    snapshot.iter_mut().zip(memory).for_each(|(to, from)| *to = *from);
                }
            }
        });
        outcome.ok()?;
        if !is_stopped {
            break;
        }
        // The rest of the RAM, where a method's state is half written.
        let (state, arena) = (&mut [0x5a5a_5a5a; STATE_WORDS_MAX], &mut *snapshot);
        let again = program.load(policy, state.get_mut(..state_words)?, arena);
        let again = again.ok().and_then(|mut again| execute(&mut again));
        checks.hold("a restart in the middle", again == Some(digest));
    }
    Some(())
}

/// The words of state of programs that are restarted, at most.
const STATE_WORDS_MAX: usize = 256;

fn fill<const BANKS: usize>(method: &mut Method<'_, BANKS>) -> Option<()> {
    let mut inputs = Inputs::new();
    for index in 0..method.input_count() {
        inputs.fill(method.fill_input_bytes(index).ok()?);
    }
    Some(())
}

fn read<const BANKS: usize>(method: &Method<'_, BANKS>) -> Option<Digest> {
    let mut digest = Digest::new();
    for index in 0..method.output_count() {
        digest.add(method.output_bytes(index).ok()?);
    }
    Some(digest)
}

fn execute<const BANKS: usize>(method: &mut Method<'_, BANKS>) -> Option<Digest> {
    fill(method)?;
    method.execute().ok()?;
    read(method)
}
