//! The Rust module beside a compiled program: the program as it is once it has been loaded, and its memory as types and constants, so
//! that a firmware that gives it too little, or something else, does not compile.

use crate::Compiled;
use crate::link::Linked;
use crate::report::{BankReport, Report, TensorReport};
use cortado_runtime::{STATE_VERSION, digest};
use std::fmt::{self, Write};

/// What the first line of each module starts with.
pub const FIRST_WORDS: &str = "//! Made by `cortado compile`";

/// The module for a program that lies beside it under the name `pte_file`.
pub fn module(compiled: &Compiled, report: &Report, pte_file: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, compiled, report, pte_file);
    text
}

fn write(out: &mut String, compiled: &Compiled, report: &Report, pte_file: &str) -> fmt::Result {
    let Report { cpu, isa, memory, stack, .. } = report;
    let banks = banks(&memory.banks);
    let is_single = banks.len() == 1;
    writeln!(
        out,
        "{FIRST_WORDS}: the program `{pte_file}` for {cpu}, {isa} kernels. Changes will be overwritten.\n\
         //!\n\
         //! ```ignore\n\
         //! let mut method = model::link({});\n\
         //! method.set_input(0, &input)?;\n\
         //! method.execute()?;\n\
         //! let scores = method.output::<model::Output0Element>(0)?;\n\
         //! ```\n\
         \n\
         #![allow(dead_code, reason = \"a firmware uses a part\")]\n\
         #![allow(long_running_const_eval, reason = \"the program's digest is computed when the firmware is built\")]\n\
         \n\
         use cortado_runtime::{{\n    Aligned, Banks, Isa, Kernel, LayoutPolicy, Linked, LoadError, Method, OperatorKind, Operators, Program, arch, operators,\n}};",
        banks.iter().map(|bank| format!("&mut {}", bank.argument)).collect::<Vec<_>>().join(", ")
    )?;
    write_program(out, compiled, report, pte_file)?;
    for Bank { constant, type_name, what, bytes, .. } in &banks {
        writeln!(
            out,
            "\n/// Bytes of {what}.\npub const {constant}: usize = {bytes};\n\
             \n/// {}, of just the right size.\npub type {type_name} = Aligned<{constant}>;",
            capitalized(what)
        )?;
    }
    writeln!(
        out,
        "\n/// Words of the method's state, for [`load`] only: what loading prepares.\n\
         pub const STATE_WORDS: usize = {};\n\
         \n/// Memory for the method's state, for [`load`] only.\npub struct State(pub [u32; STATE_WORDS]);\n\
         \nimpl State {{\n    /// State before loading.\n    #[allow(clippy::new_without_default, reason = \"for statics\")]\n    \
         pub const fn new() -> Self {{\n        State([0; STATE_WORDS])\n    }}\n}}",
        compiled.linked.state.len()
    )?;
    if let Some(stack) = stack {
        writeln!(
            out,
            "\n/// Bytes of stack that loading and executing take at most, below their caller: the most that was measured on the\n\
             /// emulated board {}, in release builds. Interrupts come on top.\n\
             pub const STACK_BYTES: usize = {};\n\
             \n/// The same without loading, for a program that is linked.\n\
             pub const LINKED_STACK_BYTES: usize = {};",
            stack.board, stack.bytes, stack.execute_bytes
        )?;
    }
    let sides = [("input", "INPUT", &report.inputs), ("output", "OUTPUT", &report.outputs)];
    for (side, prefix, tensors) in sides {
        for (index, tensor) in tensors.iter().enumerate() {
            write_tensor(out, &format!("{side} {index}"), &format!("{prefix}{index}"), tensor)?;
            if memory.lent.contains(&tensor.name) {
                writeln!(
                    out,
                    "\n/// Memory of the caller's for {side} {index}, to be lent to `Method::execute_with`.\n\
                     pub type {}{index}Memory = Aligned<{{ {prefix}{index}_BYTES }}>;",
                    capitalized(side)
                )?;
            }
        }
    }
    let generics: String =
        banks.iter().map(|bank| format!(", const {}: usize", bank.generic)).collect();
    let arguments: String = banks
        .iter()
        .map(|bank| format!("    {}: &'m mut Aligned<{}>,\n", bank.argument, bank.generic))
        .collect();
    let asserts: String = banks
        .iter()
        .map(|bank| {
            format!(
                "    const {{ assert!({} >= {}, \"{} is too small for this program\") }};\n",
                bank.generic, bank.constant, bank.what
            )
        })
        .collect();
    let slices: Vec<String> =
        banks.iter().map(|bank| format!("&mut {}.0[..]", bank.argument)).collect();
    let memory = if is_single { "An arena that is" } else { "A bank that is" };
    let (count, slices) = (banks.len(), slices.join(", "));
    writeln!(
        out,
        "\n/// The program, ready for its inputs: it was loaded when it was compiled, and is linked with its own kernels only. {memory} too\n\
         /// small is an error when the firmware is built.\n\
         pub fn link<'m{generics}>(\n{arguments}) -> Method<'m, {count}> {{\n{asserts}    \
         LINKED.method(Banks::from([{slices}]))\n}}\n\
         \n/// Loads the program from its file, with all checks, and with the kernels of [`OPERATORS`] only. {memory} too small, or too\n\
         /// little state, is an error when the firmware is built.\n\
         ///\n\
         /// # Errors\n\
         /// See [`LoadError`].\n\
         pub fn load<'m, const STATE: usize{generics}>(\n    state: &'m mut [u32; STATE],\n{arguments}) -> Result<Method<'m, \
         {count}>, LoadError> {{\n    const {{ assert!(STATE >= STATE_WORDS, \"the state is too small for this program\") \
         }};\n{asserts}    let banks = Banks::from([{slices}]);\n    \
         Program::parse(&PROGRAM.0)?.load_with(&OPERATORS, LayoutPolicy::Refuse, state, banks)\n}}",
    )
}

