//! An OTLP receiver: takes the spans that Muster's processes export (HTTP, protobuf) and answers questions about them.
//!
//! It runs on a thread and a runtime of its own, so that a test may block its own runtime (a flush does) and still be served.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Spans kept; an export that does not fit is refused with 429, so that a test fails instead of the memory.
const SPANS_MAX: usize = 200_000;
/// The exporter's own limit for one request.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One span as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedSpan {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The parent's span id; None for the root of a trace.
    pub parent_span_id: Option<String>,
    /// Name of the span.
    pub name: String,
    /// `internal`, `server`, `client`, `producer`, `consumer` or `unspecified`.
    pub kind: &'static str,
    /// `service.name` of the process.
    pub service: String,
    /// Attributes as text: strings as they are, numbers and booleans as written, anything else in debug form.
    pub attributes: BTreeMap<String, String>,
    /// Spans that this one is linked to, in order.
    pub links: Vec<ReceivedLink>,
    /// What happened in it: log lines are kept as such, with their fields.
    pub events: Vec<ReceivedEvent>,
    /// Status `error`.
    pub failed: bool,
    /// What the status says beside that.
    pub status: String,
    /// The attributes of its process.
    pub resource: Arc<BTreeMap<String, String>>,
    /// Start and end in nanoseconds since 1970.
    pub time_ns: (u64, u64),
}

/// The other end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedLink {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// As text, like a span's.
    pub attributes: BTreeMap<String, String>,
}

/// What happened within a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedEvent {
    /// A log line's message.
    pub name: String,
    /// As text, like a span's.
    pub attributes: BTreeMap<String, String>,
}

/// A running receiver; dropping it stops it.
#[derive(Debug)]
pub struct OtlpReceiver {
    address: SocketAddr,
    spans: Spans,
    changed: watch::Receiver<()>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

type Spans = Arc<Mutex<Vec<ReceivedSpan>>>;

impl OtlpReceiver {
    /// Starts a receiver on a free port of the loopback address.
    ///
    /// # Panics
    /// If no port can be bound or no thread started.
    #[must_use]
    pub fn start() -> Self {
        let (spans, stop) = (Spans::default(), CancellationToken::new());
        let (sender, changed) = watch::channel(());
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        listener.set_nonblocking(true).expect("a fresh socket can be set non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let router = Router::new()
            .route("/v1/traces", post(receive))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state((Arc::clone(&spans), sender));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("otlp-receiver".to_owned())
            .spawn(move || serve(listener, router, stopped))
            .expect("a test process can start a thread");
        Self { address, spans, changed, stop, thread: Some(thread) }
    }

    /// The base URL, as `--otlp-url` and `MUSTER_OTLP_URL` take it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far, in the order in which they came.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        lock(&self.spans).clone()
    }

    /// The spans of one trace so far, by their start.
    pub fn trace(&self, trace_id: &str) -> Vec<ReceivedSpan> {
        let mut trace: Vec<_> = lock(&self.spans).iter().filter(|span| span.trace_id == trace_id).cloned().collect();
        trace.sort_by_key(|span| span.time_ns);
        trace
    }

    /// Waits until `predicate` holds for the spans so far, and answers them.
    ///
    /// # Panics
    /// If it does not hold within `deadline`; the message names the spans that did come.
    pub async fn until(
        &self,
        deadline: Duration,
        mut predicate: impl FnMut(&[ReceivedSpan]) -> bool,
    ) -> Vec<ReceivedSpan> {
        let mut changed = self.changed.clone();
        let held = tokio::time::timeout(deadline, async {
            loop {
                changed.mark_unchanged();
                if predicate(&lock(&self.spans)) {
                    return;
                }
                changed.changed().await.expect("the receiver runs as long as it is borrowed");
            }
        });
        if held.await.is_err() {
            let came: Vec<_> = self.spans().iter().map(|span| format!("{} {}", span.service, span.name)).collect();
            panic!("wait {deadline:?} for spans: what came is {came:#?}");
        }
        self.spans()
    }
}

impl Drop for OtlpReceiver {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // its panic would have been reported by its own thread
            let _ = thread.join();
        }
    }
}

fn lock(spans: &Spans) -> MutexGuard<'_, Vec<ReceivedSpan>> {
    spans.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(listener: std::net::TcpListener, router: Router, stop: CancellationToken) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a test process can start a runtime");
    runtime.block_on(stop.run_until_cancelled(async {
        let listener = TcpListener::from_std(listener).expect("the socket is non-blocking");
        axum::serve(listener, router).await
    }));
}

async fn receive(State((spans, changed)): State<(Spans, watch::Sender<()>)>, body: Bytes) -> Response {
    let request = match ExportTraceServiceRequest::decode(body) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("decode an export: {error}\n")).into_response(),
    };
    let received = read(request);
    {
        let mut spans = lock(&spans);
        if spans.len() + received.len() > SPANS_MAX {
            return (StatusCode::TOO_MANY_REQUESTS, format!("more than {SPANS_MAX} spans\n")).into_response();
        }
        spans.extend(received);
    }
    changed.send_replace(());
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    ([(header::CONTENT_TYPE, "application/x-protobuf")], answer).into_response()
}

fn read(request: ExportTraceServiceRequest) -> Vec<ReceivedSpan> {
    let mut received = Vec::new();
    for process in request.resource_spans {
        let resource = Arc::new(attributes(process.resource.unwrap_or_default().attributes));
        for span in process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            received.push(read_span(span, Arc::clone(&resource)));
        }
    }
    received
}

fn read_span(span: Span, resource: Arc<BTreeMap<String, String>>) -> ReceivedSpan {
    let kind = kind(span.kind());
    let link = |link: Link| ReceivedLink {
        trace_id: hex(&link.trace_id),
        span_id: hex(&link.span_id),
        attributes: attributes(link.attributes),
    };
    let event = |event: Event| ReceivedEvent { name: event.name, attributes: attributes(event.attributes) };
    let status = span.status.unwrap_or_default();
    ReceivedSpan {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
        name: span.name,
        kind,
        service: resource.get("service.name").cloned().unwrap_or_default(),
        attributes: attributes(span.attributes),
        links: span.links.into_iter().map(link).collect(),
        events: span.events.into_iter().map(event).collect(),
        // 2 = error in OTLP's Status.StatusCode
        failed: status.code == 2,
        status: status.message,
        resource,
        time_ns: (span.start_time_unix_nano, span.end_time_unix_nano),
    }
}

fn kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

fn attributes(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
