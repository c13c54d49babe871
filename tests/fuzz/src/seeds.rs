//! Writes the seeds of every target into a folder each, below the folder given: random messages of every version, frames
//! around them, record batches of every codec, compressed bytes.
//!
//! They are made from the schemas at every run, so that a new version has seeds without anybody thinking of it.

use std::path::Path;

use corelog_fuzz::generate::{every_version, generate};
use corelog_wire::compression::{Compression, compress};
use corelog_wire::record_batch::{BatchBuilder, NewRecord};

const SEEDS_PER_VERSION: u8 = 3;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).ok_or_else(|| std::io::Error::other("usage: seeds FOLDER"))?;
    let folder = Path::new(&folder);
    for (entry, version) in every_version() {
        for number in 0..SEEDS_PER_VERSION {
            let choices: Vec<u8> =
                (0..200_u32).map(|index| (index * 73 + index / 7 * u32::from(number)) as u8 | number).collect();
            let bytes = generate(&entry, version, &choices, number == 1);
            let target = snake_case(&entry.name());
            write(folder, &target, &format!("v{version}-{number}"), &[&[version as u8], &bytes[..]].concat())?;
            if !entry.is_of_api() {
                // In front of a key stands what it is of, in front of anything else its version.
                let front = if target.ends_with("_key") { entry.api.key } else { version };
                let bytes = [&front.to_be_bytes()[..], &bytes].concat();
                write(folder, "with_version_in_front", &format!("{target}-v{version}-{number}"), &bytes)?;
            }
            if entry.is_request {
                let header = [entry.api.key.to_be_bytes(), version.to_be_bytes()].concat();
                let flexible: &[u8] = if entry.api.is_flexible(version) { &[0] } else { &[] };
                let frame = [&header[..], &[0, 0, 0, 1, 0, 1, b'c'], flexible, &bytes].concat();
                let frame = [&(frame.len() as u32).to_be_bytes()[..], &frame].concat();
                write(folder, "request_frame", &format!("{target}-v{version}-{number}"), &frame)?;
            }
        }
    }
    let text = b"what is compressed should repeat, repeat, repeat itself".repeat(4);
    for compression in Compression::ALL {
        write(folder, "record_batches", compression.name(), &batch(compression))?;
        if compression == Compression::None {
            continue;
        }
        let mut compressed = Vec::new();
        compress(compression, None, &text, &mut compressed);
        write(folder, &format!("codec_{compression}"), "text", &compressed)?;
    }
    let two = [batch(Compression::None), batch(Compression::Zstd)].concat();
    write(folder, "record_batches", "two", &two)
}

fn batch(compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(compression, None).producer(7, 1, 5).base_offset(100);
    for number in 0..3_u8 {
        builder.append(&NewRecord {
            timestamp: 1_700_000_000_000 + i64::from(number),
            key: (number > 0).then_some(&[b'k', number]),
            value: Some(b"value value value"),
            headers: &[(b"header", Some(b"x")), (b"null", None)],
        });
    }
    builder.build()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

fn write(folder: &Path, target: &str, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let folder = folder.join(target);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), bytes)
}