/// The program's bytes, what it is linked of, and the assertions that hold both together.
fn write_program(
    out: &mut String,
    compiled: &Compiled,
    report: &Report,
    pte_file: &str,
) -> fmt::Result {
    let Report { isa, pte_bytes, .. } = report;
    let Linked { operators, forms, state, constants_start } = &compiled.linked;
    let isa_type = capitalized(isa);
    writeln!(
        out,
        "\nconst FILE: &[u8] = include_bytes!({pte_file:?});\n\
         \n/// The size of the program.\n\
         pub const PROGRAM_BYTES: usize = {pte_bytes};\n\
         \nconst _: () = assert!(\n    \
         FILE.len() == PROGRAM_BYTES && cortado_runtime::digest(FILE) == {:#018x},\n    \
         \"this module was made for another program than the file beside it: compile the model again\",\n);\n\
         const _: () = assert!(\n    \
         cortado_runtime::STATE_VERSION == {STATE_VERSION},\n    \
         \"this module was made by another version of cortado than the runtime's: compile the model again\",\n);\n\
         const _: () = assert!(\n    \
         cortado_runtime::has_kernels_of(Isa::{isa_type}),\n    \
         \"this program was compiled for {isa} kernels, and the firmware is built with others: choose the feature isa-{isa} of \
         cortado-runtime, or compile the model for the firmware's core\",\n);\n\
         \n/// The operators that the program uses.\n\
         pub const OPERATORS: Operators<'static> = operators![arch::{isa_type}: {}];\n\
         \n/// The program's file, to be read in place by [`load`].\n\
         pub static PROGRAM: Aligned<PROGRAM_BYTES> = Aligned::copy_of(FILE, 0);\n\
         \n/// The part of it that [`link`] needs.\n\
         static CONSTANTS: Aligned<{{ PROGRAM_BYTES - {constants_start} }}> = Aligned::copy_of(FILE, {constants_start});\n\
         \n/// Their kernels, for the forms that the program has of each.\n\
         static KERNELS: [Kernel; {}] = [\n{}];\n\
         \n/// The program as it is once it has been loaded.\n\
         pub static LINKED: Linked = Linked::new(&CONSTANTS.0, &PREPARED, &KERNELS);\n\
         \n/// What loading prepares.\n\
         #[rustfmt::skip]\n\
         static PREPARED: [u32; STATE_WORDS] = [",
        digest(&compiled.pte),
        operators.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(", "),
        operators.len(),
        operators
            .iter()
            .zip(forms)
            .map(|(kind, forms)| {
                format!(
                    "    Kernel::narrowed::<arch::{isa_type}>(OperatorKind::{kind:?}, {forms:#b}),\n"
                )
            })
            .collect::<String>(),
    )?;
    for words in state.chunks(8) {
        let words: Vec<String> = words.iter().map(|word| format!("{word:#010x},")).collect();
        writeln!(out, "    {}", words.join(" "))?;
    }
    writeln!(out, "];")
}

