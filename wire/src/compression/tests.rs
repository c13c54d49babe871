use alloc::vec;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;

use std::io::Write;

use super::*;

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const MIB: usize = 1 << 20;

fn compressed(compression: Compression, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(compression, None, input, &mut out);
    out
}

/// Text-like bytes that compress somewhat.
fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * i / 7 % 61 + i / 1000 % 50) as u8).collect()
}

#[test]
fn ids_and_names() {
    for (id, compression, name) in [
        (0, Compression::None, "none"),
        (1, Compression::Gzip, "gzip"),
        (2, Compression::Snappy, "snappy"),
        (3, Compression::Lz4, "lz4"),
        (4, Compression::Zstd, "zstd"),
    ] {
        assert_eq!((compression.id(), compression.name()), (id, name));
        assert_eq!((Compression::from_id(id), Compression::from_name(name)), (Some(compression), Some(compression)));
    }
    assert_eq!(Compression::from_name("uncompressed"), Some(Compression::None));
    assert_eq!(Compression::from_name("brotli"), None);
    assert!((5..=255).all(|id| Compression::from_id(id).is_none()));
}

#[test]
fn known_bytes_decompress() {
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x05\x00\xfa\xffhello\x86\xa6\x10\x36\x05\x00\x00\x00";
    let snappy_raw = b"\x05\x10hello";
    let snappy_stream = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x07\x05\x10hello";
    let lz4 = b"\x04\x22\x4d\x18\x60\x40\x82\x05\x00\x00\x80hello\x00\x00\x00\x00";
    let zstd = b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello";
    for (compression, bytes) in [
        (Compression::None, &b"hello"[..]),
        (Compression::Gzip, gzip),
        (Compression::Snappy, snappy_raw),
        (Compression::Snappy, snappy_stream),
        (Compression::Lz4, lz4),
        (Compression::Zstd, zstd),
    ] {
        assert_eq!(decompress(compression, bytes, 5).as_deref(), Ok(&b"hello"[..]), "{compression}");
    }
}

#[test]
fn every_codec_round_trips_every_size() {
    for compression in Compression::ALL {
        for len in [0, 1, 5, 1000, 32 * 1024, 32 * 1024 + 1, 65_536, 300_000] {
            let input = sample(len);
            let output = decompress(compression, &compressed(compression, &input), len);
            assert_eq!(output.as_deref(), Ok(&input[..]), "{compression}, {len} bytes");
        }
    }
}

#[test]
fn levels_are_brought_into_range() {
    let input = sample(10_000);
    for compression in Compression::ALL {
        for level in [i32::MIN, -1, 0, 1, 9, 22, i32::MAX] {
            let mut out = Vec::new();
            compress(compression, Some(level), &input, &mut out);
            assert_eq!(decompress(compression, &out, input.len()).as_deref(), Ok(&input[..]), "{compression} {level}");
        }
    }
}

#[test]
fn output_is_bounded() {
    let bomb = vec![0; 16 * MIB];
    let mut snappy_raw = vec![0; snap::raw::max_compress_len(bomb.len())];
    let len = snap::raw::Encoder::new().compress(&bomb, &mut snappy_raw).unwrap();
    snappy_raw.truncate(len);
    let mut bombs = vec![(Compression::Snappy, snappy_raw)];
    bombs.extend(CODECS.map(|compression| (compression, compressed(compression, &bomb))));
    for (compression, bytes) in bombs {
        let too_large = |bytes_max| Err(CompressionError::TooLarge { bytes_max });
        assert_eq!(decompress(compression, &bytes, MIB), too_large(MIB), "{compression}");
        assert_eq!(decompress(compression, &bytes, bomb.len() - 1), too_large(bomb.len() - 1), "{compression}");
        assert_eq!(decompress(compression, &bytes, 0), too_large(0), "{compression}");
        assert_eq!(decompress(compression, &bytes, bomb.len()).map(|output| output.len()), Ok(bomb.len()));

        let mut reader = Reader::new(compression, &bytes, MIB);
        let mut window = [1; 4096];
        let mut produced = 0;
        let error = loop {
            match reader.read(&mut window) {
                Ok(count) => produced += count,
                Err(error) => break error,
            }
        };
        assert!(produced <= MIB, "{compression}");
        assert_eq!(error, CompressionError::TooLarge { bytes_max: MIB }, "{compression}");
        assert!(reader.read(&mut window).is_err(), "{compression}");
    }
}

