//! The Rust module beside a compiled program: a firmware that gives it what it needs builds and runs, one that gives less does not build.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

fn testdata(file: &str) -> PathBuf {
    Path::new(PACKAGE).join("../../testdata").join(file)
}

/// A new empty folder for a test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("src")).unwrap();
    folder
}

fn compile(model: &str, output: &Path, options: &[&str]) -> Output {
    compile_for("cortex-m4", model, output, options)
}

fn compile_for(target: &str, model: &str, output: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cortado"))
        .args(["compile", testdata(&format!("models/{model}/quantized.pt2")).to_str().unwrap()])
        .args(["--target", target, "-o", output.to_str().unwrap()])
        .args(options)
        .output()
        .unwrap()
}

/// A package that depends on the runtime alone, with this `main`.
fn build(folder: &Path, main: &str) -> Output {
    let runtime = Path::new(PACKAGE).join("../runtime");
    // Tests share what they build of the runtime and run side by side, so each has an executable of its own name.
    let name = folder.file_name().unwrap().to_string_lossy();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nedition = \"2024\"\n[dependencies]\ncortado-runtime = {{ path = {:?} }}\n[workspace]\n",
        runtime.canonicalize().unwrap()
    );
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("src/main.rs"), main).unwrap();
    Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("module-target"))
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_it_says_is_enough_and_less_does_not_build() {
    let folder = folder("module");
    let output = compile("digits_mlp", &folder.join("src/digits.pte"), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let main = "mod digits;
fn main() {
    let mut arena = digits::Arena::new();
    let mut method = digits::link(&mut arena);
    let input = [0.5 as digits::Input0Element; digits::INPUT0_COUNT];
    method.set_input(0, &input).unwrap();
    method.execute().unwrap();
    let scores = method.output::<digits::Output0Element>(0).unwrap();
    assert_eq!(scores.len(), digits::OUTPUT0_COUNT);
    assert_eq!(digits::OUTPUT0_SHAPE, [1, 10]);
    assert!(digits::LINKED_STACK_BYTES > 0 && digits::LINKED_STACK_BYTES <= digits::STACK_BYTES);
    let (mut state, mut arena) = (digits::State::new(), digits::Arena::new());
    let mut loaded = digits::load(&mut state.0, &mut arena).unwrap();
    loaded.set_input(0, &input).unwrap();
    loaded.execute().unwrap();
    assert_eq!(loaded.output::<digits::Output0Element>(0).unwrap(), scores);
    println!(\"{} scores\", scores.len());
}
";
    let good = build(&folder, main);
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert_eq!(text(&good.stdout), "10 scores\n");

    let refused = |main: &str, words: &str| {
        let said = text(&build(&folder, main).stderr);
        assert!(said.contains(words), "{words}: {said}");
    };
    let small = "cortado_runtime::Aligned::<16>::new()";
    let link = |arena: &str| main.replacen("digits::Arena::new()", arena, 1);
    refused(&link(small), "the arena is too small");
    let load = "(digits::State::new(), digits::Arena::new())";
    refused(&main.replace(load, &format!("(digits::State::new(), {small})")), "arena is too small");
    refused(&main.replace("digits::State::new()", "([0u32; 3],)"), "the state is too small");

    // Another program under the same name is found out as well, of whatever length.
    let pte = folder.join("src/digits.pte");
    let good = std::fs::read(&pte).unwrap();
    let other = folder.join("src/other.pte");
    assert!(compile("tiny_linear", &other, &["--no-module"]).status.success());
    assert!(!folder.join("src/other.rs").exists());
    std::fs::copy(&other, &pte).unwrap();
    refused(main, "this module was made for another program");
    for position in [good.len() - 1, good.len() / 2, 0] {
        let mut edited = good.clone();
        edited[position] ^= 0x80;
        std::fs::write(&pte, edited).unwrap();
        refused(main, "this module was made for another program");
    }
    std::fs::write(&pte, &good).unwrap();

    // A module that another version of the compiler made, and one that was edited.
    let module = folder.join("src/digits.rs");
    let made = std::fs::read_to_string(&module).unwrap();
    let edited = |from: &str, to: &str, words: &str| {
        assert!(made.contains(from), "{from} is not in {made}");
        std::fs::write(&module, made.replace(from, to)).unwrap();
        refused(main, words);
    };
    edited("STATE_VERSION == ", "STATE_VERSION == 9", "made by another version of cortado");
    // Without the last kernel, for which something was prepared.
    let kernel = made.lines().find(|line| line.contains("(OperatorKind::DequantizePerTensor"));
    let without = made.replace(kernel.unwrap(), "").replace("[Kernel; 3]", "[Kernel; 2]");
    std::fs::write(&module, without).unwrap();
    refused(main, "the prepared state is damaged");
    let (kernel, another) =
        ("(OperatorKind::QuantizePerTensor,", "(OperatorKind::DequantizePerTensor,");
    edited(kernel, another, "the prepared state is damaged");
    std::fs::write(&module, made.as_bytes()).unwrap();
    assert!(build(&folder, main).status.success());
}

/// Every fixture: what the compiler loaded is what the firmware would load, and computes the same.
#[test]
fn linked_programs_are_loaded_programs() {
    let folder = folder("module-all");
    let mut models: Vec<String> = std::fs::read_dir(testdata("models"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| testdata(&format!("models/{name}/quantized.pt2")).exists())
        .collect();
    models.sort();
    let (mut modules, mut calls) = (String::new(), String::new());
    // One instruction set each, in turn: what is prepared does not depend on it.
    let targets = [("scalar", "cortex-m0"), ("dsp", "cortex-m4"), ("mve", "cortex-m55")];
    for (model, (isa, target)) in models.iter().zip(targets.iter().cycle()) {
        let name = format!("{model}_{isa}");
        let pte = folder.join(format!("src/{name}.pte"));
        let options: &[&str] = if *isa == "dsp" { &["--lend", "outputs"] } else { &[] };
        let output = compile_for(target, model, &pte, options);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        modules.push_str(&format!("mod {name};\n"));
        calls.push_str(&format!("    both!({name});\n"));
    }
    let count = modules.lines().count();
    let main = format!(
        "{modules}
use cortado_runtime::{{Aligned, Method}};
macro_rules! both {{
    ($module:ident) => {{{{
        // Memory of their own: each is compared after both have run.
        let mut linked_arena = Box::new($module::Arena::new());
        let linked = run($module::link(&mut linked_arena));
        let (mut state, mut arena) = (Box::new($module::State::new()), Box::new($module::Arena::new()));
        let loaded = run($module::load(&mut state.0, &mut arena).unwrap());
        assert!(linked == loaded, stringify!($module));
        let sizes = $module::LINKED.requirements().banks;
        assert_eq!(sizes.as_slice(), [$module::ARENA_BYTES as u32]);
    }}}};
}}
/// The state, the outputs and what is left in the memory that is lent.
fn run(mut method: Method<'_>) -> (Vec<u32>, Vec<Vec<u8>>) {{
    let mut random = 1u32;
    let mut next = || {{
        random = random.wrapping_mul(1664525).wrapping_add(1013904223);
        random >> 24
    }};
    for index in 0..method.input_count() {{
        let is_float = method.input_info(index).unwrap().dtype.size_bytes() == 4;
        let input = method.fill_input_bytes(index).unwrap();
        for bytes in input.chunks_mut(4) {{
            let number = (next() as f32 - 128.0) / 64.0;
            let number = if is_float {{ number.to_le_bytes() }} else {{ [next() as u8 & 1; 4] }};
            bytes.copy_from_slice(&number[..bytes.len()]);
        }}
    }}
    let mut lent: Vec<Box<Aligned<{{ 1 << 20 }}>>> =
        method.lent().map(|_| Box::new(Aligned::new())).collect();
    let sizes: Vec<usize> = method.lent().map(|info| info.size_bytes().unwrap() as usize).collect();
    let mut outputs: Vec<&mut [u8]> =
        lent.iter_mut().zip(&sizes).map(|(memory, size)| &mut memory.0[..*size]).collect();
    method.execute_with(&[], &mut outputs).unwrap();
    let lent = outputs.iter().map(|output| output.to_vec());
    let own = (0..method.output_count())
        .filter(|index| !method.is_output_lent(*index))
        .map(|index| method.output_bytes(index).unwrap().to_vec());
    (method.state().to_vec(), lent.chain(own).collect())
}}
fn main() {{
    std::thread::Builder::new().stack_size(64 << 20).spawn(all).unwrap().join().unwrap();
}}
fn all() {{
{calls}    println!(\"{{}} programs\", {count});
}}
"
    );
    let built = build(&folder, &main);
    assert_eq!(text(&built.stdout), format!("{count} programs\n"), "{}", text(&built.stderr));
    assert!(count >= 25, "{count} programs");
}

#[test]
fn banks_and_lent_memory_have_types_of_their_own() {
    let folder = folder("module-banks");
    let options = ["--memory", "dtcm=16K,sram=64K", "--lend", "inputs"];
    let output = compile("resnet8", &folder.join("src/model.pte"), &options);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let main = "mod model;
fn main() {
    let (mut dtcm, mut sram) = (model::Dtcm::new(), model::Sram::new());
    let mut method = model::link(&mut dtcm, &mut sram);
    let input = model::Input0Memory::new();
    method.execute_with(&[&input.0], &mut []).unwrap();
    println!(\"{}\", method.output::<f32>(0).unwrap().len());
}
";
    let built = build(&folder, main);
    assert_eq!(text(&built.stdout), "10\n", "{}", text(&built.stderr));
}

#[test]
fn banks_may_have_any_name() {
    let folder = folder("module-names");
    let options = ["--memory", "a=8K,A-b=8K,a_b=8K,1=8K,input0=8K,result=8K,for=8K,_=64K"];
    let output = compile("resnet8", &folder.join("src/model.pte"), &options);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let main = "mod model;
fn main() {
    let (mut state, mut a, mut a_b, mut a_b_bank) =
        (model::State::new(), model::A::new(), model::AB::new(), model::ABBank::new());
    let (mut one, mut input, mut result) =
        (model::Bank1::new(), model::Input0Bank::new(), model::ResultBank::new());
    let (mut four, mut last) = (model::ForBank::new(), model::Bank::new());
    let method = model::load(
        &mut state.0, &mut a, &mut a_b, &mut a_b_bank, &mut one, &mut input, &mut result, &mut four, &mut last,
    );
    println!(\"{}\", method.unwrap().input_count());
}
";
    let built = build(&folder, main);
    assert_eq!(text(&built.stdout), "1\n", "{}", text(&built.stderr));
    let small =
        build(&folder, &main.replace("model::A::new()", "cortado_runtime::Aligned::<16>::new()"));
    assert!(text(&small.stderr).contains("bank a is too small"), "{}", text(&small.stderr));
}

#[test]
fn nothing_is_written_over_what_was_just_written_or_read() {
    let folder = folder("module-twice");
    let path = |name: &str| folder.join(name);
    let refused = |output: &str, json: Option<&str>, words: &str| {
        let json = json.map(|name| path(name).to_str().unwrap().to_owned());
        let options: Vec<&str> = json.iter().flat_map(|json| ["--json", json]).collect();
        let said = compile("tiny_linear", &path(output), &options);
        assert_eq!(said.status.code(), Some(1), "{output} {json:?}");
        let said = text(&said.stderr);
        assert!(said.contains(words), "{said}");
        assert!(!path(output).exists(), "a refused command leaves nothing behind");
    };
    refused("model.pte", Some("src/../model.pte"), "the program and the report would be one file");
    refused("model.pte", Some("model.rs"), "the module that goes beside");
    refused("model.rs", None, "the program would be overwritten by the module");
    refused("model.json", None, "the program would be overwritten by the report");
    std::fs::create_dir(path("folder.json")).unwrap();
    refused("folder.pte", None, "folder.json");
    let model = path("model.pt2");
    std::fs::copy(testdata("models/tiny_linear/quantized.pt2"), &model).unwrap();
    let before = std::fs::read(&model).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cortado"))
        .args([
            "compile",
            model.to_str().unwrap(),
            "--target",
            "cortex-m4",
            "-o",
            model.to_str().unwrap(),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("over the model"), "{}", text(&output.stderr));
    assert!(std::fs::read(&model).unwrap() == before);
    // The report's own place is no conflict.
    let json = path("model.json");
    assert!(
        compile("tiny_linear", &path("model.pte"), &["--json", json.to_str().unwrap()])
            .status
            .success()
    );
}

#[test]
fn files_of_the_users_are_not_overwritten() {
    let folder = folder("module-foreign");
    let (pte, json) = (folder.join("model.pte"), folder.join("model.json"));
    std::fs::write(&json, "{\"mine\": true}").unwrap();
    let output = compile("tiny_linear", &pte, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--no-module"), "{}", text(&output.stderr));
    assert!(!pte.exists(), "a refused command leaves nothing behind");
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "{\"mine\": true}");
    std::fs::remove_file(&json).unwrap();
    let missing = folder.join("missing/report.json");
    let output = compile("tiny_linear", &pte, &["--json", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!pte.exists(), "a program without its report is left behind");
    for _ in 0..2 {
        assert!(compile("tiny_linear", &pte, &[]).status.success());
    }
}

#[test]
fn what_does_not_fit_is_said_with_numbers() {
    let folder = folder("module-small");
    let output = compile("resnet8", &folder.join("model.pte"), &["--memory", "dtcm=16K,sram=24K"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    for words in [
        "bank `sram` has 24576 bytes",
        "bytes short",
        "most is live during `conv2d_2`: 49728 bytes",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(said.contains("--lend inputs,outputs"), "{said}");
    let options = ["--memory", "sram=1K", "--lend", "inputs,outputs"];
    let said = text(&compile("resnet8", &folder.join("model.pte"), &options).stderr);
    assert!(
        said.contains("bytes short") && !said.contains("--lend"),
        "what was done is no help: {said}"
    );
    let nine: Vec<String> = (0..9).map(|index| format!("bank{index}=1K")).collect();
    for (wrong, words) in [
        ("sram", "NAME=BYTES"),
        ("sram=many", "no size"),
        ("sram=1K,sram=2K", "twice"),
        (&nine.join(","), "at most 8"),
    ] {
        let output = compile("resnet8", &folder.join("model.pte"), &["--memory", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(text(&output.stderr).contains(words), "{wrong}: {}", text(&output.stderr));
    }
}
