//! `cortado.h` and this crate say the same: functions, sizes, offsets, numbers and names, as a C compiler and a C++ compiler see the header.

use cortado_c::error::{Code, FailureReport, Place};
use cortado_c::handle::{METHOD_BYTES, RawMethod};
use cortado_c::linked::{RawKernel, RawLinked};
use cortado_c::memory::{RawBytes, RawMemory};
use cortado_c::method::Needs;
use cortado_c::tensor::{RANK_MAX, RawTensorInfo};
use cortado_runtime::{ALIGNMENT, DType, LayoutPolicy, MAX_REGIONS, STATE_VERSION};
use std::collections::BTreeSet;
use std::mem::{align_of, offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

fn header() -> String {
    std::fs::read_to_string(Path::new(PACKAGE).join("include/cortado.h")).unwrap()
}

/// A C expression and what it must be.
type Fact = (String, i64);

macro_rules! struct_facts {
    ($($rust:ty = $c:literal { $($field:ident),* })*) => {{
        let mut facts: Vec<Fact> = Vec::new();
        $(
            facts.push((format!("sizeof({})", $c), size_of::<$rust>() as i64));
            facts.push((format!("offsetof(struct {{ char c; {} it; }}, it)", $c), align_of::<$rust>() as i64));
            $(facts.push((
                format!("offsetof({}, {})", $c, stringify!($field)),
                offset_of!($rust, $field) as i64,
            ));)*
        )*
        facts
    }};
}

fn facts() -> Vec<Fact> {
    let mut facts = struct_facts! {
        RawMethod = "cortado_method" {}
        RawMemory = "cortado_memory" { data, bytes }
        RawBytes = "cortado_bytes" { data, bytes }
        Needs = "cortado_needs" { state_bytes, arena_bytes, bank_count, bank_bytes }
        FailureReport = "cortado_failure" { error, place, index, argument, needed, given }
        RawKernel = "cortado_kernel" { kind, state_words, forms, execute }
        RawLinked = "cortado_linked" {
            state_version, isa, digest, constants, constants_bytes, state, state_words, kernels, kernel_count
        }
        RawTensorInfo = "cortado_tensor_info" {
            dtype, rank, dims, dim_order, bytes, is_lent, is_quantized, reserved, scale, zero_point
        }
    };
    let mut number = |name: &str, value: i64| facts.push((name.to_owned(), value));
    Code::ALL.iter().for_each(|(code, name)| number(name.to_str().unwrap(), *code as i64));
    Place::ALL.iter().for_each(|(place, name)| number(name, *place as i64));
    number("CORTADO_REFUSE", LayoutPolicy::Refuse as i64);
    number("CORTADO_ADAPT", LayoutPolicy::Adapt as i64);
    for dtype in DType::ALL {
        number(&format!("CORTADO_{}", dtype.name().to_uppercase()), dtype as i64);
    }
    number("CORTADO_METHOD_BYTES", METHOD_BYTES as i64);
    number("CORTADO_ALIGNMENT", ALIGNMENT as i64);
    number("CORTADO_BANKS_MAX", MAX_REGIONS as i64);
    number("CORTADO_STATE_VERSION", i64::from(STATE_VERSION));
    number("CORTADO_RANK_MAX", RANK_MAX as i64);
    let version =
        "(CORTADO_VERSION_MAJOR << 16 | CORTADO_VERSION_MINOR << 8 | CORTADO_VERSION_PATCH)";
    number(version, i64::from(cortado_c::VERSION));
    facts
}

/// Compiles a program of C or C++ that prints every fact's expression, and gives what it prints.
fn printed(language: &str, standard: &str, facts: &[Fact]) -> Vec<i64> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let program = folder.join(format!("facts-{standard}"));
    let source = folder.join(format!("facts-{standard}.{language}"));
    let prints: String = facts
        .iter()
        .map(|(expression, _)| format!("    printf(\"%ld\\n\", (long)({expression}));\n"))
        .collect();
    let text = format!(
        "#include \"cortado.h\"\n#include <stdio.h>\n\
         CORTADO_ALIGNED(16) static uint8_t arena[16];\n\
         CORTADO_STATIC_ASSERT(sizeof arena == 16, \"an arena of 16 bytes\");\n\
         int main(void) {{\n{prints}    return (int)((uintptr_t)arena % 16);\n}}\n"
    );
    std::fs::write(&source, text).unwrap();
    let compiler = if language == "c" { "cc" } else { "c++" };
    let output = Command::new(compiler)
        .args([&format!("-std={standard}"), "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        // A struct in `offsetof` is C; C++ takes it with a warning in some versions.
        .args(if language == "c" { &[][..] } else { &["-Wno-invalid-offsetof", "-fpermissive"] })
        .args(["-I", &format!("{PACKAGE}/include"), "-o"])
        .args([&program, &source])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success(), "the arena is not aligned");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn c_sees_the_same_sizes_offsets_and_numbers() {
    let facts = facts();
    assert!(facts.len() > 80);
    for standard in ["c99", "c11", "c17"] {
        for ((expression, expected), found) in facts.iter().zip(printed("c", standard, &facts)) {
            assert_eq!(found, *expected, "{expression} in {standard}");
        }
    }
}

#[test]
fn cpp_sees_the_same_sizes_offsets_and_numbers() {
    if Command::new("c++").arg("--version").output().is_err() {
        println!("skipped: there is no C++ compiler");
        return;
    }
    // A type may not be made inside of `offsetof` there: alignments are C's to compare.
    let facts: Vec<Fact> =
        facts().into_iter().filter(|(expression, _)| !expression.contains("{ char c;")).collect();
    for standard in ["c++11", "c++20"] {
        for ((expression, expected), found) in facts.iter().zip(printed("cc", standard, &facts)) {
            assert_eq!(found, *expected, "{expression} in {standard}");
        }
    }
}

/// Names behind `marker` in a text.
fn names_after(text: &str, marker: &str) -> BTreeSet<String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.split(marker)
        .skip(1)
        .map(|rest| rest.chars().take_while(|letter| is_name(*letter)).collect())
        .collect()
}

/// The header without its comments.
fn declarations() -> String {
    let header = header();
    let (mut text, mut rest) = (String::new(), header.as_str());
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        rest = after.split_once("*/").expect("a comment ends").1;
    }
    text + rest
}

