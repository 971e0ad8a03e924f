//! A leaf's bytes: RFC 8785 JSON, version 1. Personal fields are sealed with AES-256-GCM under their person's key, so
//! that erasing the key erases them, while hashes over the sealed form still verify.

use std::collections::BTreeMap;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{Entry, Event};
use crate::effect::Timestamp;
use crate::error::{Error, Result};
use crate::principal::Principal;

/// The version that this binary writes. Older ones stay readable.
pub const VERSION: u32 = 1;

/// Bound to every sealed field, so that ciphertext from elsewhere does not pass for one.
const ASSOCIATED_DATA: &[u8] = b"meshwork audit leaf v1";
const NONCE_BYTES: usize = 12;

/// A person's key with the pseudonym that leaves show in place of the name.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectKey {
    key: [u8; 32],
    pseudonym: String,
}

impl SubjectKey {
    /// The pseudonym is derived from the secret key: without the key, nobody can tell whose it was, not even by guessing
    /// names.
    pub fn new(key: [u8; 32]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
        mac.update(b"meshwork audit pseudonym v1");
        let digest = mac.finalize().into_bytes();
        Self { key, pseudonym: hex(&digest[..16]) }
    }

    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&Key::<Aes256Gcm>::from(self.key))
    }
}

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SubjectKey({})", self.pseudonym)
    }
}

/// The stored form. Field names and their meaning never change; a new need is a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    pub v: u32,
    pub sequence: u64,
    /// RFC 3339, UTC, always six digits after the second.
    pub at: String,
    pub actor: Sealed,
    pub subject: Sealed,
    pub event: Event,
}

/// A pseudonym and what is personal: base64 of (nonce ‖ ciphertext ‖ tag) over canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub id: String,
    pub sealed: String,
}

/// What is sealed for the actor; for the subject only `name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Personal {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statement: Option<String>,
}

/// Keys and nonces for one leaf; nonces must be fresh random bytes.
#[derive(Debug)]
pub struct Seal<'a> {
    pub actor: &'a SubjectKey,
    pub subject: &'a SubjectKey,
    pub nonces: [[u8; NONCE_BYTES]; 2],
}

impl Leaf {
    pub fn seal(sequence: u64, entry: &Entry, seal: &Seal<'_>) -> Result<Self> {
        let actor = Personal {
            name: entry.actor.to_string(),
            address: entry.address.clone(),
            statement: entry.statement.clone(),
        };
        let subject = Personal { name: entry.subject.to_string(), ..Personal::default() };
        Ok(Self {
            v: VERSION,
            sequence,
            at: entry.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            actor: Sealed::new(&actor, seal.actor, seal.nonces[0])?,
            subject: Sealed::new(&subject, seal.subject, seal.nonces[1])?,
            event: entry.event.clone(),
        })
    }

    /// The final bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self).map_err(|e| unreadable(&e.to_string()))
    }

    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let leaf: Self = serde_json::from_slice(bytes).map_err(|e| unreadable(&e.to_string()))?;
        if leaf.v != VERSION {
            return Err(unreadable(&format!("its version is {}, this binary knows {VERSION}", leaf.v)));
        }
        Ok(leaf)
    }

    /// Opens what the keys at hand can open. `keys` is by pseudonym.
    pub fn open(self, keys: &BTreeMap<String, SubjectKey>) -> Result<Opened> {
        let actor = self.actor.open(keys);
        let subject = self.subject.open(keys);
        let at = chrono::DateTime::parse_from_rfc3339(&self.at).map_err(|e| unreadable(&e.to_string()))?;
        Ok(Opened {
            sequence: self.sequence,
            at: at.to_utc(),
            actor: actor.as_ref().map(|p| p.name.clone()),
            actor_id: self.actor.id,
            subject: subject.map(|p| p.name),
            subject_id: self.subject.id,
            address: actor.as_ref().and_then(|p| p.address.clone()),
            statement: actor.and_then(|p| p.statement),
            event: self.event,
        })
    }
}