#[test]
fn input_that_ends_early_or_goes_on_is_corrupt() {
    let input = sample(40_000);
    for compression in CODECS {
        let bytes = compressed(compression, &input);
        let corrupt = Err(CompressionError::Corrupt(compression));
        for len in (0..200).chain((200..bytes.len()).step_by(97)).chain(bytes.len() - 40..bytes.len()) {
            let output = decompress(compression, &bytes[..len], input.len());
            // Neither an empty input nor snappy's stream of blocks has an end of its own to miss.
            let lacks_end = len == 0 || compression == Compression::Snappy;
            if let Ok(output) = &output
                && lacks_end
            {
                assert!(output.len() < input.len(), "{compression}, {len} bytes");
            } else {
                assert_eq!(output, corrupt, "{compression}, {len} of {} bytes", bytes.len());
            }
        }
        for tail in [&b"x"[..], b"\0\0\0\0", b"some more bytes than any header has"] {
            let longer = [&bytes[..], tail].concat();
            assert_eq!(decompress(compression, &longer, 2 * input.len()), corrupt, "{compression}, tail {tail:?}");
        }
    }
}

#[test]
fn members_and_frames_may_follow_each_other_where_consumers_read_them() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let bytes = [compressed(compression, b"one "), compressed(compression, b"two")].concat();
        assert_eq!(decompress(compression, &bytes, 100).as_deref(), Ok(&b"one two"[..]));
    }
    let frame = compressed(Compression::Lz4, b"one");
    let twice = [&frame[..], &frame[..]].concat();
    assert_eq!(decompress(Compression::Lz4, &twice, 100), Err(CompressionError::Corrupt(Compression::Lz4)));
}

#[test]
fn every_kind_of_lz4_frame_is_read() {
    for (block_size, block_len) in [
        (BlockSize::Max64KB, 64 << 10),
        (BlockSize::Max256KB, 256 << 10),
        (BlockSize::Max1MB, MIB),
        (BlockSize::Max4MB, 4 * MIB),
    ] {
        let input = sample(2 * block_len + 100);
        for block_mode in [BlockMode::Independent, BlockMode::Linked] {
            for checksums in [false, true] {
                let info = FrameInfo::new()
                    .block_size(block_size)
                    .block_mode(block_mode)
                    .block_checksums(checksums)
                    .content_checksum(checksums)
                    .content_size(checksums.then_some(input.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&input).unwrap();
                let mut frame = encoder.finish().unwrap();
                assert!(decompress(Compression::Lz4, &frame, input.len()).as_deref() == Ok(&input[..]));
                if checksums {
                    *frame.last_mut().unwrap() ^= 1;
                    assert!(decompress(Compression::Lz4, &frame, input.len()).is_err());
                }
            }
        }
    }
}

#[test]
fn a_snappy_block_cannot_claim_more_than_it_can_hold() {
    // A raw block whose preamble says 4 GiB - 1, and the same inside a stream.
    let raw = b"\xff\xff\xff\xff\x0f\x10hello";
    let corrupt = Err(CompressionError::Corrupt(Compression::Snappy));
    assert_eq!(decompress(Compression::Snappy, raw, usize::MAX), corrupt);
    let mut stream = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01".to_vec();
    assert_eq!(decompress(Compression::Snappy, &stream, usize::MAX), Ok(Vec::new()));
    stream.extend_from_slice(&(raw.len() as u32).to_be_bytes());
    stream.extend_from_slice(raw);
    assert_eq!(decompress(Compression::Snappy, &stream, usize::MAX), corrupt);
    let mut negative = stream[..16].to_vec();
    negative.extend_from_slice(&[0xff; 8]);
    assert_eq!(decompress(Compression::Snappy, &negative, usize::MAX), corrupt);
    stream[15] = 2;
    assert_eq!(decompress(Compression::Snappy, &stream[..16], usize::MAX), corrupt);
}

fn any_codec() -> impl Strategy<Value = Compression> {
    prop::sample::select(&CODECS[..])
}

proptest! {
    #[test]
    fn round_trip(compression in any_codec(), input: Vec<u8>, repeat in 1usize..200, piece in 1usize..3000) {
        let input = input.repeat(repeat);
        let bytes = compressed(compression, &input);
        let mut reader = Reader::new(compression, &bytes, input.len());
        let mut output = Vec::new();
        let mut window = vec![0; piece];
        loop {
            match reader.read(&mut window).unwrap() {
                0 => break,
                count => output.extend_from_slice(&window[..count]),
            }
        }
        prop_assert!(output == input);
    }

    #[test]
    fn noise_never_panics(compression in any_codec(), noise: Vec<u8>, with_header: bool) {
        let mut input = Vec::new();
        if with_header {
            let header_len = match compression {
                Compression::Gzip => 10,
                Compression::Snappy => 16,
                Compression::Lz4 => 7,
                _ => 4,
            };
            input.extend_from_slice(&compressed(compression, b"")[..header_len.min(compressed(compression, b"").len())]);
        }
        input.extend_from_slice(&noise);
        if let Ok(output) = decompress(compression, &input, 100_000) {
            prop_assert!(output.len() <= 100_000);
        }
    }

    #[test]
    fn damage_never_panics(
        compression in any_codec(),
        len in 1usize..5000,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = compressed(compression, &sample(len));
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(output) = decompress(compression, &bytes, 10_000) {
            prop_assert!(output.len() <= 10_000);
        }
    }
}
