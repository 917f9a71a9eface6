//! Files that NumPy wrote (`testdata/npz`), and arbitrary and damaged ones.

use cortado_contract::DType;
use cortado_npz::{Archive, Array};
use proptest::prelude::*;
use std::path::PathBuf;

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/npz")).join(name)
}

fn read_npy(name: &str) -> Result<Array, cortado_npz::NpyError> {
    Array::read_npy(&std::fs::read(testdata(name)).unwrap())
}

#[test]
fn every_type_is_read_stored_and_deflated() {
    let archive = Archive::open(testdata("stored.npz")).unwrap();
    let names: Vec<&str> = archive.names().collect();
    let expected =
        ["u8", "i8", "i16", "i32", "i64", "f32", "f64", "flags", "fortran", "big", "größe"];
    assert_eq!(names, expected);

    let get = |name: &str| archive.get(name).unwrap();
    assert_eq!(get("u8").values::<u8>().unwrap(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(get("u8").shape(), [2, 3]);
    assert_eq!(get("i8").values::<i8>().unwrap(), [-128, 0, 127]);
    assert_eq!(get("i16").values::<i16>().unwrap(), [-32768, 32767]);
    assert_eq!(get("i32").values::<i32>().unwrap(), [-7]);
    assert_eq!(get("i32").shape(), [0usize; 0]);
    assert_eq!(get("i64").values::<i64>().unwrap(), [1 << 62, -1]);
    let floats = get("f32").values::<f32>().unwrap();
    assert_eq!(floats[..2], [0.5, f32::NEG_INFINITY]);
    assert!(floats[2].is_nan());
    assert_eq!((get("f64").dtype(), get("f64").shape()), (DType::F64, &[0, 4][..]));
    assert_eq!(get("flags").values::<bool>().unwrap(), [true, false]);
    assert_eq!(get("fortran").values::<i32>().unwrap(), (0..24).collect::<Vec<_>>());
    assert_eq!(get("big").values::<i32>().unwrap(), [1, 256, -2]);
    assert_eq!(get("größe").values::<f32>().unwrap(), [1.0]);
    assert_eq!(archive.get("x"), None);

    assert_eq!(Archive::open(testdata("deflated.npz")).unwrap(), archive);
}

#[test]
fn single_arrays_and_newer_headers_are_read() {
    let fortran = read_npy("fortran.npy").unwrap();
    assert_eq!(fortran.values::<i32>().unwrap(), (0..24).collect::<Vec<_>>());
    assert_eq!(fortran.shape(), [2, 3, 4]);
    for name in ["version-2.npy", "version-3.npy"] {
        assert_eq!(read_npy(name).unwrap().values::<i8>().unwrap(), [-128, 0, 127]);
    }
}

#[test]
fn arrays_are_written_as_numpy_writes_them() {
    let scalar = std::fs::read(testdata("scalar.npy")).unwrap();
    assert_eq!(Array::read_npy(&scalar).unwrap().to_npy(), scalar);
    let archive = Archive::open(testdata("stored.npz")).unwrap();
    for name in ["u8", "i8", "i16", "i64", "f32", "f64", "flags"] {
        let array = archive.get(name).unwrap();
        let file = array.to_npy();
        let whole = std::fs::read(testdata("stored.npz")).unwrap();
        assert!(whole.windows(file.len()).any(|window| window == file), "{name}");
    }
}

#[test]
fn unsupported_types_are_refused_by_name() {
    let message = |name| read_npy(name).unwrap_err().to_string();
    let expected = "element type `<f2` is not supported; convert the array to uint8, int8, int16, int32, int64, \
                    float32, float64 or bool";
    assert_eq!(message("float16.npy"), expected);
    assert!(message("objects.npy").starts_with("element type `|O` is not supported"));
    let records = message("records.npy");
    assert!(records.starts_with("element type `[('x', '<f4'), ('y', '<i4')]` is not"), "{records}");
}

#[test]
fn errors_name_the_member() {
    let zip = |name: &str, content: &[u8]| {
        let bytes = cortado_npz::zip::write_stored([(name, content)]).unwrap();
        Archive::read(&bytes).unwrap_err().to_string()
    };
    let content = std::fs::read(testdata("scalar.npy")).unwrap();
    assert_eq!(
        zip("input0.npy", &content[..content.len() - 1]),
        "member `input0.npy` of the .npz archive: int32 of shape [] takes 4 bytes and the file holds 3"
    );
    assert_eq!(
        zip("input0.txt", &content),
        "member `input0.txt` of the .npz archive is not named like an array, such as `x.npy`"
    );
    let error = Archive::open(testdata("missing.npz")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read `") && error.contains("missing.npz`: "), "{error}");
    assert!(Archive::read(&content).is_err());
}

#[test]
fn writing_is_atomic_and_deterministic() {
    let archive = Archive::open(testdata("deflated.npz")).unwrap();
    let folder = std::env::temp_dir().join(format!("cortado-npz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.npz");
    archive.write(&path).unwrap();
    archive.write(&path).unwrap();
    let written = std::fs::read(&path).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(written, archive.to_bytes().unwrap());
    assert_eq!(Archive::read(&written).unwrap(), archive);
}

#[test]
fn inserting_keeps_the_order() {
    let number = |value: i8| Array::from_values(vec![], &[value]).unwrap();
    let mut archive = Archive::new();
    assert!(archive.is_empty());
    assert_eq!(archive.insert("b", number(1)), None);
    assert_eq!(archive.insert("a", number(2)), None);
    assert_eq!(archive.insert("b", number(3)), Some(number(1)));
    let arrays: Vec<(&str, i8)> =
        archive.iter().map(|(name, array)| (name, array.values().unwrap()[0])).collect();
    assert_eq!(arrays, [("b", 3), ("a", 2)]);
}

#[test]
fn damage_anywhere_never_panics() {
    for name in ["stored.npz", "deflated.npz"] {
        let bytes = std::fs::read(testdata(name)).unwrap();
        for end in 0..bytes.len() {
            assert!(Archive::read(&bytes[..end]).is_err(), "{name} cut at {end}");
        }
        let mut damaged = bytes.clone();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                damaged[at] ^= flip;
                // What a byte means decides whether it matters; dates, for one, do not.
                let _ = Archive::read(&damaged);
                damaged[at] ^= flip;
            }
        }
    }
    for name in ["fortran.npy", "version-2.npy", "records.npy"] {
        let bytes = std::fs::read(testdata(name)).unwrap();
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = Array::read_npy(&damaged);
            }
        }
    }
}

/// Any array of up to four short axes.
fn arrays() -> impl Strategy<Value = Array> {
    let shape = prop::collection::vec(0usize..5, 0..4);
    (prop::sample::select(DType::ALL.to_vec()), shape).prop_flat_map(|(dtype, shape)| {
        let bytes = shape.iter().product::<usize>() * dtype.size_bytes() as usize;
        let most = if dtype == DType::Bool { 1u8 } else { 255 };
        prop::collection::vec(0..=most, bytes)
            .prop_map(move |bytes| Array::new(dtype, shape.clone(), bytes).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn archives_round_trip(members in prop::collection::btree_map(".{0,12}", arrays(), 0..5)) {
        let mut archive = Archive::new();
        for (name, array) in members {
            archive.insert(name, array);
        }
        let bytes = archive.to_bytes().unwrap();
        prop_assert_eq!(Archive::read(&bytes).unwrap(), archive);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Archive::read(&bytes);
        let header = [b"\x93NUMPY\x01\x00".as_slice(), &bytes].concat();
        let _ = Array::read_npy(&header);
    }
}
