//! Runs the loaded program on samples from the host.
//!
//! Words on the command line:
//!
//! * `program=BYTES`: the length of the program that was loaded;
//! * `layout=refuse|adapt`: what to do with a program whose constants are in another instruction set's form;
//! * `inputs=PATH`: the inputs' bytes in memory order, one input after the other, sample after sample;
//! * `outputs=PATH`: where the outputs go, likewise;
//! * `stack=operators`: also print how much stack each call takes, as `stack.OPERATOR=BYTES`, call by call;
//! * `samples=COUNT`: how many samples there are; with 0, the program is only loaded.
//!
//! What it prints is `key=value`, one a line; a line that starts with `error:` says why the exit code is not 0.

use cortado_runtime::{
    ALIGNMENT, Banks, LayoutPolicy, Linked, MAX_REGIONS, Native, Operators, Program, Requirements,
    bytes_of, digest,
};

use crate::arguments::Arguments;
use crate::counter::Counter;
use crate::semihosting::File;
use crate::{board, memory, println, stack};

/// The program was refused when it was loaded, or needs more memory than there is.
pub const REFUSED: u8 = 3;
/// The command line or a file of the host is not as it should be, or an execution failed.
pub const FAILED: u8 = 4;

type Method<'m> = cortado_runtime::Method<'m, MAX_REGIONS>;

/// A failure with its exit code, already reported.
struct Reported(u8);

/// Runs the program and returns the exit code.
pub fn run(arguments: Arguments<'_>) -> u8 {
    println!("board={}", board::NAME);
    println!("isa={}", board::ISA);
    match execute(arguments) {
        Ok(()) => 0,
        Err(Reported(code)) => code,
    }
}

