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
    Command::new(env!("CARGO_BIN_EXE_cortado"))
        .args(["compile", testdata(&format!("models/{model}/quantized.pt2")).to_str().unwrap()])
        .args(["--target", "cortex-m4", "-o", output.to_str().unwrap()])
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
    let (mut state, mut arena) = (digits::State::new(), digits::Arena::new());
    let mut method = digits::load(&mut state.0, &mut arena).unwrap();
    let input = [0.5 as digits::Input0Element; digits::INPUT0_COUNT];
    method.set_input(0, &input).unwrap();
    method.execute().unwrap();
    let scores = method.output::<digits::Output0Element>(0).unwrap();
    assert_eq!(scores.len(), digits::OUTPUT0_COUNT);
    assert_eq!(digits::OUTPUT0_SHAPE, [1, 10]);
    assert!(digits::STACK_BYTES > 0);
    println!(\"{} scores\", scores.len());
}
";
    let good = build(&folder, main);
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert_eq!(text(&good.stdout), "10 scores\n");

    let small = main.replace("digits::Arena::new()", "cortado_runtime::Aligned::<16>::new()");
    let small = build(&folder, &small);
    assert!(text(&small.stderr).contains("the arena is too small"), "{}", text(&small.stderr));
    let small = main.replace("digits::State::new()", "([0u32; 3],)");
    let small = build(&folder, &small);
    assert!(text(&small.stderr).contains("the state is too small"), "{}", text(&small.stderr));

    // Another program under the same name is found out as well.
    let other = folder.join("src/other.pte");
    assert!(compile("tiny_linear", &other, &["--no-module"]).status.success());
    assert!(!folder.join("src/other.rs").exists());
    std::fs::copy(&other, folder.join("src/digits.pte")).unwrap();
    let stale = build(&folder, main);
    assert!(text(&stale.stderr).contains("mismatched types"), "{}", text(&stale.stderr));
}

#[test]
fn banks_and_lent_memory_have_types_of_their_own() {
    let folder = folder("module-banks");
    let options = ["--memory", "dtcm=16K,sram=64K", "--lend", "inputs"];
    let output = compile("resnet8", &folder.join("src/model.pte"), &options);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let main = "mod model;
fn main() {
    let (mut state, mut dtcm, mut sram) = (model::State::new(), model::Dtcm::new(), model::Sram::new());
    let mut method = model::load(&mut state.0, &mut dtcm, &mut sram).unwrap();
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
    for (wrong, words) in
        [("sram", "NAME=BYTES"), ("sram=many", "no size"), ("sram=1K,sram=2K", "twice")]
    {
        let output = compile("resnet8", &folder.join("model.pte"), &["--memory", wrong]);
        assert!(!output.status.success() && text(&output.stderr).contains(words), "{wrong}");
    }
}
