//! Packing golden vectors from JSON into a stream.

use super::{ALIGNMENT, MAGIC, PARAMETER};
use serde_json::Value;
use std::format;
use std::string::String;
use std::vec::Vec;

/// Packs the cases of several JSON files, one text each.
///
/// # Errors
/// What is not as the files' README says.
pub fn pack(files: &[String]) -> Result<Vec<u8>, String> {
    let mut stream = MAGIC.to_vec();
    for file in files {
        let json: Value = serde_json::from_str(file).map_err(|error| format!("{error}"))?;
        let operation = json["op"].as_str().ok_or("a file has no `op`")?;
        for case in json["cases"].as_array().ok_or("a file has no `cases`")? {
            pack_case(&mut stream, operation, case)
                .ok_or_else(|| format!("{operation}: {}", case["name"]))?;
        }
    }
    Ok(stream)
}

fn pack_case(stream: &mut Vec<u8>, operation: &str, case: &Value) -> Option<()> {
    let start = stream.len();
    stream.extend([0; 4]);
    text(stream, operation)?;
    text(stream, case["name"].as_str()?)?;
    numbers(stream, "", &case["params"])?;
    numbers(stream, "scratch_bytes", &case["scratch_bytes"])?;
    for group in ["inputs", "expected", "reference"] {
        let Some(tensors) = case[group].as_object() else { continue };
        for (name, tensor) in tensors.iter().filter(|(_, tensor)| !tensor.is_null()) {
            let (size, data) = elements(tensor)?;
            entry(stream, &format!("{group}.{name}"), size, &data)?;
        }
    }
    let length = stream.len() - start - 4;
    stream[start..start + 4].copy_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    Some(())
}

fn numbers(stream: &mut Vec<u8>, path: &str, value: &Value) -> Option<()> {
    let join = |name: &str| if path.is_empty() { name.into() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => {
            members.iter().try_for_each(|(name, value)| numbers(stream, &join(name), value))
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| numbers(stream, &join(&format!("{index}")), value)),
        Value::Bool(value) => entry(stream, path, PARAMETER, &i32::from(*value).to_le_bytes()),
        Value::Number(value) => {
            let value = i32::try_from(value.as_i64()?).ok()?;
            entry(stream, path, PARAMETER, &value.to_le_bytes())
        }
        Value::Null | Value::String(_) => Some(()),
    }
}

fn elements(tensor: &Value) -> Option<(u8, Vec<u8>)> {
    let size = match tensor["dtype"].as_str()? {
        "i8" => 1,
        "i16" => 2,
        "i32" => 4,
        "i64" => 8,
        _ => return None,
    };
    let data = tensor["data"].as_array()?;
    let bytes: Option<Vec<[u8; 8]>> =
        data.iter().map(|value| Some(value.as_i64()?.to_le_bytes())).collect();
    Some((
        size,
        bytes?.iter().flat_map(|bytes| bytes[..usize::from(size)].iter().copied()).collect(),
    ))
}

fn entry(stream: &mut Vec<u8>, path: &str, tag: u8, content: &[u8]) -> Option<()> {
    text(stream, path)?;
    stream.push(tag);
    stream.extend(u32::try_from(content.len()).ok()?.to_le_bytes());
    let padding = (stream.len() + 1).next_multiple_of(ALIGNMENT) - (stream.len() + 1);
    stream.push(padding as u8);
    stream.extend(std::iter::repeat_n(0, padding));
    stream.extend(content);
    Some(())
}

fn text(stream: &mut Vec<u8>, text: &str) -> Option<()> {
    stream.push(u8::try_from(text.len()).ok()?);
    stream.extend(text.as_bytes());
    Some(())
}
