//! The C header beside a compiled program: what [`mod@crate::module`] says in Rust, for `cortado.h`.

use crate::Compiled;
use crate::link::Linked;
use crate::module::{Bank, banks, capitalized, identifier};
use crate::report::{Report, TensorReport};
use cortado_contract::for_each_operator;
use cortado_contract::ops::OperatorKind;
use cortado_kernels::for_each_narrowed_kernel;
use cortado_runtime::{STATE_VERSION, bytes_of, digest};
use std::fmt::{self, Write};

/// What the first line of each header starts with.
pub const FIRST_WORDS: &str = "/* Made by `cortado compile`";

/// The header for a program that lies beside it under the name `pte_file`. Its own name is that with the ending `.h`.
pub fn c_header(compiled: &Compiled, report: &Report, pte_file: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, compiled, report, pte_file);
    text
}

/// What all names in the header of a program start with.
fn prefix(pte_file: &str) -> String {
    let stem = pte_file.rsplit_once('.').map_or(pte_file, |(stem, _)| stem);
    let name = identifier(stem, "model");
    // The library's own names are not to be met.
    if name.starts_with("cortado") { format!("model_{name}") } else { name }
}

fn write(out: &mut String, compiled: &Compiled, report: &Report, pte_file: &str) -> fmt::Result {
    let Report { cpu, isa, pte_bytes, state_bytes, memory, stack, .. } = report;
    let banks = banks(&memory.banks);
    let (name, file) = (prefix(pte_file), comment(pte_file));
    let upper = name.to_uppercase();
    let declared: Vec<String> =
        banks.iter().map(|it| format!("static {name}_{0} {0};", it.argument)).collect();
    let passed: String = banks.iter().map(|it| format!(", &{}", it.argument)).collect();
    let header = file.rsplit_once('.').map_or(&*file, |(stem, _)| stem);
    writeln!(
        out,
        "{FIRST_WORDS}: the program `{file}` for {cpu}, {isa} kernels. Changes will be overwritten.\n\
         \x20*\n\
         \x20*     #define {upper}_PROGRAM_HERE  (in one source file of the firmware, which then holds the program)\n\
         \x20*     #include \"{header}.h\"\n\
         \x20*\n\
         \x20*     static cortado_method method;\n\
         \x20*     {}\n\
         \x20*     cortado_error error = {name}_link(&method{passed});\n\
         \x20*/\n\
         #ifndef {upper}_H\n\
         #define {upper}_H\n\
         \n\
         #include \"cortado.h\"\n\
         \n\
         CORTADO_STATIC_ASSERT(CORTADO_VERSION_MAJOR == {major} && CORTADO_VERSION_MINOR >= {minor}, \"made for another cortado.h\");\n\
         \n\
         #ifdef __cplusplus\n\
         extern \"C\" {{\n\
         #endif\n\
         \n\
         /* The core and the kernels that the program was compiled for. */\n\
         #define {upper}_CPU \"{cpu}\"\n\
         #define {upper}_ISA \"{isa}\"\n\
         \n\
         /* The program as it is once it has been loaded, for {name}_link. */\n\
         extern const cortado_linked {name}_linked;\n\
         /* The program's file, to be read in place, for {name}_load. */\n\
         #define {upper}_PROGRAM_BYTES {pte_bytes}\n\
         extern const uint8_t {name}_program[{upper}_PROGRAM_BYTES];",
        declared.join(" "),
        major = env!("CARGO_PKG_VERSION_MAJOR"),
        minor = env!("CARGO_PKG_VERSION_MINOR"),
    )?;
    for Bank { constant, what, argument, bytes, .. } in &banks {
        writeln!(
            out,
            "\n/* Bytes of {what}. */\n#define {upper}_{constant} {bytes}\n\
             /* {}, of just the right size{}. */\n\
             typedef struct {name}_{argument} {{\n    \
             CORTADO_ALIGNED(CORTADO_ALIGNMENT) uint8_t bytes[{}];\n}} {name}_{argument};",
            capitalized(&comment(what)),
            if *bytes == 0 { ", or as little as C has" } else { "" },
            bytes.max(&16),
            what = comment(what),
        )?;
    }
    writeln!(
        out,
        "\n/* Bytes of the method's state, for {name}_load only: what loading prepares. */\n#define {upper}_STATE_BYTES {state_bytes}\n\
         /* The method's state, for {name}_load only. */\n\
         typedef struct {name}_state {{\n    uint32_t words[{}];\n}} {name}_state;",
        (state_bytes / 4).max(1)
    )?;
    if let Some(stack) = stack {
        writeln!(
            out,
            "\n/* Bytes of stack that loading and executing take at most, below their caller: the most that was measured on the\n   \
             emulated board {}, in release builds of the Rust runtime. Interrupts come on top. */\n\
             #define {upper}_STACK_BYTES {}",
            stack.board, stack.bytes
        )?;
    }
    let sides = [("input", &report.inputs), ("output", &report.outputs)];
    for (side, tensors) in sides {
        writeln!(out, "\n#define {upper}_{}_COUNT {}", side.to_uppercase(), tensors.len())?;
        for (index, tensor) in tensors.iter().enumerate() {
            let is_lent = memory.lent.contains(&tensor.name);
            write_tensor(out, &name, side, index, tensor, is_lent)?;
        }
    }
    let parameters: String = banks
        .iter()
        .map(|it| format!(", {name}_{} *{}", it.argument, parameter(it, banks.len())))
        .collect();
    let given: Vec<String> = banks
        .iter()
        .map(|it| format!("{{{}, {upper}_{}}}", parameter(it, banks.len()), it.constant))
        .collect();
    writeln!(
        out,
        "\n/* Makes a method of the program, which was loaded when it was compiled: only the kernels that it uses are linked. See cortado_link.\n   \
         The type of the arena is the program's own, so that none too small can be given. */\n\
         static inline cortado_error {name}_link(cortado_method *method{parameters})\n{{\n    \
         const cortado_memory banks[] = {{{given}}};\n    \
         return cortado_link(method, &{name}_linked, banks, sizeof banks / sizeof banks[0]);\n}}\n\
         \n/* Loads the program from its file, with all checks, and with every kernel of the library. See cortado_load. */\n\
         static inline cortado_error {name}_load(cortado_method *method, {name}_state *state{parameters})\n{{\n    \
         const cortado_memory banks[] = {{{given}}};\n    \
         return cortado_load(method, {name}_program, {upper}_PROGRAM_BYTES, CORTADO_REFUSE, state, {upper}_STATE_BYTES, banks,\n        \
         sizeof banks / sizeof banks[0]);\n}}\n\
         \n\
         #ifdef __cplusplus\n}}\n#endif\n\
         \n\
         #endif",
        given = given.join(", "),
    )?;
    write_program(out, &name, &upper, pte_file, compiled)
}

