//! The C header beside a compiled program: a firmware that gives it what it needs compiles, one that gives less does not. `cargo xtask c` links
//! and runs such firmware.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn compile(model: &str, output: &Path, options: &[&str]) -> Output {
    let model = Path::new(PACKAGE).join(format!("../../testdata/models/{model}/quantized.pt2"));
    Command::new(env!("CARGO_BIN_EXE_cortado"))
        .args(["compile".as_ref(), model.as_os_str(), "-o".as_ref(), output.as_os_str()])
        .args(["--target", "cortex-m4", "--c-header"])
        .args(options)
        .output()
        .unwrap()
}

/// Compiles a source of C or C++, as its ending says, in this folder; gives what the compiler says when it refuses.
fn build(folder: &Path, name: &str, standard: &str, source: &str) -> Result<(), String> {
    let compiler = if name.ends_with(".c") { "cc" } else { "c++" };
    std::fs::write(folder.join(name), source).unwrap();
    let output = Command::new(compiler)
        .current_dir(folder)
        .args([&format!("-std={standard}"), "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(["-I", &format!("{PACKAGE}/../c/include"), "-c", name, "-o", "object.o"])
        .output()
        .unwrap();
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const MAIN: &str = "#define DIGITS_PROGRAM_HERE
#include \"digits.h\"
static cortado_method method;
static digits_state state;
static digits_arena arena;
int main(void) {
    const uint32_t shape[DIGITS_INPUT0_RANK] = DIGITS_INPUT0_SHAPE;
    const uint8_t order[DIGITS_OUTPUT0_RANK] = DIGITS_OUTPUT0_DIM_ORDER;
    digits_input0_element pixels[DIGITS_INPUT0_COUNT] = {0};
    if (digits_load(&method, &state, &arena) != CORTADO_OK || shape[1] != 64 || order[1] != 1) {
        return 1;
    }
    return (int)cortado_set_input(&method, 0, pixels, DIGITS_INPUT0_BYTES);
}
";

#[test]
fn what_it_says_is_enough_and_less_does_not_compile() {
    let folder = folder("c-header");
    let output = compile("digits_mlp", &folder.join("digits.pte"), &["--io", "int8"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("digits.h"), "{}", said(&output));
    let header = std::fs::read_to_string(folder.join("digits.h")).unwrap();
    for words in [
        "DIGITS_INPUT0_SCALE 0.0039196536f",
        "DIGITS_INPUT0_ZERO_POINT (-128)",
        "DIGITS_ISA \"dsp\"",
    ] {
        assert!(header.contains(words), "{words}");
    }
    for standard in ["gnu99", "c11", "c17"] {
        build(&folder, "main.c", standard, MAIN).unwrap();
    }
    for standard in ["c++11", "c++20"] {
        build(&folder, "main.cc", standard, MAIN).unwrap();
    }
    let small =
        MAIN.replace("static digits_arena arena;", "static struct { uint8_t bytes[16]; } arena;");
    let refusal = build(&folder, "main.c", "c11", &small).unwrap_err();
    assert!(refusal.contains("digits_arena"), "{refusal}");

    // Another program under the same name is found out as well.
    assert!(compile("tiny_linear", &folder.join("other.pte"), &["--no-module"]).status.success());
    std::fs::copy(folder.join("other.pte"), folder.join("digits.pte")).unwrap();
    let refusal = build(&folder, "main.c", "c11", MAIN).unwrap_err();
    assert!(refusal.contains("made for another program"), "{refusal}");
}

#[test]
fn every_model_has_a_header_that_compiles() {
    let folder = folder("c-header-models");
    let mut count = 0;
    for model in std::fs::read_dir(Path::new(PACKAGE).join("../../testdata/models")).unwrap() {
        let model = model.unwrap().file_name().into_string().unwrap();
        if !(model.starts_with("op_") || model.starts_with("multiple") || model == "resnet8") {
            continue;
        }
        let output = compile(
            &model,
            &folder.join("it.pte"),
            &["--plan-seconds", "0", "--lend", "inputs,outputs"],
        );
        assert!(output.status.success(), "{model}: {}", said(&output));
        let source = "#define IT_PROGRAM_HERE\n#include \"it.h\"\nit_arena arena; it_state state; cortado_method method;\n\
                      int main(void) { return (int)it_load(&method, &state, &arena); }\n";
        build(&folder, "main.c", "c11", source)
            .unwrap_or_else(|refusal| panic!("{model}: {refusal}"));
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn banks_and_lent_memory_have_types_of_their_own_whatever_their_names() {
    let folder = folder("c-header-banks");
    let banks = "dtcm=8K,int=8K,load=8K,A-b=8K,1=8K,input0=8K,double=64K";
    let output =
        compile("resnet8", &folder.join("8-bit.pte"), &["--memory", banks, "--lend", "inputs"]);
    assert!(output.status.success(), "{}", said(&output));
    let main = "#include \"8-bit.h\"
model_8_bit_dtcm a; model_8_bit_int b; model_8_bit_load_bank c; model_8_bit_a_b d; model_8_bit_bank_1 e; model_8_bit_input0_bank f;
model_8_bit_double g; model_8_bit_state state; cortado_method method; model_8_bit_input0_memory image;
int main(void) {
    const cortado_bytes inputs[] = {{image.elements, MODEL_8_BIT_INPUT0_BYTES}};
    if (model_8_bit_load(&method, &state, &a, &b, &c, &d, &e, &f, &g)) { return 1; }
    return (int)cortado_execute_with(&method, inputs, 1, NULL, 0);
}
";
    build(&folder, "main.c", "c11", main).unwrap();
    build(&folder, "main.cc", "c++11", main).unwrap();
}

#[test]
fn nothing_of_the_users_is_overwritten() {
    let folder = folder("c-header-foreign");
    let (pte, header) = (folder.join("model.pte"), folder.join("model.h"));
    std::fs::write(&header, "/* mine */").unwrap();
    let output = compile("tiny_linear", &pte, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("--c-header"), "{}", said(&output));
    assert!(!pte.exists(), "a refused command leaves nothing behind");
    assert_eq!(std::fs::read_to_string(&header).unwrap(), "/* mine */");
    std::fs::remove_file(&header).unwrap();
    for _ in 0..2 {
        assert!(compile("tiny_linear", &pte, &[]).status.success());
    }
    let output = compile("tiny_linear", &folder.join("it.h"), &["--no-module"]);
    assert!(said(&output).contains("overwritten by the header"), "{}", said(&output));
    let json = folder.join("model.h");
    let output = compile("tiny_linear", &pte, &["--json", json.to_str().unwrap()]);
    assert!(said(&output).contains("the header that goes beside"), "{}", said(&output));
}
