//! Where in the user's code an operation comes from.

use serde::Serialize;
use std::fmt;

/// Where in the user's code an operation comes from.
///
/// Displays as the innermost line of the user's own code (`model.py:12, in forward: return self.fc(x)`), else as the
/// module that the operation belongs to (``module `fc` (Linear)``), else as the node's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceLocation {
    /// The calls that led to the operation, outermost first, without those inside of torch.
    pub frames: Vec<Frame>,
    /// The innermost module.
    pub module: Option<Module>,
    /// The node's name.
    pub node: String,
}

/// A line of the user's code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// The path of the file on the machine that exported the model.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The function that the line is in.
    pub function: String,
    /// The text of the line, where the trace has it.
    pub code: Option<String>,
}

/// A module of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Module {
    /// The path from the model, such as `layers.0`; empty for the model itself.
    pub path: String,
    /// The class with its Python module, such as `torch.nn.modules.linear.Linear`.
    pub class: String,
}

impl SourceLocation {
    /// Reads what torch stores with a node: the text of a traceback, and the stack of modules.
    pub(super) fn new(
        node: &str,
        stack_trace: Option<&str>,
        nn_module_stack: Option<&str>,
    ) -> Self {
        let mut frames = stack_trace.map(frames).unwrap_or_default();
        frames.retain(|frame| !is_inside_torch(&frame.file));
        let module = nn_module_stack.and_then(innermost_module);
        SourceLocation { frames, module, node: node.to_owned() }
    }

    /// The innermost line of the user's own code.
    pub fn line(&self) -> Option<&Frame> {
        self.frames.last()
    }
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line(), &self.module) {
            (Some(frame), _) => frame.fmt(f),
            (None, Some(module)) => module.fmt(f),
            (None, None) => write!(f, "node `{}`", self.node),
        }
    }
}

/// The file without its folders, line, function and code.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.rsplit(['/', '\\']).next().unwrap_or_default();
        write!(f, "{file}:{}, in {}", self.line, self.function)?;
        match &self.code {
            Some(code) => write!(f, ": {code}"),
            None => Ok(()),
        }
    }
}

/// Path, and class without its Python module.
impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.rsplit('.').next().unwrap_or_default();
        if self.path.is_empty() {
            write!(f, "the top module ({class})")
        } else {
            write!(f, "module `{}` ({class})", self.path)
        }
    }
}

/// The frames of a traceback as Python's `traceback` module writes it:
///
/// ```text
///   File "/home/user/model.py", line 12, in forward
///     return self.fc(x)
/// ```
fn frames(trace: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in trace.lines().map(str::trim) {
        if let Some(frame) = frame(line) {
            frames.push(frame);
        } else if let Some(Frame { code: code @ None, .. }) = frames.last_mut()
            && !line.is_empty()
        {
            *code = Some(line.to_owned());
        }
    }
    frames
}

fn frame(line: &str) -> Option<Frame> {
    let (file, rest) = line.strip_prefix("File \"")?.rsplit_once("\", line ")?;
    let (line, function) = rest.split_once(", in ").unwrap_or((rest, "?"));
    Some(Frame {
        file: file.to_owned(),
        line: line.parse().ok()?,
        function: function.to_owned(),
        code: None,
    })
}

/// Whether a file belongs to torch or to the packages around it that trace models, or to code made on the fly.
fn is_inside_torch(file: &str) -> bool {
    const PACKAGES: [&str; 4] = ["torch", "torchao", "executorch", "functorch"];
    if file.starts_with('<') {
        return true;
    }
    let parts: Vec<&str> = file.split(['/', '\\']).collect();
    let relative = PACKAGES.contains(&parts[0]);
    let installed = parts.windows(2).any(|pair| {
        matches!(pair[0], "site-packages" | "dist-packages") && PACKAGES.contains(&pair[1])
    });
    // A checkout of torch, imported from where it was built.
    let checkout = parts
        .windows(3)
        .any(|part| part[..2] == ["torch", "nn"] && matches!(part[2], "modules" | "functional.py"));
    relative || installed || checkout
}

