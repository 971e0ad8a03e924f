//! Record batches as rows on the wire, cancelled with their statement.

use std::sync::Arc;

use arrow_pg::datatypes::encode_recordbatch;
use futures::stream::{self, Stream, StreamExt};
use meshwork_control::port::data::BatchStream;
use pgwire::api::results::FieldInfo;
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::data::DataRow;
use tokio_util::sync::CancellationToken;

use super::error::to_pg;

/// One batch in memory at a time.
pub fn rows(
    batches: BatchStream,
    fields: Arc<Vec<FieldInfo>>,
    cancelled: CancellationToken,
) -> impl Stream<Item = PgWireResult<DataRow>> + Send + 'static {
    let batches = stream::unfold(Some(batches), move |batches| {
        let cancelled = cancelled.clone();
        async move {
            let mut batches = batches?;
            tokio::select! {
                biased;
                () = cancelled.cancelled() => Some((Err(PgWireError::QueryCanceled), None)),
                next = batches.next() => match next? {
                    Ok(batch) => Some((Ok(batch), Some(batches))),
                    Err(error) => Some((Err(to_pg(&error)), None)),
                },
            }
        }
    });
    batches.flat_map(move |batch| match batch {
        Ok(batch) => {
            let encoded: Vec<_> = encode_recordbatch(Arc::clone(&fields), batch).collect();
            stream::iter(encoded).left_stream()
        }
        Err(error) => stream::once(async { Err(error) }).right_stream(),
    })
}
