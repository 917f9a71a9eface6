//! The page: what must be on it, what must not, and how it reads for a small program.

use cortado_compiler::import::ExportedProgram;
use cortado_compiler::{Compiled, compile};
use cortado_contract::{Cpu, Target};
use cortado_pte::owned::{
    Allocation, Chain, Delegate, Frame, Instruction, NamedData, Operator, Plan, Program,
    ScalarType, ShapeDynamism, Tensor, Value,
};
use cortado_pte::{WriteOptions, write};
use cortado_report::{Access, Profile, ProfiledOperator, ReadError, Report, Request, Severity};
use std::path::{Path, PathBuf};

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path)
}

fn compiled(model: &str, cpu: Cpu) -> Compiled {
    let bytes = std::fs::read(testdata(&format!("models/{model}/quantized.pt2"))).unwrap();
    compile(&ExportedProgram::read(&bytes).unwrap(), Target::new(cpu)).unwrap()
}

fn request<'a>(title: &'a str, file: &'a [u8]) -> Request<'a> {
    Request {
        title,
        file,
        compiled: None,
        verdicts: Vec::new(),
        state_bytes: None,
        profiles: Vec::new(),
        plan_seconds: 0.1,
    }
}

fn report(title: &str, file: &[u8]) -> Report {
    Report::read(request(title, file)).unwrap()
}

/// A start tag, an end tag, or a text.
#[derive(Debug, PartialEq)]
enum Token<'p> {
    Start(&'p str, Vec<(&'p str, &'p str)>),
    End(&'p str),
    Text(&'p str),
}

/// The tokens of a page as this crate writes them: attributes in double quotes, `<` only where a tag begins.
fn tokens(page: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("a document type");
    while !rest.is_empty() {
        let Some(inner) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            tokens.push(Token::Text(&rest[..end]));
            rest = &rest[end..];
            continue;
        };
        if let Some(end_tag) = inner.strip_prefix('/') {
            let end = end_tag.find('>').unwrap();
            tokens.push(Token::End(&end_tag[..end]));
            rest = &end_tag[end + 1..];
            continue;
        }
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let end = inner.find(|letter| !is_name(letter)).unwrap();
        let (name, mut tail) = inner.split_at(end);
        assert!(!name.is_empty(), "a `<` that begins no tag: {:.60}", rest);
        let mut attributes: Vec<(&str, &str)> = Vec::new();
        while let Some(attribute) = tail.strip_prefix(' ') {
            let end = attribute.find(['=', '>', ' ']).unwrap();
            let (key, after) = attribute.split_at(end);
            assert!(attributes.iter().all(|(known, _)| *known != key), "{key} twice: {:.90}", rest);
            let Some(quoted) = after.strip_prefix("=\"") else {
                attributes.push((key, ""));
                tail = after;
                continue;
            };
            let end = quoted.find('"').unwrap();
            attributes.push((key, &quoted[..end]));
            tail = &quoted[end + 1..];
        }
        rest = tail.strip_prefix('>').unwrap_or_else(|| panic!("an open tag: {:.90}", rest));
        tokens.push(Token::Start(name, attributes));
    }
    tokens
}

/// What every page must keep to: balanced tags, no scripts, nothing from elsewhere, anchors that lead somewhere, ids that are unique.
fn check(page: &str) -> Vec<Token<'_>> {
    const VOID: [&str; 3] = ["meta", "br", "link"];
    const ELEMENTS: &[&str] = &[
        "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav",
        "section", "div", "span", "p", "a", "ul", "ol", "li", "dl", "dt", "dd", "h1", "h2", "h3",
        "bdi", "strong", "small", "code", "br", "i", "table", "thead", "tbody", "tfoot", "tr",
        "th", "td", "details", "summary", "figure", "svg", "path", "rect", "text",
    ];
    let tokens = tokens(page);
    let mut open: Vec<&str> = Vec::new();
    let mut ids: Vec<&str> = Vec::new();
    let mut anchors: Vec<&str> = Vec::new();
    for token in &tokens {
        match token {
            Token::Start(name, attributes) => {
                assert!(ELEMENTS.contains(name), "an element that no template has: {name}");
                for (key, value) in attributes {
                    assert!(!key.starts_with("on"), "{key} on {name}");
                    assert!(!["src", "srcset", "xlink:href"].contains(key), "{key} on {name}");
                    match *key {
                        "href" => anchors.push(value.strip_prefix('#').expect("an anchor")),
                        "id" => ids.push(value),
                        _ => {}
                    }
                }
                if !VOID.contains(name) {
                    open.push(name);
                }
            }
            Token::End(name) => assert_eq!(open.pop(), Some(*name)),
            Token::Text(_) => {}
        }
    }
    assert!(open.is_empty(), "{open:?}");
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an id twice");
    for anchor in anchors {
        assert!(ids.binary_search(&anchor).is_ok(), "nothing has the id {anchor}");
    }
    assert!(!page.contains("://") && !page.contains("url("), "nothing from elsewhere");
    assert!(page.contains("Content-Security-Policy"));
    tokens
}