/// The last module of a stack as torch writes it: `key,path,class`, separated by semicolons.
fn innermost_module(stack: &str) -> Option<Module> {
    stack.split(';').rev().find_map(|entry| {
        let (key, rest) = entry.split_once(',')?;
        let (path, class) = rest.rsplit_once(',')?;
        // Stand-ins that torch puts around and in place of the user's modules.
        let artificial = key == "_empty_nn_module_stack_from_metadata_hook"
            || class.starts_with("torch.export._trace.");
        // A module that is called again is listed as `path@1`.
        let path = match path.rsplit_once('@') {
            Some((path, count)) if count.bytes().all(|byte| byte.is_ascii_digit()) => path,
            _ => path,
        };
        (!artificial).then(|| Module { path: path.to_owned(), class: class.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"File "/home/user/model.py", line 24, in forward
    y = self.layers(self.head(x))
  File "/home/user/model.py", line 12, in forward
    return F.relu(self.fc(x))
                  ~~~~~~~^^^
  File "/home/user/venv/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 134, in forward
    return F.linear(input, self.weight, self.bias)"#;
    const STACK: &str = "L__self__,,model.Net;L__self__head,head,model.Head;\
                         L__self__head.fc,head.fc@1,torch.nn.modules.linear.Linear";

    #[test]
    fn the_users_own_line_comes_first() {
        let source = SourceLocation::new("linear", Some(TRACE), Some(STACK));
        assert_eq!(source.to_string(), "model.py:12, in forward: return F.relu(self.fc(x))");
        assert_eq!(source.frames.len(), 2);
        assert_eq!(source.frames[0].file, "/home/user/model.py");
        assert_eq!(source.frames[0].line, 24);
    }

    #[test]
    fn then_the_module_then_the_node() {
        let only_torch = &TRACE[TRACE.rfind("  File").unwrap()..];
        let source = SourceLocation::new("linear", Some(only_torch), Some(STACK));
        assert_eq!(source.to_string(), "module `head.fc` (Linear)");
        let top = SourceLocation::new("add", None, Some("L__self__,,model.Net"));
        assert_eq!(top.to_string(), "the top module (Net)");
        let wrapped = "L__self__,,torch.export._trace._non_strict_export.<locals>.Wrapper";
        let hook = "_empty_nn_module_stack_from_metadata_hook,\
                    _empty_nn_module_stack_from_metadata_hook,_empty_nn_module_stack_from_metadata_hook";
        for stack in [None, Some(wrapped), Some(hook), Some(""), Some("a,b")] {
            let source = SourceLocation::new("quantize_per_tensor", None, stack);
            assert_eq!(source.to_string(), "node `quantize_per_tensor`");
        }
    }

    #[test]
    fn odd_traces_are_read_as_far_as_they_go() {
        let display = |trace| SourceLocation::new("n", Some(trace), None).to_string();
        assert_eq!(display("File \"a.py\", line 3"), "a.py:3, in ?");
        assert_eq!(display("File \"C:\\code\\a.py\", line 3, in f"), "a.py:3, in f");
        assert_eq!(
            display("File \"a \"b\", line 1.py\", line 3, in f"),
            "a \"b\", line 1.py:3, in f"
        );
        for trace in ["", "File \"a.py", "File \"a.py\", line x, in f", "code without a frame"] {
            assert_eq!(display(trace), "node `n`");
        }
    }

    #[test]
    fn torch_is_told_from_the_user() {
        for file in [
            "/usr/lib/python3/dist-packages/torch/nn/functional.py",
            "C:\\venv\\site-packages\\torchao\\quantization\\a.py",
            "/src/pytorch/torch/nn/modules/conv.py",
            "torch/fx/passes/runtime_assert.py",
            "<eval_with_key>.7",
        ] {
            assert!(is_inside_torch(file), "{file}");
        }
        for file in [
            "/home/user/torch/model.py",
            "/venv/site-packages/timm/layers/mlp.py",
            "/venv/site-packages/torchvision/models/resnet.py",
            "model.py",
        ] {
            assert!(!is_inside_torch(file), "{file}");
        }
    }
}