/// A bank under the names that it has in the module, and in C's header.
pub(crate) struct Bank {
    /// What to call it in a sentence.
    pub(crate) what: String,
    /// The constant with its size.
    pub(crate) constant: String,
    type_name: String,
    generic: String,
    /// The name in small letters.
    pub(crate) argument: String,
    /// The size.
    pub(crate) bytes: u64,
}

/// The banks of a plan, no two of which have the same names.
pub(crate) fn banks(reports: &[BankReport]) -> Vec<Bank> {
    let mut banks: Vec<Bank> = Vec::new();
    for (index, report) in reports.iter().enumerate() {
        let (what, mut name) = match (report.name.is_empty(), reports.len()) {
            (true, 1) => ("the arena".to_owned(), "arena".to_owned()),
            (true, _) => (format!("bank {index} of the arena"), format!("bank{index}")),
            (false, _) => {
                (format!("the arena's bank {}", report.name), identifier(&report.name, "bank"))
            }
        };
        // Names that differ in the plan may not do so here, or be those of something else.
        while is_taken(&name) || banks.iter().any(|bank| bank.type_name == type_name(&name)) {
            name.push_str("_bank");
        }
        let upper = name.to_uppercase();
        banks.push(Bank {
            what,
            constant: format!("{upper}_BYTES"),
            type_name: type_name(&name),
            // Never a type's name, which has no underscore: in a list of generic arguments that would be taken for the type.
            generic: format!("{upper}_GIVEN"),
            argument: name,
            bytes: report.bytes,
        });
    }
    banks
}

fn type_name(name: &str) -> String {
    name.split('_').map(capitalized).collect()
}

fn write_tensor(out: &mut String, what: &str, prefix: &str, tensor: &TensorReport) -> fmt::Result {
    let TensorReport { name, dtype, shape, dim_order, scale, zero_point } = tensor;
    let count = tensor.element_count();
    let element = match *dtype {
        "float32" => "f32",
        "int8" => "i8",
        "uint8" => "u8",
        "int16" => "i16",
        "int32" => "i32",
        "int64" => "i64",
        other => other,
    };
    writeln!(
        out,
        "\n/// The element type of {what}, `{name}`.\npub type {}Element = {element};\n\
         /// The extents of {what}, in logical order.\npub const {prefix}_SHAPE: [usize; {}] = {shape:?};\n\
         /// The axes of {what} in memory order, outermost first.\npub const {prefix}_DIM_ORDER: [usize; {}] = {dim_order:?};\n\
         /// The number of elements of {what}.\npub const {prefix}_COUNT: usize = {count};\n\
         /// The bytes of {what}.\npub const {prefix}_BYTES: usize = {count} * size_of::<{}Element>();",
        capitalized(&prefix.to_lowercase()),
        shape.len(),
        dim_order.len(),
        capitalized(&prefix.to_lowercase()),
    )?;
    if let (Some(scale), Some(zero_point)) = (scale, zero_point) {
        writeln!(
            out,
            "/// What the integers of {what} stand for: `real = SCALE · (integer − ZERO_POINT)`.\npub const {prefix}_SCALE: f32 = \
             {:?};\n/// See [`{prefix}_SCALE`].\npub const {prefix}_ZERO_POINT: i32 = {zero_point};",
            *scale as f32
        )?;
    }
    Ok(())
}

