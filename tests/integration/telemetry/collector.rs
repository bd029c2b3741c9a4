//! A collector of OTLP over HTTP: what a program exports, decoded from the bytes that it sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use opentelemetry_sdk::trace::SdkTracerProvider;
use prost::Message;
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;

/// Takes in what is exported to it.
pub(super) struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    provider: SdkTracerProvider,
    dispatch: Dispatch,
}

impl Collector {
    /// One that listens, and a subscriber whose spans are exported to it as soon as each has ended.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = spans.clone();
        // Ends with the process: the listener is all that it holds.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                kept.lock().unwrap().extend(take_in(stream.unwrap()));
            }
        });
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("http://{address}/v1/traces"))
            .with_http_client(Client(address))
            .build()
            .unwrap();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("step-machine-tests"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        Self { spans, provider, dispatch }
    }

    /// Runs `run` with the subscriber; its spans.
    pub(super) fn watch(&self, run: impl FnOnce()) -> Trace {
        tracing::dispatcher::with_default(&self.dispatch, run);
        self.trace()
    }

    pub(super) fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// What was exported up to here.
    pub(super) fn trace(&self) -> Trace {
        self.provider.force_flush().unwrap();
        let mut spans = self.spans.lock().unwrap().clone();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        Trace(spans)
    }
}

/// Reads one export, and says that it was understood.
fn take_in(stream: TcpStream) -> Vec<Span> {
    let mut reader = BufReader::new(&stream);
    let (mut request, mut length, mut content_type) = (String::new(), 0, String::new());
    reader.read_line(&mut request).unwrap();
    assert_eq!(request.trim_end(), "POST /v1/traces HTTP/1.1");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().unwrap(),
            Some((name, value)) if name.eq_ignore_ascii_case("content-type") => value.clone_into(&mut content_type),
            Some(_) => {}
        }
    }
    assert_eq!(content_type, "application/x-protobuf");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let export = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

/// As much of HTTP as an exporter needs, on the thread that a span ends on.
#[derive(Debug)]
struct Client(SocketAddr);

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Client {
    fn send_bytes<'s: 'f, 'f>(&'s self, request: Request<Bytes>) -> Sent<'f>
    where
        Self: 'f,
    {
        Box::pin(async move {
            let mut stream = TcpStream::connect(self.0)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let mut head = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri().path());
            for (name, value) in request.headers() {
                write!(head, "{name}: {}\r\n", value.to_str()?)?;
            }
            write!(head, "content-length: {}\r\n\r\n", request.body().len())?;
            stream.write_all(head.as_bytes())?;
            stream.write_all(request.body())?;
            let mut status = String::new();
            BufReader::new(stream).read_line(&mut status)?;
            let status: u16 = status.split(' ').nth(1).unwrap_or_default().parse()?;
            Ok(Response::builder().status(status).body(Bytes::new())?)
        })
    }
}

/// The spans that were exported, in the order in which they began.
pub(super) struct Trace(Vec<Span>);

impl Trace {
    /// One line a span, below its parent: its name, what went wrong in it, and its events.
    pub(super) fn tree(&self) -> String {
        let mut tree = String::new();
        let is_root = |span: &&Span| !self.0.iter().any(|other| other.span_id == span.parent_span_id);
        for root in self.0.iter().filter(is_root) {
            assert!(root.parent_span_id.is_empty(), "`{}` has a parent that was not exported", root.name);
            self.branch(&mut tree, root, 0);
        }
        tree
    }

    fn branch(&self, tree: &mut String, span: &Span, depth: usize) {
        let _ = write!(tree, "{:indent$}{}", "", span.name, indent = 2 * depth);
        if let Some(status) = &span.status
            && status.code() != StatusCode::Unset
        {
            let _ = write!(tree, " [{:?}: {}]", status.code(), status.message);
        }
        tree.push('\n');
        for child in self.0.iter().filter(|child| child.parent_span_id == span.span_id) {
            assert_eq!(child.trace_id, span.trace_id);
            assert!(child.start_time_unix_nano >= span.start_time_unix_nano);
            self.branch(tree, child, depth + 1);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The spans of a name, in the order in which they began.
    pub(super) fn named(&self, name: &str) -> Vec<&Span> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    /// The attributes of the only span of a name.
    pub(super) fn attributes(&self, name: &str) -> BTreeMap<&str, String> {
        let [span] = self.named(name)[..] else { panic!("no single span `{name}` in\n{}", self.tree()) };
        attributes(&span.attributes)
    }

    /// The events in all spans of a name: level, text, and what goes with it.
    pub(super) fn events(&self, name: &str) -> Vec<String> {
        self.named(name).into_iter().flat_map(|span| span.events.iter().map(event)).collect()
    }
}

/// The attributes, without the target, which all have.
pub(super) fn attributes(pairs: &[KeyValue]) -> BTreeMap<&str, String> {
    let pairs = pairs.iter().filter(|pair| pair.key != "target");
    pairs.map(|pair| (pair.key.as_str(), text(pair.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => format!("{value:?}"),
        other => format!("{other:?}"),
    }
}

fn event(event: &opentelemetry_proto::tonic::trace::v1::span::Event) -> String {
    let mut attributes = attributes(&event.attributes);
    let level = attributes.remove("level").unwrap_or_default();
    let mut line = format!("{level} {}", event.name);
    for (key, value) in attributes {
        let _ = write!(line, " {key}={value}");
    }
    line
}