/// Holds a page against its report: every buffer to scale, every layer, and sums that are right.
fn check_content(report: &Report, page: &str) {
    let tokens = check(page);
    let memory = &report.memory;
    let rects = tokens.iter().filter_map(|token| match token {
        Token::Start("rect", attributes) => {
            let get = |name: &str| attributes.iter().find(|(key, _)| *key == name);
            let number = |name: &str| get(name).unwrap().1.parse::<f64>().unwrap();
            let index: usize = get("data-buffer")?.1.parse().unwrap();
            Some((index, number("width"), number("height")))
        }
        _ => None,
    });
    let drawn: Vec<(usize, f64, f64)> = rects.collect();
    let visible: Vec<usize> =
        (0..memory.buffers.len()).filter(|at| memory.buffers[*at].size_bytes > 0).collect();
    assert_eq!(drawn.iter().map(|it| it.0).collect::<Vec<_>>(), visible);
    let largest = visible.iter().max_by_key(|at| memory.buffers[**at].size_bytes);
    if let Some(largest) = largest {
        let height = drawn.iter().find(|it| it.0 == *largest).unwrap().2;
        let per_byte = height / memory.buffers[*largest].size_bytes as f64;
        for (index, _, height) in &drawn {
            let expected = (memory.buffers[*index].size_bytes as f64 * per_byte).max(1.0);
            assert!((height - expected).abs() < 0.2, "buffer {index}: {height} for {expected}");
        }
    }
    for index in 0..report.layers.len() {
        assert!(page.contains(&format!("id=\"layer-{index}\"")), "layer {index}");
    }
    let constants: u64 = report.flash.layers.iter().map(|it| it.total()).sum();
    assert_eq!(constants + report.flash.dead_bytes + report.flash.program_bytes, report.file_bytes);
    let most = memory.live_bytes.iter().max().copied().unwrap_or(0);
    assert_eq!(memory.live_bytes[memory.peak], most);
    assert!(most <= memory.arena_bytes());
}

#[test]
fn every_file_of_executorchs_has_a_page() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(testdata("pte-upstream"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "pte"))
        .collect();
    files.sort();
    assert!(files.len() > 50);
    for path in files {
        let title = path.file_name().unwrap().to_str().unwrap();
        let report = report(title, &std::fs::read(&path).unwrap());
        check_content(&report, &report.page());
    }
}

#[test]
fn memory_is_the_plans() {
    for (model, cpu) in
        [("resnet8", Cpu::M55), ("mobilenet_v2_035", Cpu::M4), ("op_encoder_layer", Cpu::M0)]
    {
        let compiled = compiled(model, cpu);
        let report =
            Report::read(Request { compiled: Some(&compiled), ..request(model, &compiled.pte) })
                .unwrap();
        check_content(&report, &report.page());
        let plan = &compiled.plan;
        assert_eq!(report.memory.arena_bytes(), plan.arena_bytes, "{model}");
        assert_eq!(report.memory.live_bytes, plan.live_bytes(compiled.scheduled.calls.len()));
        assert_eq!(report.memory.lower_bound_bytes, Some(plan.lower_bound_bytes), "{model}");
        let planned = plan.placements.iter().filter(|it| it.size_bytes > 0);
        let mut planned: Vec<_> = planned
            .map(|it| (it.first, it.last, it.offset_bytes, it.size_bytes, it.over.is_some()))
            .collect();
        let shown = report.memory.buffers.iter().filter(|it| it.size_bytes > 0);
        let mut shown: Vec<_> = shown
            .map(|it| (it.first, it.last, it.offset_bytes, it.size_bytes, it.over.is_some()))
            .collect();
        planned.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, planned, "{model}");
    }
}