pub(crate) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A name in small letters, digits and underscores that starts with a letter, if need be with `prefix_`. It may be a keyword.
pub(crate) fn identifier(name: &str, prefix: &str) -> String {
    let small = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_lowercase(),
        false => '_',
    };
    let text: String = name.chars().map(small).collect();
    let text = text.trim_start_matches('_');
    match text.starts_with(|first: char| first.is_ascii_lowercase()) {
        true => text.to_owned(),
        false => format!("{prefix}_{text}"),
    }
}

/// Whether a name, or what is made of it, is Rust's or has another meaning in the module.
fn is_taken(name: &str) -> bool {
    const TAKEN: [&str; 70] = [
        // Keywords, those included that are reserved.
        "abstract",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "const",
        "continue",
        "crate",
        "do",
        "dyn",
        "else",
        "enum",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "let",
        "loop",
        "macro",
        "match",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "pub",
        "ref",
        "return",
        "self",
        "static",
        "struct",
        "super",
        "trait",
        "true",
        "try",
        "type",
        "typeof",
        "union",
        "unsafe",
        "unsized",
        "use",
        "virtual",
        "where",
        "while",
        "yield",
        // Types that the module uses, the function of C's header, and the stack, of which both have the size as well.
        "aligned",
        "banks",
        "isa",
        "kernel",
        "layout_policy",
        "link",
        "linked",
        "load",
        "load_error",
        "method",
        "operator_kind",
        "operators",
        "program",
        "result",
        "stack",
        "state",
        "usize",
        "u32",
    ];
    let of_tensor = |side: &str| {
        name.strip_prefix(side).is_some_and(|rest| {
            let after = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            after.len() < rest.len()
                && ["", "Element", "Memory"].contains(&&*self::type_name(after))
        })
    };
    let type_name = type_name(name);
    TAKEN.iter().any(|taken| *taken == name || self::type_name(taken) == type_name)
        || of_tensor("input")
        || of_tensor("output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn banks_have_names_that_rust_takes_and_no_two_have_the_same() {
        let names = [
            "a",
            "A",
            "a-b",
            "a_b",
            "a__b",
            "_",
            "-",
            "1",
            "_1",
            "for",
            "state",
            "stack",
            "input0",
            "output1_memory",
            "program",
            "result",
            "Method",
            "load-error",
            "loaderror",
            "dtcm",
            "a_b_bank",
        ];
        let reports: Vec<BankReport> = names
            .iter()
            .map(|name| BankReport { name: (*name).to_owned(), capacity_bytes: None, bytes: 16 })
            .collect();
        let banks = banks(&reports);
        let mut all: HashSet<&str> = ["STACK_BYTES", "PROGRAM_BYTES", "INPUT0_BYTES"].into();
        for bank in &banks {
            for name in [&bank.constant, &bank.type_name, &bank.generic, &bank.argument] {
                assert!(name.starts_with(|first: char| first.is_ascii_alphabetic()), "{name}");
                assert!(all.insert(name), "{name} twice");
            }
            assert!(!is_taken(&bank.argument), "{}", bank.argument);
        }
        let argument = |name: &str| {
            let index = names.iter().position(|it| *it == name);
            index.map(|index| banks[index].argument.as_str())
        };
        assert_eq!(argument("dtcm"), Some("dtcm"));
        assert_eq!(argument("a-b"), Some("a_b"));
        assert_eq!(argument("1"), Some("bank_1"));
    }
}
