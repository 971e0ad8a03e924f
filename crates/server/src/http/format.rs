//! Query results in the form that the client accepts, streamed: memory does not grow with the result.

mod arrow_stream;
mod csv;
mod json;
mod ndjson;
mod parquet;
mod plain;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use ::arrow::datatypes::SchemaRef;
use ::arrow::record_batch::RecordBatch;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use meshwork_control::port::data::BatchStream;
use meshwork_core::{Error, Result};

pub use plain::type_name;

use super::metrics::Metrics;
use super::problem::{Failure, Problem};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
    ArrowStream,
    Parquet,
    NdJson,
}

/// In the order in which we choose when the client has no preference.
const OFFERS: [Format; 5] = [Format::Json, Format::Csv, Format::ArrowStream, Format::Parquet, Format::NdJson];

impl Format {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv",
            Self::ArrowStream => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::NdJson => "application/x-ndjson",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => other.media_type(),
        }
    }

    pub fn negotiate(headers: &HeaderMap) -> Result<Self, Failure> {
        let accept: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        match choose(&accept.join(","), &OFFERS.map(Self::media_type)) {
            Some(at) => Ok(OFFERS[at]),
            None => {
                let error = Error::usage("MW0932", "none of the media types in `accept` can be made here")
                    .hint(format!("accept one of {}", OFFERS.map(Self::media_type).join(", ")));
                Err(Failure::with_status(error, StatusCode::NOT_ACCEPTABLE))
            }
        }
    }
}

/// Which offer an `Accept` header prefers (RFC 9110, 12.5.1): the most specific range that matches an offer gives its
/// quality; the best quality wins, then our order. `None`: nothing acceptable.
pub fn choose(accept: &str, offers: &[&str]) -> Option<usize> {
    if accept.trim().is_empty() {
        return Some(0);
    }
    let ranges: Vec<(String, f32)> = accept.split(',').filter_map(range).collect();
    let quality = |offer: &str| {
        let family = offer.split('/').next().unwrap_or("");
        let specific = |range: &str| match range {
            range if range == offer => Some(2),
            range if range.strip_suffix("/*") == Some(family) => Some(1),
            "*/*" => Some(0),
            _ => None,
        };
        let matching = ranges.iter().filter_map(|(range, q)| specific(range).map(|rank| (rank, *q)));
        matching.max_by_key(|(rank, _)| *rank).map_or(0.0, |(_, q)| q)
    };
    let mut best: Option<(usize, f32)> = None;
    for (at, offer) in offers.iter().enumerate() {
        let q = quality(offer);
        if q > best.map_or(0.0, |(_, q)| q) {
            best = Some((at, q));
        }
    }
    best.map(|(at, _)| at)
}

fn range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next()?.to_ascii_lowercase();
    let q = parts.find_map(|p| p.strip_prefix("q=").or(p.strip_prefix("Q=")));
    let q = q.map_or(Some(1.0), |q| q.parse().ok().filter(|q| (0.0..=1.0).contains(q)))?;
    range.contains('/').then_some((range, q))
}

/// What a caller may set about the form of an answer.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub query_id: String,
    /// Leave cells that a spreadsheet would take for a formula as they are.
    pub csv_raw: bool,
    /// For JSON: the path of the next page, if as many rows come as were asked for.
    pub next: Option<(u64, String)>,
    pub request_id: Option<String>,
    /// To be shown with the answer, such as that a table is deprecated.
    pub warnings: Vec<String>,
}

/// Turns batches into bytes. `begin`, any number of `batch`, then `end` or `fail`.
trait Encoder: Send {
    fn begin(&mut self) -> Result<Vec<u8>>;
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>>;
    fn end(&mut self) -> Result<Vec<u8>>;
    /// How the form itself tells of a failure midway; `None` where only breaking off can.
    fn fail(&mut self, _problem: &Problem) -> Option<Vec<u8>> {
        None
    }
}