#[test]
fn an_exported_program_adds_names_source_lines_and_scales() {
    let compiled = compiled("resnet8", Cpu::M55);
    let bare = report("r", &compiled.pte);
    let full =
        Report::read(Request { compiled: Some(&compiled), ..request("r", &compiled.pte) }).unwrap();
    assert_eq!(full.layers[1].node.as_deref(), Some("conv2d"));
    assert!(full.layers[1].source.as_ref().is_some_and(|source| source.contains("entry.0")));
    assert_eq!(bare.layers[1].node, None);
    let scaled = |report: &Report| {
        let written = report.layers.iter().flat_map(|layer| &layer.operands);
        let written = written.filter(|operand| operand.access == Access::Write);
        written.filter(|it| report.tensors[it.tensor].scale.is_some()).count()
    };
    assert_eq!(scaled(&full), full.layers.len() - 1, "all but the result in float");
    assert!(scaled(&bare) < scaled(&full));
}

#[test]
fn the_page_of_a_small_program_reads_as_it_should() {
    let file = std::fs::read(testdata("pte-upstream/tiny_linear-m55.pte")).unwrap();
    let report = report("tiny_linear-m55.pte", &file);
    let page = report.page();
    assert_eq!(page, report.clone().page(), "the same bytes each time");
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    // One element a line, so that a difference can be read.
    let text = format!("{head}{body}").replace("><", ">\n<");
    let snapshot =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/tiny_linear-m55.html");
    if std::env::var_os("CORTADO_BLESS").is_some() {
        std::fs::write(&snapshot, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&snapshot).unwrap();
    assert!(
        text == expected,
        "the page differs from {}; CORTADO_BLESS=1 writes it anew",
        snapshot.display()
    );
}

/// The picture in the README.
#[test]
fn the_picture_of_a_plan_is_true() {
    let compiled = compiled("resnet8", Cpu::M55);
    let picture = report("resnet8.pte", &compiled.pte).memory_chart().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/memory-plan.svg");
    if std::env::var_os("CORTADO_BLESS").is_some() {
        std::fs::write(&path, &picture).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(picture == expected, "docs/memory-plan.svg is another; CORTADO_BLESS=1 writes it anew");
}

#[test]
fn float_islands_and_transposes_are_found() {
    let compiled = compiled("op_encoder_layer", Cpu::M4);
    let report = report("encoder", &compiled.pte);
    let find = |words: &str| report.findings.iter().find(|it| it.title.contains(words)).unwrap();
    let islands = find("float island");
    assert_eq!(islands.severity, Severity::Warning);
    assert!(islands.remedy.as_ref().unwrap().contains("--deny-float"));
    let computing = islands.layers.iter().filter(|at| report.layers[**at].computes_float).count();
    assert_eq!(computing, report.layers.iter().filter(|it| it.computes_float).count());
    let transposes = find("transposes left over");
    assert!(transposes.layers.iter().all(|at| report.layers[*at].is_transpose));
    let page = report.page();
    assert!(page.contains("row is-warning"));
}

const HOSTILE: &str =
    "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;</style>\u{202e}\u{0}";

fn tensor(shape: &[i32], offset: u64) -> Value {
    Value::Tensor(Tensor {
        allocation: Some(Allocation { memory_id: 1, offset }),
        ..Tensor::new(ScalarType::CHAR, shape)
    })
}

/// A program with whatever Cortado does not have, and names that want to be markup.
fn hostile() -> Vec<u8> {
    let mut program = Program::default();
    let weights = program.add_constant(vec![1; 32]);
    let constant =
        Value::Tensor(Tensor { data_buffer_idx: weights, ..Tensor::new(ScalarType::CHAR, &[32]) });
    let dynamic = Value::Tensor(Tensor {
        shape_dynamism: ShapeDynamism::DynamicUnbound,
        ..Tensor::new(ScalarType(99), &[-1, i32::MAX, i32::MAX])
    });
    let frame = |text: &str| Frame { filename: text.to_owned(), lineno: -7, ..Frame::default() };
    let call = |args: &[i32]| Instruction::KernelCall { op_index: 0, args: args.to_vec() };
    program.plans.push(Plan {
        name: HOSTILE.to_owned(),
        values: vec![
            tensor(&[4, 4], 0),
            constant,
            tensor(&[4, 4], 16),
            Value::String(HOSTILE.to_owned()),
            dynamic,
            Value::TensorList(vec![0, 2, 77]),
            tensor(&[1 << 20], 0),
            Value::IntList(vec![-5, 3]),
        ],
        inputs: vec![0, 3, 99],
        outputs: vec![2, -1],
        chains: vec![
            Chain {
                instructions: vec![
                    call(&[0, 1, 3, 2, 2]),
                    call(&[]),
                    call(&[-1, 1000, 7]),
                    Instruction::KernelCall { op_index: 9, args: vec![5, 6] },
                    Instruction::DelegateCall { delegate_index: 0, args: vec![0, 2, 4] },
                    Instruction::DelegateCall { delegate_index: 5, args: vec![] },
                    Instruction::MoveCall { move_from: 0, move_to: 2 },
                    Instruction::JumpFalseCall { cond_value_index: 0, destination_instruction: 1 },
                    Instruction::FreeCall { value_index: 2 },
                ],
                stacktrace: vec![vec![frame(HOSTILE)]],
                ..Chain::default()
            },
            Chain::default(),
        ],
        operators: vec![Operator { name: format!("my::{HOSTILE}"), overload: HOSTILE.to_owned() }],
        delegates: vec![Delegate { id: HOSTILE.to_owned(), ..Delegate::default() }],
        non_const_buffer_sizes: vec![0, 64],
        ..Plan::default()
    });
    program.plans.push(Plan { name: HOSTILE.to_owned(), ..program.plans[0].clone() });
    program
        .named_data
        .push(NamedData { key: "cortado.inputs".to_owned(), data: HOSTILE.as_bytes().to_vec() });
    write(&program, &WriteOptions::default()).unwrap()
}

#[test]
fn names_in_a_file_stay_text() {
    let file = hostile();
    let report = report(HOSTILE, &file);
    assert!(report.unread.is_some());
    assert_eq!(report.layers.len(), 9);
    let page = report.page();
    check_content(&report, &page);
    for word in ["<script", "<img", "\u{202e}", "\u{0}"] {
        assert!(!page.contains(word), "{word:?}");
    }
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn a_file_with_an_operator_of_another_kind_is_shown_as_far_as_it_goes() {
    let mut file = std::fs::read(testdata("pte-upstream/ds_cnn-m4.pte")).unwrap();
    let name = b"cortex_m::pad";
    let at = file.windows(name.len()).position(|window| window == name).unwrap();
    file[at..at + 6].copy_from_slice(b"others");
    let report = report("other.pte", &file);
    assert!(report.unread.as_ref().unwrap().contains("others_m::pad.out"));
    let known =
        self::report("ours.pte", &std::fs::read(testdata("pte-upstream/ds_cnn-m4.pte")).unwrap());
    assert_eq!(report.memory.live_bytes, known.memory.live_bytes);
    assert_eq!(report.flash.program_bytes, known.flash.program_bytes);
    assert_eq!(report.tensors[report.inputs[0]].name, "input0");
    let advice = report.findings.iter().filter_map(|it| it.remedy.as_ref());
    assert!(advice.into_iter().all(|remedy| !remedy.contains("retarget")));
    check_content(&report, &report.page());
}

#[test]
fn names_in_a_file_that_can_be_read_stay_text() {
    let compiled = compiled("tiny_linear", Cpu::M4);
    let view = cortado_pte::Program::parse(&compiled.pte).unwrap();
    let mut program = Program::from_view(&view).unwrap();
    for entry in &mut program.named_data {
        if entry.key == "cortado.inputs" {
            entry.data = HOSTILE.as_bytes().to_vec();
        }
    }
    let frame = Frame { filename: HOSTILE.to_owned(), ..Frame::default() };
    program.plans[0].chains[0].stacktrace =
        vec![vec![frame]; program.plans[0].chains[0].instructions.len()];
    let banks = format!("{HOSTILE}=4096");
    program.named_data.push(NamedData { key: "cortado.banks".to_owned(), data: banks.into() });
    let file = write(&program, &WriteOptions::default()).unwrap();
    let report = report(HOSTILE, &file);
    assert_eq!(report.unread, None);
    let page = report.page();
    check_content(&report, &page);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
}

#[test]
fn a_profile_is_shown_and_one_of_another_program_refused() {
    let compiled = compiled("tiny_linear", Cpu::M4);
    let names: Vec<String> =
        report("t", &compiled.pte).layers.iter().map(|layer| layer.operator.clone()).collect();
    let operator = |name: &String| ProfiledOperator {
        operator: name.clone(),
        result: HOSTILE.to_owned(),
        instructions: 12_345,
        share: 0.25,
        macs: 10,
        instructions_per_mac: Some(1234.5),
        constant_bytes: 0,
        activation_bytes: 0,
    };
    let profile = Profile {
        cpu: "cortex-m4".to_owned(),
        isa: "dsp".to_owned(),
        board: HOSTILE.to_owned(),
        instructions: 50_000,
        load_instructions: 1,
        macs: 10,
        stack_bytes: 100,
        operators: names.iter().map(operator).collect(),
    };
    let with =
        |profiles: Vec<Profile>| Report::read(Request { profiles, ..request("t", &compiled.pte) });
    let two = with(vec![profile.clone(), Profile { cpu: HOSTILE.to_owned(), ..profile.clone() }]);
    let page = two.unwrap().page();
    check(&page);
    let sum = 12_345 * names.len() as u64;
    let (thousands, units) = (sum / 1000, sum % 1000);
    assert!(page.contains(&format!("{thousands},{units:03}")) && page.contains("50,000"));
    let mut other = profile.clone();
    other.operators[1].operator = "aten::add".to_owned();
    let error = with(vec![other]).unwrap_err();
    assert!(matches!(&error, ReadError::Profile(_)), "{error}");
    let mut short = profile;
    short.operators.pop();
    assert!(with(vec![short]).unwrap_err().to_string().contains("another program"));
}

#[test]
fn damaged_files_have_no_page_and_do_no_harm() {
    let file = std::fs::read(testdata("pte-upstream/tiny_linear-m55.pte")).unwrap();
    assert!(matches!(Report::read(request("t", &file[..100])), Err(ReadError::Format(_))));
    for at in (0..file.len()).step_by(3) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x55;
        if let Ok(report) = Report::read(request("t", &damaged)) {
            check(&report.page());
        }
    }
}

/// Contrast of the style sheet's colours, after WCAG 2: 4.5 for text, 3 for what is drawn.
#[test]
fn colours_can_be_told_apart() {
    let style = include_str!("../src/html/colours.css");
    let schemes = style.split("@media screen and (prefers-color-scheme: dark)");
    let schemes: Vec<&str> =
        schemes.take(2).map(|part| part.split_once("\n}").unwrap().0).collect();
    assert_eq!(schemes.len(), 2);
    for scheme in schemes {
        let colour = |name: &str| {
            let (_, value) = scheme.split_once(&format!("--{name}: #")).expect(name);
            let channel = |at: usize| {
                let part = u8::from_str_radix(&value[2 * at..2 * at + 2], 16).unwrap();
                let part = f64::from(part) / 255.0;
                if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2)
        };
        let contrast = |a: &str, b: &str| {
            let (a, b) = (colour(a), colour(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        let mut pairs = vec![
            ("head-ink", "head", 4.5),
            ("head-soft", "head", 4.5),
            ("good", "good-paper", 4.5),
            ("ink", "good-paper", 4.5),
            ("warn", "warn-paper", 4.5),
            ("ink", "warn-paper", 4.5),
            ("soft", "warn-paper", 4.5),
            ("on-scratch", "c-scratch", 4.5),
            ("branch", "card", 3.0),
        ];
        for text in ["ink", "soft", "accent", "warn", "good"] {
            pairs.extend([(text, "paper", 4.5), (text, "card", 4.5)]);
        }
        let fills = ["input", "convolution", "depthwise", "linear", "elementwise", "reduction"];
        let fills: Vec<String> = fills
            .into_iter()
            .chain(["movement", "float", "unknown"])
            .map(|fill| format!("c-{fill}"))
            .collect();
        for fill in &fills {
            pairs.extend([("on-fill", fill.as_str(), 4.5), (fill.as_str(), "card", 3.0)]);
        }
        for (a, b, least) in pairs {
            let found = contrast(a, b);
            assert!(found >= least, "{a} on {b}: {found:.2} of {least}");
        }
    }
}
