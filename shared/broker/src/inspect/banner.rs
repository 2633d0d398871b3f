//! The first thing that a broker says, before anybody has logged in: product and version. lapin reads it and keeps it for
//! itself, so it is read here, on a connection of its own.

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use lapin::runtime::default_runtime;
use lapin::tcp::AMQPUriTcpExt as _;

use crate::Config;
use crate::link::{LinkError, request};

/// What a client of AMQP 0-9-1 says first.
const HELLO: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The longest first frame that is read, in bytes; RabbitMQ's has about 500.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Type, channel and size of a frame.
const FRAME_HEAD_BYTES: usize = 7;
/// Class and method of `connection.start`, and the two bytes of its version.
const START: &[u8] = &[0, 10, 0, 10];

/// Who a broker says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `RabbitMQ`.
    pub product: String,
    /// `3.13.7`.
    pub version: String,
}

/// Asks a broker who it is. Needs no login.
///
/// # Errors
/// [`LinkError`]: nobody answers, or not in AMQP 0-9-1.
pub async fn server(config: &Config) -> Result<Server, LinkError> {
    let uri = config.amqp_url.uri().map_err(LinkError::Url)?;
    let asking = async {
        let mut stream = uri.connect_async(&default_runtime()?).await?;
        stream.write_all(HELLO).await?;
        stream.flush().await?;
        let mut head = [0; FRAME_HEAD_BYTES];
        stream.read_exact(&mut head).await?;
        let bytes = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut frame = vec![0; if head.starts_with(b"AMQP") { 0 } else { bytes.min(FRAME_BYTES_MAX) }];
        stream.read_exact(&mut frame).await?;
        Ok(frame)
    };
    let frame = request(config.connect_timeout(), format!("cannot reach {}", config.amqp_url), asking).await?;
    read(&frame).ok_or(LinkError::Url("what answers there does not speak AMQP 0-9-1"))
}

/// Product and version of a `connection.start`.
fn read(frame: &[u8]) -> Option<Server> {
    let mut rest = frame.strip_prefix(START)?.get(2..)?;
    let mut table = take_long(&mut rest)?;
    let (mut product, mut version) = (None, None);
    while !table.is_empty() {
        let name = take_short(&mut table)?;
        let (kind, after) = table.split_first()?;
        table = after;
        match kind {
            b'S' => {
                let text = String::from_utf8_lossy(take_long(&mut table)?).into_owned();
                match name {
                    b"product" => product = Some(text),
                    b"version" => version = Some(text),
                    _ => {}
                }
            }
            // capabilities
            b'F' => drop(take_long(&mut table)?),
            b't' => table = table.get(1..)?,
            // no broker says anything else here
            _ => return None,
        }
    }
    Some(Server { product: product?, version: version? })
}

/// A short string.
fn take_short<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = from.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    *from = rest;
    Some(text)
}

/// A long string, or a table.
fn take_long<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = from.split_first_chunk::<4>()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(table: &[u8]) -> Vec<u8> {
        let length = u32::try_from(table.len()).expect("it is short").to_be_bytes();
        [START, &[0, 9], &length, table].concat()
    }

    #[test]
    fn product_and_version_are_found_among_the_others() {
        let table = b"\x0ccapabilitiesF\0\0\0\x05\x02okt\x01\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8";
        let server = Server { product: "RabbitMQ".to_owned(), version: "3.10.8".to_owned() };
        assert_eq!(read(&frame(table)), Some(server));
    }

    #[test]
    fn what_is_cut_or_foreign_is_nobody() {
        let whole = frame(b"\x07productS\0\0\0\x08RabbitMQ\x07versionS\0\0\0\x063.10.8");
        assert!(read(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(read(b"HTTP/1.1 400 Bad Request"), None);
        assert_eq!(read(&frame(b"\x07productS\0\0\0\x08RabbitMQ")), None, "no version");
        assert_eq!(read(&frame(b"\x07productI\0\0\0\x08")), None, "a type that nobody uses here");
    }
}
