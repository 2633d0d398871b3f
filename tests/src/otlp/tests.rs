//! The receiver takes what real exporters send, and keeps all of it.

use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Status};
use telemetry::{Config, Guard, trace};
use tracing::Dispatch;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traced(receiver: &OtlpReceiver) -> (Dispatch, Guard) {
    let config = Config { otlp_url: Some(receiver.url()), otlp_delay_ms: 10, ..Config::default() };
    telemetry::scoped("otlp-test", &config).expect("telemetry on a sound configuration")
}

fn work() {
    let span = tracing::info_span!("process", otel.kind = "consumer", job.kind = "k.v1", job.attempt = 2);
    assert!(trace::set_parent(&span, &format!("00-{TRACE}-{PARENT}-01")));
    span.in_scope(|| tracing::info_span!("commit").in_scope(|| tracing::error!(cause = "no such url", "boom")));
}

async fn asserts_the_trace(receiver: &OtlpReceiver) {
    receiver.until(DEADLINE, |spans| spans.len() == 2).await;
    let trace = receiver.trace(TRACE);
    let [process, commit] = trace.as_slice() else { panic!("{trace:?}") };
    assert_eq!((process.name.as_str(), process.kind, process.failed), ("process", "consumer", false));
    assert_eq!(process.parent_span_id.as_deref(), Some(PARENT));
    assert_eq!(process.service, "otlp-test");
    assert_eq!(process.attributes["job.kind"], "k.v1");
    assert_eq!(process.attributes["job.attempt"], "2");
    assert_eq!(commit.parent_span_id.as_ref(), Some(&process.span_id));
    assert_eq!((commit.name.as_str(), commit.kind, commit.failed), ("commit", "internal", true));
    let [boom] = commit.events.as_slice() else { panic!("{commit:?}") };
    assert_eq!((boom.name.as_str(), boom.attributes["cause"].as_str()), ("boom", "no such url"));
}

#[tokio::test]
async fn a_current_thread_runtime_exports_its_trace() {
    let receiver = OtlpReceiver::start();
    let (dispatch, guard) = traced(&receiver);
    tracing::dispatcher::with_default(&dispatch, work);
    asserts_the_trace(&receiver).await;
    guard.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_thread_of_a_runtime_may_set_up_and_shut_down() {
    let receiver = OtlpReceiver::start();
    let url_of = receiver.url();
    // a worker thread is where a blocking HTTP client built in place would panic
    let job = tokio::spawn(async move {
        let config = Config { otlp_url: Some(url_of), otlp_delay_ms: 60_000, ..Config::default() };
        let (dispatch, guard) = telemetry::scoped("otlp-test", &config).expect("telemetry inside a runtime");
        tracing::dispatcher::with_default(&dispatch, work);
        guard.shutdown();
    });
    job.await.expect("neither panics");
    assert_eq!(receiver.spans().len(), 2, "shutdown has sent what was left");
    asserts_the_trace(&receiver).await;
}

#[tokio::test]
async fn a_batch_keeps_all_its_links() {
    let receiver = OtlpReceiver::start();
    let (dispatch, guard) = traced(&receiver);
    tracing::dispatcher::with_default(&dispatch, || {
        let span = tracing::info_span!("flush");
        for n in 1..=1_000 {
            assert!(trace::link(&span, &format!("00-{TRACE}-{n:016x}-01")));
        }
        span.in_scope(|| ());
        // once started, a span takes links all the same
        for n in 1_001..=2_000 {
            assert!(trace::link(&span, &format!("00-{TRACE}-{n:016x}-01")));
        }
    });
    let spans = receiver.until(DEADLINE, |spans| !spans.is_empty()).await;
    assert_eq!(spans[0].links.len(), 2_000);
    let last = &spans[0].links[1_999];
    assert_eq!((last.trace_id.as_str(), last.span_id.as_str()), (TRACE, "00000000000007d0"));
    assert_eq!(spans[0].parent_span_id, None);
    guard.shutdown();
}

#[tokio::test]
async fn the_log_filter_does_not_thin_the_trace() {
    let receiver = OtlpReceiver::start();
    let config = Config {
        otlp_url: Some(receiver.url()),
        otlp_delay_ms: 10,
        log_filter: "off".parse().expect("a level is a filter"),
        ..Config::default()
    };
    let (dispatch, guard) = telemetry::scoped("otlp-test", &config).expect("telemetry on a sound configuration");
    tracing::dispatcher::with_default(&dispatch, work);
    asserts_the_trace(&receiver).await;
    guard.shutdown();
}

#[test]
fn everything_that_a_span_says_is_kept() {
    let attribute = |key: &str| {
        let value = AnyValue { value: Some(Value::StringValue(format!("the {key}"))) };
        vec![KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }]
    };
    let span = Span {
        name: "the name".to_owned(),
        attributes: attribute("attribute"),
        links: vec![Link { attributes: attribute("link"), ..Link::default() }],
        events: vec![Event { name: "the event".to_owned(), attributes: attribute("field"), ..Event::default() }],
        status: Some(Status { message: "the status".to_owned(), code: 2 }),
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes: attribute("resource"), ..Resource::default() });
    let process = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
    let [span] = <[_; 1]>::try_from(read(ExportTraceServiceRequest { resource_spans: vec![process] })).unwrap();
    let text = format!("{span:?}");
    for what in ["name", "attribute", "link", "event", "field", "status", "resource"] {
        assert!(text.contains(&format!("\"the {what}\"")), "the {what} is not in {text}");
    }
}

#[tokio::test]
async fn nonsense_is_refused() {
    let receiver = OtlpReceiver::start();
    let url = format!("{}/v1/traces", receiver.url());
    let answer = reqwest::Client::new().post(url).body("nonsense").send().await.expect("the receiver answers");
    assert_eq!(answer.status(), 400);
    assert!(receiver.spans().is_empty());
}

#[tokio::test]
#[should_panic(expected = "what came is []")]
async fn a_wait_that_fails_says_what_came() {
    OtlpReceiver::start().until(Duration::from_millis(20), |spans| !spans.is_empty()).await;
}