impl Sealed {
    fn new(personal: &Personal, key: &SubjectKey, nonce: [u8; NONCE_BYTES]) -> Result<Self> {
        let text = serde_json_canonicalizer::to_vec(personal).map_err(|e| unreadable(&e.to_string()))?;
        let payload = Payload { msg: &text, aad: ASSOCIATED_DATA };
        let ciphertext = key
            .cipher()
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| unreadable("a personal field is too long to be sealed"))?;
        let sealed = BASE64.encode([nonce.as_slice(), &ciphertext].concat());
        Ok(Self { id: key.pseudonym.clone(), sealed })
    }

    /// `None` without the key (erased), or when the bytes are not what the key sealed.
    fn open(&self, keys: &BTreeMap<String, SubjectKey>) -> Option<Personal> {
        let bytes = BASE64.decode(&self.sealed).ok()?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: ciphertext, aad: ASSOCIATED_DATA };
        let text = keys.get(&self.id)?.cipher().decrypt(&Nonce::from(*nonce), payload).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// A leaf as people read it. Personal fields are `None` once their key is erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    pub sequence: u64,
    pub at: Timestamp,
    /// `user:ana`.
    pub actor: Option<String>,
    pub actor_id: String,
    pub subject: Option<String>,
    pub subject_id: String,
    pub address: Option<String>,
    pub statement: Option<String>,
    #[serde(flatten)]
    pub event: Event,
}

/// Whose key seals what a principal did.
pub fn key_name(principal: &Principal) -> String {
    principal.to_string()
}

fn unreadable(why: &str) -> Error {
    Error::internal("MW0452", format!("an audit leaf cannot be read or written: {why}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::TableRead;
    use super::*;
    use crate::id::OutputId;
    use crate::name::Name;

    fn entry() -> Entry {
        let at = chrono::DateTime::from_timestamp(1_790_000_000, 120_000_000).expect("a valid time");
        let event = Event::QueryIntent {
            query: "q1".to_owned(),
            port: "http".to_owned(),
            purpose: Some("reporting".to_owned()),
            tables: vec![TableRead {
                domain: Name::new("sales").expect("a name"),
                output: Name::new("orders").expect("a name"),
                output_id: OutputId::new("o1"),
                major: 1,
                delta_version: 3,
                columns: vec!["id".to_owned(), "email".to_owned()],
                masked: vec!["email".to_owned()],
                filtered: false,
                decision_digest: "d1".to_owned(),
            }],
            reasons: vec!["agreement a1".to_owned()],
            digest: "d0".to_owned(),
        };
        Entry::new(at, Principal::User("ana".to_owned()), event)
            .on_behalf_of(Principal::User("bob".to_owned()))
            .from_address(Some("127.0.0.1:5000".to_owned()))
            .with_statement("SELECT * FROM sales.orders WHERE id = 'x'")
    }

    fn sealed() -> Leaf {
        let (ana, bob) = (SubjectKey::new([1; 32]), SubjectKey::new([2; 32]));
        Leaf::seal(7, &entry(), &Seal { actor: &ana, subject: &bob, nonces: [[3; 12], [4; 12]] }).expect("sealed")
    }

    fn keys(of: &[[u8; 32]]) -> BTreeMap<String, SubjectKey> {
        of.iter().map(|key| SubjectKey::new(*key)).map(|key| (key.pseudonym().to_owned(), key)).collect()
    }

    #[test]
    fn golden_bytes() {
        // These bytes are a promise: audit logs that exist hash to them. Never edit this expectation; add a version.
        let text = String::from_utf8(sealed().to_bytes().expect("bytes")).expect("UTF-8");
        let expected = include_str!("golden_v1.json").trim_end();
        assert_eq!(text, expected);
    }

    #[test]
    fn nothing_personal_stands_in_clear() {
        let text = String::from_utf8(sealed().to_bytes().expect("bytes")).expect("UTF-8");
        for personal in ["ana", "bob", "127.0.0.1", "SELECT"] {
            assert!(!text.contains(personal), "{personal} leaks: {text}");
        }
    }

    #[test]
    fn opens_with_the_keys() {
        let bytes = sealed().to_bytes().expect("bytes");
        let opened = Leaf::parse(&bytes).expect("parsed").open(&keys(&[[1; 32], [2; 32]])).expect("opened");
        assert_eq!(opened.actor.as_deref(), Some("user:ana"));
        assert_eq!(opened.subject.as_deref(), Some("user:bob"));
        assert_eq!(opened.address.as_deref(), Some("127.0.0.1:5000"));
        assert_eq!(opened.statement, entry().statement);
        assert_eq!(opened.at, entry().at);
        assert_eq!(opened.event, entry().event);
    }

    #[test]
    fn an_erased_key_erases_only_its_person() {
        let opened = sealed().open(&keys(&[[2; 32]])).expect("opened");
        assert_eq!((opened.actor, opened.statement, opened.address), (None, None, None));
        assert_eq!(opened.subject.as_deref(), Some("user:bob"));
    }

    #[test]
    fn a_newer_leaf_is_refused_not_guessed() {
        let mut leaf = sealed();
        leaf.v = 2;
        let error = Leaf::parse(&leaf.to_bytes().expect("bytes")).expect_err("version 2 is unknown");
        assert_eq!(error.code, "MW0452");
    }
}
