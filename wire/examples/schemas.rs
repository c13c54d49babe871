//! Prints every schema, a field per line, or writes random messages of every API and version into a folder.
//! `tests/against_kafka/run` compares both with Kafka itself.
//!
//! `schemas print` or `schemas generate FOLDER COUNT`.

#[path = "../tests/generate/mod.rs"]
mod generate;

use std::path::Path;

use corelog_wire::message::{FieldSchema, FieldType, VersionRange};

fn type_name(ty: FieldType) -> String {
    match ty {
        FieldType::Bool => "bool".into(),
        FieldType::Int(size) => format!("int{}", 8 * size),
        FieldType::Uint16 => "uint16".into(),
        FieldType::Float64 => "float64".into(),
        FieldType::Uuid => "uuid".into(),
        FieldType::String => "string".into(),
        FieldType::Bytes => "bytes".into(),
        FieldType::Array(element) => format!("[]{}", type_name(*element)),
        FieldType::Struct { name, .. } => name.into(),
    }
}

fn range(versions: VersionRange) -> String {
    match versions {
        VersionRange::NONE => "none".into(),
        VersionRange { min, max: i16::MAX } => format!("{min}+"),
        VersionRange { min, max } => format!("{min}-{max}"),
    }
}

fn print_fields(path: &str, fields: &[FieldSchema]) {
    for field in fields {
        let name = field.name.split_once('.').map_or(field.name, |(_, name)| name);
        let tag = field.tag.map_or("none".into(), |tag| tag.to_string());
        let default = if field.default.is_empty() { "none" } else { field.default };
        let columns =
            [type_name(field.ty), range(field.versions), range(field.nullable), tag, field.ignorable.to_string()];
        println!("{path}.{name}\t{}\t{default}", columns.join("\t"));
        let inner = match field.ty {
            FieldType::Array(element) => *element,
            other => other,
        };
        if let FieldType::Struct { fields, .. } = inner {
            print_fields(&format!("{path}.{name}"), fields);
        }
    }
}

fn generate_into(folder: &Path, count: u64) -> std::io::Result<()> {
    for (entry, version) in generate::every_version() {
        for number in 0..count {
            // A fixed sequence (splitmix64), so that a failure can be repeated.
            let mut state = number;
            let choices: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) as u8
            })
            .take(if number == 0 { 0 } else { 400 })
            .collect();
            let bytes = generate::generate(&entry, version, &choices, false);
            std::fs::write(folder.join(format!("{}-{version}-{number}", entry.name())), bytes)?;
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["print"] => {
            for entry in generate::entries() {
                if let FieldType::Struct { name, fields } = entry.ty {
                    let (api, flexible) = (entry.api, entry.api.flexible_from);
                    println!("{name}\t{}\t{}\t{flexible}", api.key, range(api.versions));
                    print_fields(name, fields);
                }
            }
            Ok(())
        }
        ["generate", folder, count] => generate_into(Path::new(folder), count.parse().map_err(std::io::Error::other)?),
        _ => Err(std::io::Error::other("usage: schemas print | schemas generate FOLDER COUNT")),
    }
}