/// The program's bytes and tables, in the one source file that asks for them.
fn write_program(
    out: &mut String,
    name: &str,
    upper: &str,
    pte_file: &str,
    compiled: &Compiled,
) -> fmt::Result {
    let Linked { operators, forms, state, constants_start } = &compiled.linked;
    let kernels = || operators.iter().copied().zip(forms.iter().copied());
    let pte_bytes = compiled.pte.len();
    let constants_bytes = pte_bytes - constants_start;
    writeln!(
        out,
        "\n\
         #ifdef {upper}_PROGRAM_HERE\n\
         #ifndef __GNUC__\n\
         #error \"{upper}_PROGRAM_HERE needs GCC or Clang: define {name}_program in another way, aligned to CORTADO_ALIGNMENT\"\n\
         #endif\n\
         CORTADO_STATIC_ASSERT(CORTADO_STATE_VERSION == {STATE_VERSION}, \"made by another version of cortado: compile the model again\");\n\
         \n\
         /* Where the program is: relative to the current directory, or to one of the -I options. */\n\
         #ifndef {upper}_PROGRAM_FILE\n\
         #define {upper}_PROGRAM_FILE \"{}\"\n\
         #endif\n\
         \n\
         /* The file from a byte on, under a name; a file of another size is found out. */\n\
         #ifdef __clang__\n\
         #define {upper}_CHECK(name, bytes) \"\"\n\
         #else\n\
         #define {upper}_CHECK(name, bytes) \\\n    \
         \".if . - \" name \" - \" bytes \"\\n\" \\\n    \
         \".error \\\"the header was made for another program than the one that it found\\\"\\n\" \\\n    \
         \".endif\\n\"\n\
         #endif\n\
         #define {upper}_INCLUDE(name, start, bytes) \\\n    \
         \".pushsection .rodata.\" name \", \\\"a\\\", %progbits\\n\" \\\n    \
         \".balign 16\\n\" \\\n    \
         \".global \" name \"\\n\" \\\n    \
         \".type \" name \", %object\\n\" \\\n    \
         name \":\\n\" \\\n    \
         \".incbin \\\"\" {upper}_PROGRAM_FILE \"\\\", \" start \"\\n\" \\\n    \
         {upper}_CHECK(name, bytes) \\\n    \
         \".size \" name \", . - \" name \"\\n\" \\\n    \
         \".popsection\\n\"\n\
         __asm__({upper}_INCLUDE(\"{name}_program\", \"0\", \"{pte_bytes}\"));\n\
         __asm__({upper}_INCLUDE(\"{name}_constants\", \"{constants_start}\", \"{constants_bytes}\"));\n\
         \n\
         #ifdef __cplusplus\n\
         extern \"C\" {{\n\
         #endif\n\
         extern const uint8_t {name}_constants[];\n{}\
         \n\
         static const cortado_kernel {name}_kernels[] = {{\n{}}};\n\
         \n\
         static const uint32_t {name}_prepared[{}] = {{",
        assembler_text(pte_file),
        kernels()
            .map(|(kind, forms)| format!("extern void {}(void);\n", symbol(kind, forms).0))
            .collect::<String>(),
        match operators.is_empty() {
            true => "    {0, 0, 0, 0},\n".to_owned(),
            false => kernels().map(|(kind, forms)| kernel_row(kind, forms)).collect(),
        },
        state.len(),
    )?;
    for words in state.chunks(8) {
        let words: Vec<String> = words.iter().map(|word| format!("{word:#010x},")).collect();
        writeln!(out, "    {}", words.join(" "))?;
    }
    let constants = compiled.pte.get(*constants_start..).unwrap_or(&[]);
    let digest = digest(constants).rotate_left(1) ^ digest(bytes_of(state));
    writeln!(
        out,
        "}};\n\
         \n\
         const cortado_linked {name}_linked = {{\n    \
         {STATE_VERSION},\n    {},\n    {{{:#010x}, {:#010x}}},\n    {name}_constants,\n    {constants_bytes},\n    {name}_prepared,\n    {},\n    \
         {name}_kernels,\n    {},\n}};\n\
         #ifdef __cplusplus\n}}\n#endif\n\
         #endif",
        compiled.target.isa() as u32,
        digest as u32,
        (digest >> 32) as u32,
        state.len(),
        operators.len(),
    )
}