fn encoder(format: Format, schema: &SchemaRef, options: &Options) -> Result<Box<dyn Encoder>> {
    Ok(match format {
        Format::Json => Box::new(json::Json::new(schema, options)),
        Format::NdJson => Box::new(ndjson::NdJson::new(schema)),
        Format::Csv => Box::new(csv::Csv::new(schema, options.csv_raw)?),
        Format::ArrowStream => Box::new(arrow_stream::ArrowStream::new(schema)?),
        Format::Parquet => Box::new(parquet::Parquet::new(schema)?),
    })
}

/// A streaming response. The first batch is awaited, so that what fails at once fails as a proper problem; what fails
/// later breaks the stream off, which HTTP reports to the client as an incomplete message.
pub async fn respond(
    format: Format,
    schema: SchemaRef,
    mut batches: BatchStream,
    options: Options,
    metrics: Arc<Metrics>,
) -> Result<Response> {
    let schema = plain::schema(&schema);
    let mut encoder = encoder(format, &schema, &options)?;
    let first = batches.next().await.transpose()?;
    let mut ready = VecDeque::new();
    ready.push_back(Bytes::from(encoder.begin()?));
    let encoding = Encoding {
        schema,
        encoder,
        batches: first.map_or_else(
            || stream::empty().boxed(),
            |first| stream::once(async move { Ok(first) }).chain(batches).boxed(),
        ),
        ready,
        over: false,
        request_id: options.request_id,
        metrics,
    };
    let mut response = Response::new(Body::from_stream(encoding.into_stream()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(super::DATA_CACHE));
    headers.insert(header::VARY, HeaderValue::from_static("accept, authorization, meshwork-as, meshwork-purpose"));
    for warning in options.warnings.iter().filter_map(|text| HeaderValue::from_str(text).ok()) {
        headers.append("meshwork-warning", warning);
    }
    if let Ok(id) = HeaderValue::from_str(&options.query_id) {
        headers.insert("meshwork-query-id", id);
    }
    Ok(response)
}

/// All rows of an answer that is known to be small, as objects.
pub async fn rows(schema: &SchemaRef, mut batches: BatchStream) -> Result<Vec<serde_json::Value>> {
    let schema = plain::text_schema(&plain::schema(schema));
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().await.transpose()? {
        for line in ndjson::lines(&batch, &schema)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            rows.push(serde_json::from_slice(line).map_err(broken)?);
        }
    }
    Ok(rows)
}

struct Encoding {
    schema: SchemaRef,
    encoder: Box<dyn Encoder>,
    batches: BatchStream,
    ready: VecDeque<Bytes>,
    over: bool,
    request_id: Option<String>,
    metrics: Arc<Metrics>,
}

impl Encoding {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send {
        stream::unfold(self, |mut this| async move {
            let item = this.next().await?;
            Some((item, this))
        })
        .fuse()
    }

    async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                if !bytes.is_empty() {
                    return Some(Ok(bytes));
                }
                continue;
            }
            if self.over {
                return None;
            }
            match self.step().await {
                Ok(bytes) => self.ready.push_back(bytes.into()),
                Err(error) => {
                    self.over = true;
                    tracing::warn!(
                        request = self.request_id,
                        code = error.code,
                        "a result broke off: {}",
                        error.message
                    );
                    let problem = Problem::of(&error, self.request_id.as_deref());
                    match self.encoder.fail(&problem) {
                        Some(bytes) => self.ready.push_back(bytes.into()),
                        None => return Some(Err(error)),
                    }
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Vec<u8>> {
        match self.batches.next().await.transpose()? {
            Some(batch) => {
                self.metrics.rows("http", batch.num_rows() as u64);
                self.encoder.batch(&plain::batch(&batch, &self.schema)?)
            }
            None => {
                self.over = true;
                self.encoder.end()
            }
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::internal("MW0999", format!("the result could not be encoded: {error}"))
}
