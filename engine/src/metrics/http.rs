//! As much of HTTP/1.1 as somebody needs who asks for a page: a request's head, and an answer that ends the connection.
//!
//! The head is read by `httparse`. Nothing here allocates by what a client announces.

use httparse::{EMPTY_HEADER, Request, Status};

/// The longest head of a request, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 8 << 10;
/// Header fields of a request at most.
const FIELDS_MAX: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The path without a query.
    pub(super) path: String,
    /// The answer comes without its body.
    pub(super) head_only: bool,
    /// It knows OpenMetrics.
    pub(super) open_metrics: bool,
}

/// A status line's number and reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine(pub(super) u16, pub(super) &'static str);

pub(super) const OK: StatusLine = StatusLine(200, "OK");
pub(super) const NOT_FOUND: StatusLine = StatusLine(404, "Not Found");
pub(super) const UNAVAILABLE: StatusLine = StatusLine(503, "Service Unavailable");
const BAD_REQUEST: StatusLine = StatusLine(400, "Bad Request");
const NOT_ALLOWED: StatusLine = StatusLine(405, "Method Not Allowed");
const TOO_LARGE: StatusLine = StatusLine(431, "Request Header Fields Too Large");

/// Reads the head of a request from what has come of it. `None`: more has to come.
///
/// # Errors
/// How to refuse it.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Asked>, StatusLine> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut request = Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(_) => return Err(BAD_REQUEST),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else { return Err(BAD_REQUEST) };
    if !matches!(method, "GET" | "HEAD") {
        return Err(NOT_ALLOWED);
    }
    let accepts = |field: &&mut httparse::Header<'_>| {
        field.name.eq_ignore_ascii_case("accept")
            && field.value.windows(OPEN_METRICS.len()).any(|part| part.eq_ignore_ascii_case(OPEN_METRICS))
    };
    let path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    let open_metrics = request.headers.iter_mut().any(|field| accepts(&field));
    Ok(Some(Asked { path, head_only: method == "HEAD", open_metrics }))
}

const OPEN_METRICS: &[u8] = b"application/openmetrics-text";

/// The type of a page of metrics: it is written so that readers of both formats understand it.
pub(super) fn metrics_type(open_metrics: bool) -> &'static str {
    match open_metrics {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    }
}

/// The head of an answer.
pub(super) fn head(status: StatusLine, content_type: &str, body_bytes: usize) -> Vec<u8> {
    let StatusLine(number, reason) = status;
    let allow = if status == NOT_ALLOWED { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {number} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {body_bytes}\r\n{allow}Cache-Control: \
         no-store\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, head_only: bool, open_metrics: bool) -> Result<Option<Asked>, StatusLine> {
        Ok(Some(Asked { path: path.to_owned(), head_only, open_metrics }))
    }

    #[test]
    fn heads_are_understood_or_refused() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX + 1));
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_BYTES_MAX));
        for (text, expected) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", asked("/metrics", false, false)),
            ("GET /metrics?name=a#b HTTP/1.0\r\n\r\n", asked("/metrics", false, false)),
            (
                "GET /metrics HTTP/1.1\r\naccept: text/plain;q=0.5,application/OpenMetrics-text;version=1.0.0\r\n\r\n",
                asked("/metrics", false, true),
            ),
            ("HEAD / HTTP/1.1\r\n\r\nbehind it", asked("/", true, false)),
            ("", Ok(None)),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n", Ok(None)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Err(NOT_ALLOWED)),
            ("GET /metrics HTTP/3.0\r\n\r\n", Err(BAD_REQUEST)),
            ("GET / metrics HTTP/1.1\r\n\r\n", Err(BAD_REQUEST)),
            ("\u{0}\u{0}\u{0}\u{12}\u{0}\u{3}", Err(BAD_REQUEST)),
            (&many, Err(TOO_LARGE)),
            (&long, Err(TOO_LARGE)),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:.60}");
        }
    }
}
