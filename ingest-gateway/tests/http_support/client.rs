//! A small HTTP/1 client: one connection a request, nothing retried, no header added but `Host` and the login.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longer than every limit that a test waits for: a hang is a failed test.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) type SendError = Box<dyn Error + Send + Sync>;

/// What a request carries.
pub(crate) struct Body(UnsyncBoxBody<Bytes, Infallible>);

impl Body {
    /// Of unknown length, so in the chunked encoding; each part is a chunk.
    pub(crate) fn chunked(parts: Vec<Bytes>) -> Self {
        let frames = parts.into_iter().map(|part| Ok(Frame::data(part)));
        Self(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Full::from(text).boxed_unsync())
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(Full::from(text).boxed_unsync())
    }
}

/// A request that is being put together.
pub(crate) struct Outgoing(Request<UnsyncBoxBody<Bytes, Infallible>>);

/// A request without a body; a login in the URL becomes its header.
pub(crate) fn request(method: Method, url: &str) -> Outgoing {
    let mut request = Request::new(Body::from("").0);
    *request.method_mut() = method;
    *request.uri_mut() = url.parse().expect("a test writes whole URLs");
    Outgoing(request)
}

impl Outgoing {
    /// The value may hold any byte that HTTP allows, text or not.
    pub(crate) fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a test sends what HTTP allows");
        self.0.headers_mut().append(name, value);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.0.body_mut() = body.into().0;
        self
    }

    /// Sends it and reads the whole answer.
    pub(crate) async fn send(self) -> Result<Incoming, SendError> {
        tokio::time::timeout(TIMEOUT, exchange(self.0)).await?
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

async fn exchange(mut request: Request<UnsyncBoxBody<Bytes, Infallible>>) -> Result<Incoming, SendError> {
    let authority = request.uri().authority().ok_or("the URL names no server")?.to_string();
    let (login, server) = authority.rsplit_once('@').map_or((None, authority.as_str()), |(l, s)| (Some(l), s));
    request.headers_mut().insert(HOST, HeaderValue::from_str(server)?);
    if let Some(login) = login {
        let login = format!("Basic {}", BASE64_STANDARD.encode(login));
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_str(&login)?);
    }
    // a server is asked for the path alone
    let path = request.uri().path_and_query().ok_or("the URL has no path")?.clone();
    *request.uri_mut() = Uri::from(path);

    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // it ends with `sender`; what fails there fails the request, too
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let text = String::from_utf8(body.collect().await?.to_bytes().into())?;
    Ok(Incoming { status: head.status.as_u16(), headers: head.headers, text })
}
