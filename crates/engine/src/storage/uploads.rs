//! Uploads that began and never ended: a store keeps their parts, charges for them, and lists them nowhere else.

use std::error::Error as StdError;

use object_store::aws::AwsAuthorizer;
use object_store::client::{CredentialProvider, HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;

use super::bucket::Bucket;

/// The store lists a thousand at a time.
const PAGES: usize = 100;

type Failure = Box<dyn StdError + Send + Sync>;

/// Ends every upload below a folder, and says which objects they were to become.
pub async fn abort(bucket: &Bucket, folder: &Path) -> Result<Vec<String>, Failure> {
    let mut aborted = Vec::new();
    for _ in 0..PAGES {
        let found = list(bucket, folder).await?;
        let mut ended = 0;
        for (key, id) in found {
            // A prefix is a text, not a folder.
            let path = Path::from(key.as_str());
            if !path.prefix_matches(folder) {
                continue;
            }
            match bucket.store().abort_multipart(&path, &id).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => aborted.push(key),
                Err(error) => return Err(Box::new(error)),
            }
            ended += 1;
        }
        if ended == 0 {
            break;
        }
    }
    Ok(aborted)
}

async fn list(bucket: &Bucket, folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut url = bucket.address.clone();
    url.query_pairs_mut().append_pair("prefix", &format!("{folder}/")).append_pair("uploads", "");
    let mut signed = HttpRequest::new(HttpRequestBody::empty());
    *signed.uri_mut() = url.as_str().parse()?;
    let credential = bucket.credentials.get_credential().await?;
    AwsAuthorizer::new(&credential, "s3", &bucket.region).authorize(&mut signed, None);
    let response = bucket.http.get(url).headers(signed.headers().clone()).send().await?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("the store answers {status} when it is asked for unfinished uploads").into());
    }
    Ok(uploads(&response.text().await?))
}

/// Key and id of each upload of the answer.
fn uploads(xml: &str) -> Vec<(String, String)> {
    let between = |text: &str, tag: &str| -> Option<String> {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        let (value, _) = rest.split_once(&format!("</{tag}>"))?;
        let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#34;", "\""), ("&amp;", "&")];
        Some(plain.iter().fold(value.to_owned(), |text, (entity, character)| text.replace(entity, character)))
    };
    let upload = |part: &str| Some((between(part, "Key")?, between(part, "UploadId")?));
    xml.split("<Upload>").skip(1).filter_map(upload).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_of_an_answer() {
        let xml = "<?xml version=\"1.0\"?><ListMultipartUploadsResult><Bucket>lake</Bucket><UploadIdMarker>x</UploadIdMarker>\
                   <Upload><Key>a/b &amp; c.parquet</Key><UploadId>one</UploadId></Upload>\
                   <Upload><Initiator><ID>i</ID></Initiator><UploadId>two</UploadId><Key>d</Key></Upload>\
                   </ListMultipartUploadsResult>";
        let found = [("a/b & c.parquet", "one"), ("d", "two")].map(|(key, id)| (key.to_owned(), id.to_owned()));
        assert_eq!(uploads(xml), found);
    }
}