fn execute(arguments: Arguments<'_>) -> Result<(), Reported> {
    let number = |key| match arguments.number(key) {
        Ok(number) => Ok(number.unwrap_or(0)),
        Err(value) => {
            println!("error: {key}={value} is no number");
            Err(Reported(FAILED))
        }
    };
    let Some(file) = memory::program(number("program")?) else {
        println!("error: the program does not fit its place");
        return Err(Reported(REFUSED));
    };
    let policy = match arguments.value("layout") {
        Some("adapt") => LayoutPolicy::Adapt,
        _ => LayoutPolicy::Refuse,
    };
    let ram = memory::take_arena().ok_or(Reported(FAILED))?;
    let requirements =
        Program::parse(file).and_then(|program| program.requirements()).map_err(refused)?;
    let given = ram.len();
    let Some((state, arena, rest)) = divide(ram, requirements) else {
        let needed = (4 * requirements.state_words as usize).next_multiple_of(ALIGNMENT)
            + requirements.arena_bytes as usize;
        println!(
            "error: the program needs {needed} bytes of RAM and the board has {given} to give"
        );
        return Err(Reported(REFUSED));
    };
    let ((method, load_instructions), load_stack) = stack::measure(|| {
        let counter = Counter::start();
        let banks = Banks::split(arena, &requirements.banks).unwrap_or_default();
        let method = Program::parse(file).and_then(|program| program.load(policy, state, banks));
        (method, counter.elapsed())
    });
    let mut method = method.map_err(refused)?;
    println!("load_instructions={load_instructions}");
    println!("state_digest={:016x}", digest(bytes_of(method.state())));
    println!("link_instructions={}", link_instructions(method.state()));
    println!("load_stack_bytes={load_stack}");
    println!("state_bytes={}", 4 * requirements.state_words);
    println!("method_bytes={}", size_of::<cortado_runtime::Method<'_>>());
    println!("arena_bytes={}", requirements.arena_bytes);
    match number("samples")? {
        0 => Ok(()),
        samples => run_samples(&mut method, rest, samples, arguments),
    }
}

/// The instructions of making a method of state that is prepared already, as a linked program's is.
fn link_instructions(state: &'static [u32]) -> u64 {
    let linked = Linked::new(&[], state, Operators::all::<Native>().kernels());
    let linked = core::hint::black_box(linked);
    let counter = Counter::start();
    core::hint::black_box(linked.method(Banks::<1>::default()));
    counter.elapsed()
}

/// State and arena out of the memory that there is, and what is left; `None` where there is too little.
pub(crate) fn divide(
    ram: &mut [u8],
    needed: Requirements,
) -> Option<(&mut [u32], &mut [u8], &mut [u8])> {
    let state_bytes = (4 * needed.state_words as usize).next_multiple_of(ALIGNMENT);
    let (state, arena) = ram.split_at_mut_checked(state_bytes)?;
    let (arena, rest) = arena.split_at_mut_checked(needed.arena_bytes as usize)?;
    Some((cortado_kernels::memory::cast_mut(state)?, arena, rest))
}

/// Memory for the inputs and outputs that a program takes from its caller.
pub(crate) struct Lent<'r> {
    memory: [&'r mut [u8]; MAX_REGIONS],
    inputs: usize,
    count: usize,
}

impl<'r> Lent<'r> {
    /// Takes it out of `ram`, which starts at a multiple of [`ALIGNMENT`].
    ///
    /// # Errors
    /// The bytes that one of them needs, where so many are not left.
    pub(crate) fn take(method: &Method<'_>, mut ram: &'r mut [u8]) -> Result<Self, usize> {
        let mut memory: [&mut [u8]; MAX_REGIONS] = Default::default();
        for (slot, info) in memory.iter_mut().zip(method.lent()) {
            let bytes = info.size_bytes().unwrap_or(0) as usize;
            let (taken, rest) =
                ram.split_at_mut_checked(bytes.next_multiple_of(ALIGNMENT)).ok_or(bytes)?;
            *slot = taken.get_mut(..bytes).unwrap_or_default();
            ram = rest;
        }
        let inputs = (0..method.input_count()).filter(|index| method.is_input_lent(*index)).count();
        Ok(Lent { memory, inputs, count: method.lent().count() })
    }

    /// The memory of the inputs, in their order.
    pub(crate) fn inputs(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.memory.iter_mut().take(self.inputs).map(|memory| &mut **memory)
    }

    /// The memory of the outputs, in their order.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &[u8]> {
        let outputs = self.memory.iter().take(self.count).skip(self.inputs);
        outputs.map(|memory| &**memory)
    }

    /// What executing takes.
    pub(crate) fn with<R>(&mut self, run: impl FnOnce(&[&[u8]], &mut [&mut [u8]]) -> R) -> R {
        let (inputs, outputs) = self.memory.split_at_mut(self.inputs);
        let mut read: [&[u8]; MAX_REGIONS] = Default::default();
        read.iter_mut().zip(&*inputs).for_each(|(read, lent)| *read = lent);
        let read = read.get(..self.inputs).unwrap_or(&[]);
        run(read, outputs.get_mut(..self.count - self.inputs).unwrap_or(&mut []))
    }
}

fn refused(error: cortado_runtime::LoadError) -> Reported {
    println!("error: {error}");
    Reported(REFUSED)
}