/// The functions of the header, as `name` and their parameters' types in Rust.
fn functions_of_the_header() -> BTreeSet<String> {
    let text = declarations().split_whitespace().collect::<Vec<_>>().join(" ");
    let functions = text.split(';').filter_map(|declaration| {
        let (head, parameters) = declaration.rsplit_once('(')?;
        let name = head.split([' ', '*']).next_back()?;
        let result = head.rsplit_once(name)?.0;
        // What stands before it on the same line belongs to the preprocessor or to a struct.
        let result =
            result.rsplit(['}', '"', '{']).next()?.trim().trim_start_matches("#endif ").trim();
        let parameters: Vec<String> =
            parameters
                .strip_suffix(')')?
                .split(',')
                .map(str::trim)
                .filter(|parameter| *parameter != "void")
                .map(|parameter| {
                    rust_type(parameter.trim_end_matches(|letter: char| {
                        letter.is_ascii_lowercase() || letter == '_'
                    }))
                })
                .collect();
        name.starts_with("cortado_")
            .then(|| format!("{name}({}) -> {}", parameters.join(", "), rust_type(result)))
    });
    functions.collect()
}

/// The type in this crate's signatures for one in the header.
fn rust_type(c: &str) -> String {
    let c = c.trim();
    if let Some(target) = c.strip_suffix("const *") {
        return format!("*const {}", rust_type(target));
    }
    if let Some(target) = c.strip_suffix('*') {
        let target = target.trim();
        return match target.strip_prefix("const ") {
            // `const void **` points to a pointer that may be changed.
            Some(constant) if !constant.ends_with('*') => format!("*const {}", rust_type(constant)),
            _ => format!("*mut {}", rust_type(target)),
        };
    }
    let name = match c {
        "cortado_error" | "cortado_policy" | "int32_t" => "i32",
        "uint32_t" => "u32",
        "size_t" => "usize",
        "void" => "u8",
        "char" => "c_char",
        "cortado_method" => "RawMethod",
        "cortado_memory" => "RawMemory",
        "cortado_bytes" => "RawBytes",
        "cortado_needs" => "Needs",
        "cortado_failure" => "FailureReport",
        "cortado_linked" => "RawLinked",
        "cortado_tensor_info" => "RawTensorInfo",
        other => panic!("the header has the type `{other}`, which this test does not know"),
    };
    name.to_owned()
}

/// The exported functions of this crate, likewise.
fn functions_of_the_crate() -> BTreeSet<String> {
    let mut functions = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(PACKAGE).join("src")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for exported in text.split("#[unsafe(no_mangle)]").skip(1) {
            let signature = exported.split_once("extern \"C\" fn ").unwrap().1;
            let signature = signature.split_once(" {").unwrap().0;
            let (name, rest) = signature.split_once('(').unwrap();
            let (parameters, result) = rest.split_once(") -> ").unwrap();
            let types: Vec<&str> = parameters
                .split(',')
                .filter_map(|parameter| parameter.split_once(':'))
                .map(|(_, ty)| ty.trim())
                .collect();
            functions.insert(format!("{name}({}) -> {}", types.join(", "), result.trim()));
        }
    }
    functions
}

#[test]
fn functions_have_the_same_signatures() {
    let (header, here) = (functions_of_the_header(), functions_of_the_crate());
    assert_eq!(header, here);
    assert_eq!(header.len(), 17);
}

#[test]
fn every_number_of_the_header_is_known_here() {
    let known: BTreeSet<String> = facts().into_iter().map(|(expression, _)| expression).collect();
    let text = declarations();
    let constants: Vec<&str> = text
        .split("enum {")
        .skip(1)
        .flat_map(|body| body.split_once('}').unwrap().0.split(','))
        .filter_map(|item| item.split('=').next().map(str::trim))
        .filter(|name| !name.is_empty())
        .collect();
    assert!(constants.len() > 40);
    for name in constants {
        assert!(known.contains(name), "{name} is in the header and not in this crate");
    }
    // Structs as well, and no macro but those above and what declarations are made of.
    for name in names_after(&text, "typedef struct ") {
        assert!(known.contains(&format!("sizeof({name})")), "struct {name}");
    }
}

#[test]
fn errors_have_their_names() {
    for (code, name) in Code::ALL {
        let found = cortado_c::error::cortado_error_name(*code as i32);
        // SAFETY: the function gives names that end with a 0 and live as long as the program.
        assert_eq!(unsafe { std::ffi::CStr::from_ptr(found) }, *name);
    }
}
