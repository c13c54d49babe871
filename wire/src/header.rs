//! The headers in front of requests and responses.
//!
//! Which version of a header a message has follows from its API and version ([`ApiKey::request_header_version`],
//! [`ApiKey::response_header_version`]). A request header can be read before it is known whether the API is served, so
//! that a refusal can name it.

use crate::api_key::ApiKey;
use crate::decoder::{DecodeError, DecodeErrorKind, Decoder};
use crate::encoder::{EncodeError, Encoder};

/// What stands in front of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RequestHeader<'a> {
    /// The API, also one we do not have.
    pub request_api_key: i16,
    /// The version of the request, also one we do not serve.
    pub request_api_version: i16,
    /// What the client tells its requests apart by; the response carries it back.
    pub correlation_id: i32,
    /// What the client calls itself, or null.
    pub client_id: Option<&'a str>,
}

impl<'a> RequestHeader<'a> {
    /// The API, if we have it.
    pub const fn api(&self) -> Option<ApiKey> {
        ApiKey::from_key(self.request_api_key)
    }

    /// Reads the header and leaves the decoder at the body.
    ///
    /// Of an API that we do not have, it is unknown whether the header ends in tagged fields: they are then left in the
    /// decoder, in front of a body that nobody can read anyway.
    pub fn decode(decoder: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let mut ahead = decoder.clone();
        let (key, version) = (ahead.int16()?, ahead.int16()?);
        let header_version = ApiKey::from_key(key).map_or(1, |api| api.request_header_version(version));
        Self::decode_version(decoder, header_version)
    }

    /// Reads a header of version 0 (no client id; only ControlledShutdown ever had it), 1 or 2 (tagged fields).
    pub fn decode_version(decoder: &mut Decoder<'a>, header_version: i16) -> Result<Self, DecodeError> {
        if !(0..=2).contains(&header_version) {
            return Err(DecodeErrorKind::UnsupportedVersion(header_version).into());
        }
        let mut header = Self {
            request_api_key: decoder.int16()?,
            request_api_version: decoder.int16()?,
            correlation_id: decoder.int32()?,
            client_id: None,
        };
        if header_version >= 1 {
            // Never compact: a broker must be able to read the header of an ApiVersions request of any version.
            header.client_id = decoder.string(false).map_err(|error| error.in_field("RequestHeader.client_id"))?;
        }
        if header_version >= 2 {
            decoder.skip_tagged_fields()?;
        }
        Ok(header)
    }

    /// Writes the header that requests of its API and version have; version 1 for an API we do not have.
    pub fn encode(&self, encoder: &mut Encoder) -> Result<(), EncodeError> {
        let header_version = self.api().map_or(1, |api| api.request_header_version(self.request_api_version));
        encoder.put_int16(self.request_api_key);
        encoder.put_int16(self.request_api_version);
        encoder.put_int32(self.correlation_id);
        encoder.put_string(self.client_id, false).map_err(|error| error.in_field("RequestHeader.client_id"))?;
        if header_version >= 2 {
            encoder.put_uvarint(0);
        }
        Ok(())
    }
}

/// What stands in front of every response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ResponseHeader {
    /// The correlation id of the request that is answered.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header of a response to a request of this API and version.
    pub fn decode(decoder: &mut Decoder<'_>, api: ApiKey, version: i16) -> Result<Self, DecodeError> {
        let header = Self { correlation_id: decoder.int32()? };
        if api.response_header_version(version) >= 1 {
            decoder.skip_tagged_fields()?;
        }
        Ok(header)
    }

    /// Writes the header of a response to a request of this API and version.
    pub fn encode(&self, encoder: &mut Encoder, api: ApiKey, version: i16) {
        encoder.put_int32(self.correlation_id);
        if api.response_header_version(version) >= 1 {
            encoder.put_uvarint(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn encoded(header: &RequestHeader<'_>) -> Vec<u8> {
        let mut encoder = Encoder::new();
        header.encode(&mut encoder).expect("the header is sound");
        encoder.into_segments().concat()
    }

    #[test]
    fn request_headers_round_trip() {
        for (key, version, length) in [(0, 8, 13), (0, 9, 14), (18, 2, 13), (18, 77, 14), (-5, 9, 13)] {
            for client_id in [None, Some("abc")] {
                let header =
                    RequestHeader { request_api_key: key, request_api_version: version, correlation_id: -7, client_id };
                let bytes = encoded(&header);
                assert_eq!(bytes.len(), if client_id.is_none() { length - 3 } else { length });
                let mut decoder = Decoder::new(&bytes);
                assert_eq!(RequestHeader::decode(&mut decoder), Ok(header));
                assert_eq!(decoder.finish(), Ok(()));
                for cut in 0..bytes.len() {
                    assert!(RequestHeader::decode(&mut Decoder::new(&bytes[..cut])).is_err(), "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn header_version_0_has_no_client_id() {
        let bytes = [0, 7, 0, 0, 0, 0, 0, 9, 0xff];
        let mut decoder = Decoder::new(&bytes);
        let header = RequestHeader::decode_version(&mut decoder, 0).expect("eight bytes suffice");
        assert_eq!((header.request_api_key, header.correlation_id, decoder.remaining()), (7, 9, 1));
    }

    #[test]
    fn tagged_fields_of_a_header_are_skipped() {
        let bytes = [0, 0, 0, 9, 0, 0, 0, 1, 0xff, 0xff, 1, 5, 2, 0xaa, 0xbb, 0xcc];
        let mut decoder = Decoder::new(&bytes);
        let header = RequestHeader::decode(&mut decoder).expect("the header is sound");
        assert_eq!((header.correlation_id, decoder.rest()), (1, &[0xcc][..]));
    }

    #[test]
    fn response_headers_round_trip() {
        for (api, version, length) in [(ApiKey::Produce, 8, 4), (ApiKey::Produce, 9, 5), (ApiKey::ApiVersions, 5, 4)] {
            let header = ResponseHeader { correlation_id: 0x0102_0304 };
            let mut encoder = Encoder::new();
            header.encode(&mut encoder, api, version);
            let bytes = encoder.into_segments().concat();
            assert_eq!(bytes.len(), length);
            assert_eq!(ResponseHeader::decode(&mut Decoder::new(&bytes), api, version), Ok(header));
        }
    }
}