/// A row of the table of kernels.
fn kernel_row(kind: OperatorKind, forms: u16) -> String {
    let words = cortado_kernels::state_words(kind);
    let (symbol, forms) = symbol(kind, forms);
    format!("    {{{}, {words}, {forms:#x}, {symbol}}},\n", kind as u8)
}

macro_rules! declare_symbols {
    ($($variant:ident = $module:ident,)*) => {
        /// The function of an operator's whole kernel in the library for C.
        fn whole_symbol(kind: OperatorKind) -> &'static str {
            match kind {
                $(OperatorKind::$variant => concat!("cortado_kernel_", stringify!($module)),)*
            }
        }
    };
}
for_each_operator!(declare_symbols);

macro_rules! declare_narrowed_symbols {
    ($($name:ident = $variant:ident: $forms:literal,)*) => {
        /// The function in the library for C of the smallest kernel that runs some forms of an operator, and all forms that it runs.
        fn symbol(kind: OperatorKind, forms: u16) -> (&'static str, u16) {
            match (kind, forms) {
                $((OperatorKind::$variant, $forms) => (concat!("cortado_kernel_", stringify!($name)), $forms),)*
                _ => (whole_symbol(kind), u16::MAX),
            }
        }
    };
}
for_each_narrowed_kernel!(declare_narrowed_symbols);

/// A bank's name as a parameter: C's keywords are not Rust's.
fn parameter(bank: &Bank, count: usize) -> String {
    if count == 1 && bank.argument == "arena" {
        return "arena".to_owned();
    }
    format!("{}_bank", bank.argument)
}

