//! How a record is shown: a format such as kcat has it, or JSON; and how places and times are written on a command line.

use corelog_wire::record_batch::Record;
use serde_json::{Value, json};

/// What stands in a format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Headers,
}

/// A format, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format(Vec<Piece>);

/// What can stand in a format, for the help.
pub(crate) const FORMAT_HELP: &str = "\
In a format:
  %t topic        %k key            %s value             %h headers, as k=v,k=v
  %p partition    %K its length     %S its length        %T timestamp in ms since 1970
  %o offset       (-1: there is none)                    %% a percent sign
  \\n \\r \\t \\0 \\\\ and \\xHH are the characters they usually are";

impl Format {
    /// Reads a format.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let bytes = unescape(text)?;
        let mut bytes = bytes.iter();
        while let Some(byte) = bytes.next() {
            if *byte != b'%' {
                literal.push(*byte);
                continue;
            }
            let piece = match bytes.next() {
                Some(b'%') => {
                    literal.push(b'%');
                    continue;
                }
                Some(b't') => Piece::Topic,
                Some(b'p') => Piece::Partition,
                Some(b'o') => Piece::Offset,
                Some(b'T') => Piece::Timestamp,
                Some(b'k') => Piece::Key,
                Some(b'K') => Piece::KeyLength,
                Some(b's') => Piece::Value,
                Some(b'S') => Piece::ValueLength,
                Some(b'h') => Piece::Headers,
                Some(other) => {
                    return Err(format!("%{} means nothing; %t %p %o %k %K %s %S %T %h %% do", char::from(*other)));
                }
                None => return Err("a % at the end means nothing; %% is a percent sign".to_owned()),
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Appends a record.
    pub(crate) fn write(&self, topic: &str, partition: i32, record: &Record<'_>, out: &mut Vec<u8>) {
        let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Topic => out.extend_from_slice(topic.as_bytes()),
                Piece::Partition => number(i64::from(partition), out),
                Piece::Offset => number(record.offset, out),
                Piece::Timestamp => number(record.timestamp, out),
                Piece::Key => out.extend_from_slice(record.key.unwrap_or(&[])),
                Piece::KeyLength => number(length(record.key), out),
                Piece::Value => out.extend_from_slice(record.value.unwrap_or(&[])),
                Piece::ValueLength => number(length(record.value), out),
                Piece::Headers => {
                    for (index, (key, value)) in record.headers.enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        out.extend_from_slice(key);
                        out.push(b'=');
                        out.extend_from_slice(value.unwrap_or(b"NULL"));
                    }
                }
            }
        }
    }
}

fn number(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(number.to_string().as_bytes());
}

/// A record as JSON, on one line. Bytes that are no UTF-8 stand under another name, in base64.
pub(crate) fn json_of(topic: &str, partition: i32, record: &Record<'_>) -> Value {
    let headers: Vec<Value> = record
        .headers
        .map(|(key, value)| {
            let mut header = json!({ "key": String::from_utf8_lossy(key) });
            put_bytes(&mut header, "value", value);
            header
        })
        .collect();
    let mut line = json!({
        "topic": topic,
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "headers": headers,
    });
    put_bytes(&mut line, "key", record.key);
    put_bytes(&mut line, "value", record.value);
    line
}

fn put_bytes(object: &mut Value, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => object[name] = Value::Null,
        Some(Ok(text)) => object[name] = text.into(),
        Some(Err(bytes)) => object[format!("{name}Base64")] = base64(bytes).into(),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// Text with the usual escapes: `\n \r \t \0 \\ \xHH`.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (letter, behind) = rest.split_first().ok_or("a \\ at the end means nothing; \\\\ is a backslash")?;
        rest = behind;
        bytes.push(match letter {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let code = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                rest = rest.get(2..).unwrap_or(&[]);
                code.ok_or("two hexadecimal digits stand behind \\x, such as \\x1f")?
            }
            other => return Err(format!("\\{} means nothing; \\n \\r \\t \\0 \\\\ \\xHH do", char::from(*other))),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch};

    fn shown(format: &str, record: &NewRecord<'_>) -> String {
        let mut builder = BatchBuilder::new().base_offset(41);
        builder.append(record);
        let batch = builder.build();
        let (batch, _) = RecordBatch::split_from(&batch).unwrap();
        let record = batch.records(batch.payload()).next().unwrap().unwrap();
        let mut out = Vec::new();
        match format {
            "json" => out = json_of("t", 3, &record).to_string().into_bytes(),
            format => Format::parse(format).unwrap().write("t", 3, &record, &mut out),
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_shown_as_the_format_says() {
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"a", Some(b"1")), (b"b", None)];
        let record =
            NewRecord { timestamp: 1_700_000_000_000, key: Some(b"k"), value: Some(b"val"), headers: &headers };
        assert_eq!(
            shown("%t/%p/%o %T %k(%K) %s(%S) %h%%\\n", &record),
            "t/3/41 1700000000000 k(1) val(3) a=1,b=NULL%\n"
        );
        let bare = NewRecord { timestamp: -1, key: None, value: None, headers: &[] };
        assert_eq!(shown("[%k|%s|%K|%S|%T|%h]", &bare), "[||-1|-1|-1|]");
        assert_eq!(shown("no pieces", &bare), "no pieces");
    }

    #[test]
    fn json_keeps_what_is_no_text() {
        let headers: [(&[u8], Option<&[u8]>); 1] = [(b"h", None)];
        let record = NewRecord { timestamp: 5, key: None, value: Some(&[0xff, 0, 1, 2]), headers: &headers };
        let value: Value = serde_json::from_str(&shown("json", &record)).unwrap();
        assert_eq!(
            value,
            json!({"topic": "t", "partition": 3, "offset": 41, "timestamp": 5, "key": null, "valueBase64": "/wABAg==",
                "headers": [{"key": "h", "value": null}]})
        );
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn escapes_are_the_usual_ones() {
        assert_eq!(unescape("a\\tb\\\\\\x1F\\0é").unwrap(), b"a\tb\\\x1f\0\xc3\xa9");
        for (text, wanted) in
            [("\\", "at the end"), ("\\q", "\\q means nothing"), ("\\x1", "two hexadecimal"), ("\\x+1", "two")]
        {
            assert!(unescape(text).unwrap_err().contains(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for (text, wanted) in [("%z", "%z means nothing"), ("%", "at the end"), ("\\q", "means nothing")] {
            assert!(Format::parse(text).unwrap_err().contains(wanted), "{text}");
        }
    }
}
