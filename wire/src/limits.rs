//! The bounds of the wire format that do not depend on a configuration.
//!
//! Counts and lengths inside a message need no bound of their own: each is checked against the bytes left in its frame,
//! and a frame is bounded by [`FRAME_BYTES_MAX_DEFAULT`] or what the broker is configured with. Messages nest as deep as
//! their schema says and no deeper, since no schema is recursive.

/// Bytes of the length that stands in front of every frame.
pub const FRAME_PREFIX_BYTES: usize = 4;

/// The largest frame a broker takes unless configured otherwise (`socket.request.max.bytes`), without its prefix.
pub const FRAME_BYTES_MAX_DEFAULT: usize = 104_857_600;

/// The longest string of the protocol in bytes of UTF-8. Kafka keeps the limit of the old two-byte length in flexible
/// versions too, where the length itself could say more.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// The longest unsigned or zigzag 32-bit varint.
pub const VARINT32_BYTES_MAX: usize = 5;

/// The longest zigzag 64-bit varint.
pub const VARINT64_BYTES_MAX: usize = 10;

/// The smallest request header: key, version, correlation id (header version 0).
pub const REQUEST_HEADER_BYTES_MIN: usize = 8;

/// What an encoder reserves for the small fields of a message before it knows better.
pub(crate) const ENCODER_CAPACITY: usize = 512;

/// What a compressed batch may unfold to unless configured otherwise.
pub const DECOMPRESSED_BATCH_BYTES_MAX_DEFAULT: usize = 64 << 20;

/// How many records a producer's batch may have unless configured otherwise.
pub const BATCH_RECORDS_MAX_DEFAULT: usize = 1 << 20;

/// How many bad records the refusal of a batch names at most.
pub const RECORD_ERRORS_MAX: usize = 100;

/// The window through which compressed records are read, on the stack.
pub(crate) const RECORD_WINDOW_BYTES: usize = 16 * 1024;

/// The most that decompressed bytes kept in memory grow by at once.
pub(crate) const DECOMPRESSED_PIECE_BYTES_MAX: usize = 4 << 20;

const _: () = assert!(RECORD_WINDOW_BYTES >= VARINT64_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX_DEFAULT <= i32::MAX as usize);
const _: () = assert!(VARINT32_BYTES_MAX * 7 >= 32 && VARINT64_BYTES_MAX * 7 >= 64);