fn write_tensor(
    out: &mut String,
    name: &str,
    side: &str,
    index: usize,
    tensor: &TensorReport,
    is_lent: bool,
) -> fmt::Result {
    let TensorReport { dtype, shape, dim_order, scale, zero_point, .. } = tensor;
    let (element, bytes) = match *dtype {
        "uint8" | "bool" => ("uint8_t", 1),
        "int8" => ("int8_t", 1),
        "int16" => ("int16_t", 2),
        "int32" => ("int32_t", 4),
        "int64" => ("int64_t", 8),
        "float64" => ("double", 8),
        _ => ("float", 4),
    };
    let count = tensor.element_count();
    let lower = format!("{name}_{side}{index}");
    let upper = lower.to_uppercase();
    let what = format!("{side} {index}");
    // A list of nothing is none in C.
    let list = |numbers: Vec<String>| match numbers.is_empty() {
        true => "{0}".to_owned(),
        false => format!("{{{}}}", numbers.join(", ")),
    };
    writeln!(
        out,
        "\n/* {}, `{}`: element type, number of axes, extents in logical order, axes in memory order with the outermost first,\n   \
         elements, and bytes. */\n\
         typedef {element} {lower}_element;\n\
         #define {upper}_DTYPE CORTADO_{}\n\
         #define {upper}_RANK {}\n\
         #define {upper}_SHAPE {}\n\
         #define {upper}_DIM_ORDER {}\n\
         #define {upper}_COUNT {count}\n\
         #define {upper}_BYTES {}\n\
         CORTADO_STATIC_ASSERT(sizeof({lower}_element) * {upper}_COUNT == {upper}_BYTES, \"{what} has other elements here\");",
        capitalized(&what),
        comment(&tensor.name),
        dtype.to_uppercase(),
        shape.len(),
        list(shape.iter().map(u32::to_string).collect()),
        list(dim_order.iter().map(u8::to_string).collect()),
        count * bytes,
    )?;
    if let (Some(scale), Some(zero_point)) = (scale, zero_point) {
        writeln!(
            out,
            "/* What the integers of {what} stand for: real = SCALE * (integer - ZERO_POINT). */\n\
             #define {upper}_SCALE {:?}f\n#define {upper}_ZERO_POINT ({zero_point})",
            *scale as f32
        )?;
    }
    if is_lent {
        writeln!(
            out,
            "/* Memory of the caller's for {what}, to be lent to cortado_execute_with. */\n\
             typedef struct {lower}_memory {{\n    \
             CORTADO_ALIGNED(CORTADO_ALIGNMENT) {lower}_element elements[{}];\n}} {lower}_memory;",
            count.max(1)
        )?;
    }
    Ok(())
}

/// Text that does not end the comment in which it stands.
fn comment(text: &str) -> String {
    let text: String =
        text.chars().map(|it| if it.is_control() || it == '\\' { '?' } else { it }).collect();
    text.replace("*/", "* /").replace("/*", "/ *")
}

/// A file's name in a string of the assembler's that stands in a string of C's.
fn assembler_text(name: &str) -> String {
    name.chars()
        .map(|it| match it {
            '\\' => r"\\\\".to_owned(),
            '"' => r#"\\\""#.to_owned(),
            // A trigraph in strict C99.
            '?' => r"\?".to_owned(),
            it if it.is_ascii_control() => format!(r"\\{:03o}", u32::from(it)),
            it => it.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cs_and_not_the_librarys() {
        for (file, name) in [
            ("digits.pte", "digits"),
            ("Digits-MLP.v2.pte", "digits_mlp_v2"),
            ("8x8.pte", "model_8x8"),
            ("cortado_load.pte", "model_cortado_load"),
            ("int.pte", "int"),
            ("_.pte", "model_"),
            ("model", "model"),
        ] {
            assert_eq!(prefix(file), name, "{file}");
        }
    }

    #[test]
    fn text_stays_where_it_is_put() {
        assert_eq!(comment("a*/b/*c\nd\\"), "a* /b/ *c?d?");
        assert_eq!(assembler_text(r#"a"b\c"#), r#"a\\\"b\\\\c"#);
    }
}