fn run_samples(
    method: &mut Method<'_>,
    rest: &mut [u8],
    samples: usize,
    arguments: Arguments<'_>,
) -> Result<(), Reported> {
    let path = |key| {
        arguments.value(key).ok_or_else(|| {
            println!("error: {key}=PATH is missing");
            Reported(FAILED)
        })
    };
    let mut inputs = File::open(path("inputs")?).map_err(|error| failed("inputs", error))?;
    let mut outputs = File::create(path("outputs")?).map_err(|error| failed("outputs", error))?;
    let (mut total, mut least, mut most, mut stack_bytes) = (0, u64::MAX, 0, 0);
    let mut digest = Digest::new();
    let mut lent = Lent::take(method, rest).map_err(|bytes| {
        println!(
            "error: an input or output needs {bytes} bytes of RAM more than the board has to give"
        );
        Reported(REFUSED)
    })?;
    for _ in 0..samples {
        let mut lent_inputs = lent.inputs();
        for index in 0..method.input_count() {
            let input = if method.is_input_lent(index) {
                lent_inputs.next().ok_or(Reported(FAILED))?
            } else {
                method.fill_input_bytes(index).map_err(|error| failed("input", error))?
            };
            inputs.read_exact(input).map_err(|error| failed("inputs", error))?;
        }
        drop(lent_inputs);
        let ((outcome, instructions), used) = lent.with(|read, written| {
            stack::measure(|| {
                let counter = Counter::start();
                (method.execute_with(read, written), counter.elapsed())
            })
        });
        outcome.map_err(|error| failed("execute", error))?;
        (total, least, most) =
            (total + instructions, least.min(instructions), most.max(instructions));
        stack_bytes = stack_bytes.max(used);
        let mut lent_outputs = lent.outputs();
        for index in 0..method.output_count() {
            let output = if method.is_output_lent(index) {
                lent_outputs.next().ok_or(Reported(FAILED))?
            } else {
                method.output_bytes(index).map_err(|error| failed("output", error))?
            };
            digest.add(output);
            outputs.write_all(output).map_err(|error| failed("outputs", error))?;
        }
    }
    if arguments.value("stack") == Some("operators") {
        lent.with(|read, written| print_stack_of_calls(method, read, written))?;
    }
    if arguments.value("instructions") == Some("operators") {
        lent.with(|read, written| print_instructions_of_calls(method, read, written))?;
    }
    println!("samples={samples}");
    println!("instructions={}", total / samples as u64);
    println!("instructions_min={least}");
    println!("instructions_max={most}");
    println!("execute_stack_bytes={stack_bytes}");
    println!("digest={:016x}", digest.0);
    Ok(())
}

/// Executes once more, on whatever the inputs hold, and prints what each call takes below this function's caller.
#[inline(never)]
fn print_stack_of_calls(
    method: &mut Method<'_>,
    read: &[&[u8]],
    written: &mut [&mut [u8]],
) -> Result<(), Reported> {
    keep_inputs(method)?;
    let used_before = stack::repaint();
    let outcome = method.execute_observed(read, written, |step| {
        let used = stack::high_water_bytes().saturating_sub(used_before);
        println!("stack.{}={}", step.operator.name(), used.max(stack::MEASURED_BYTES_MIN));
        stack::repaint();
    });
    outcome.map_err(|error| failed("execute", error))
}

/// Executes once more, on whatever the inputs hold, and prints how many instructions each call takes.
#[inline(never)]
fn print_instructions_of_calls(
    method: &mut Method<'_>,
    read: &[&[u8]],
    written: &mut [&mut [u8]],
) -> Result<(), Reported> {
    keep_inputs(method)?;
    let mut counter = Counter::start();
    let outcome = method.execute_observed(read, written, |step| {
        let instructions = counter.elapsed();
        println!("instructions.{}={instructions}", step.operator.name());
        counter = Counter::start();
    });
    outcome.map_err(|error| failed("execute", error))
}

/// Counts the inputs as set, to what they hold.
fn keep_inputs(method: &mut Method<'_>) -> Result<(), Reported> {
    for index in 0..method.input_count() {
        if !method.is_input_lent(index) {
            method.fill_input_bytes(index).map_err(|error| failed("input", error))?;
        }
    }
    Ok(())
}

fn failed(what: &str, error: impl core::fmt::Display) -> Reported {
    println!("error: {what}: {error}");
    Reported(FAILED)
}

/// The Fowler-Noll-Vo digest 1a of 64 bits, over everything that is added.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest(pub(crate) u64);

impl Digest {
    pub(crate) fn new() -> Self {
        Digest(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
