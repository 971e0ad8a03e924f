//! A checkpoint: size and root of the log at one moment, signed. As text it is a signed note (c2sp.org/signed-note) in the form
//! of c2sp.org/tlog-checkpoint, which auditors' tools read:
//!
//! ```text
//! meshwork/<mesh id>
//! <number of leaves>
//! <root, base64>
//!
//! — meshwork/<mesh id> <key id and Ed25519 signature, base64>
//! ```

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::merkle::Hash;
use crate::error::{Error, Result};

/// The kind of signature, as a signed note numbers them.
const KIND: u8 = 1;

/// The log at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    pub size: u64,
    pub root: Hash,
}

pub struct Signer {
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.verifier)
    }
}

impl Signer {
    /// `seed` is secret. `name` holds no blanks and no `+`.
    pub fn new(name: &str, seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed");
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        Self { pair, verifier: Verifier { name: name.to_owned(), key } }
    }

    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    pub fn sign(&self, tree: &Tree) -> String {
        let name = &self.verifier.name;
        let text = format!("{name}\n{}\n{}\n", tree.size, BASE64.encode(tree.root));
        let signature = [&self.verifier.id()[..], self.pair.sign(text.as_bytes()).as_ref()].concat();
        format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(signature))
    }
}

/// What tells a log's own checkpoints from others. As text `name+id+key`, as a signed note has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    key: [u8; 32],
}

impl Verifier {
    fn id(&self) -> [u8; 4] {
        let digest =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', KIND]).chain_update(self.key).finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// What a checkpoint says, if it is of this log.
    pub fn open(&self, note: &str) -> Result<Tree> {
        let foreign = |why: &str| {
            Error::check("MW0454", format!("this is no checkpoint of the audit log: {why}"))
                .hint("`meshwork audit checkpoint` prints one, and the key that verifies it")
        };
        let (text, signatures) = note.split_once("\n\n").ok_or_else(|| foreign("it has no signature"))?;
        let text = format!("{text}\n");
        let prefix = format!("\u{2014} {} ", self.name);
        let signed = signatures.lines().filter_map(|line| BASE64.decode(line.strip_prefix(&prefix)?).ok());
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        let by_us = |signed: Vec<u8>| {
            let signature = signed.strip_prefix(&self.id());
            signature.is_some_and(|signature| key.verify(text.as_bytes(), signature).is_ok())
        };
        if !signed.into_iter().any(by_us) {
            return Err(foreign("it is not signed with its key"));
        }
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let size = size.and_then(|size| size.parse().ok()).filter(|_| origin == Some(&self.name));
        let root = root.and_then(|root| BASE64.decode(root).ok()).and_then(|root| root.try_into().ok());
        size.zip(root).map(|(size, root)| Tree { size, root }).ok_or_else(|| foreign("it cannot be read"))
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id: String = self.id().iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{}+{id}+{}", self.name, BASE64.encode([&[KIND][..], &self.key].concat()))
    }
}

impl FromStr for Verifier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let mut parts = text.trim().splitn(3, '+');
            let (name, _, key) = (parts.next()?, parts.next()?, parts.next()?);
            let key = BASE64.decode(key).ok()?;
            let key = key.strip_prefix(&[KIND])?.try_into().ok()?;
            Some(Self { name: name.to_owned(), key }).filter(|found| found.to_string() == text.trim())
        };
        read().ok_or_else(|| {
            Error::usage("MW0455", "this is not the key of an audit log")
                .hint("it has the form `name+id+key`; `meshwork audit checkpoint` prints it")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: Tree = Tree { size: 7, root: [9; 32] };

    fn signer(seed: u8) -> Signer {
        Signer::new("meshwork/m1", &[seed; 32])
    }

    #[test]
    fn only_the_logs_own_words_are_believed() {
        let note = signer(1).sign(&TREE);
        let verifier: Verifier = signer(1).verifier().to_string().parse().expect("read");
        assert_eq!(verifier.open(&note), Ok(TREE));
        let code = |note: &str| verifier.open(note).expect_err("refused").code;
        assert_eq!(code(&note.replacen("\n7\n", "\n6\n", 1)), "MW0454", "another size");
        assert_eq!(code(&note.replace("m1", "m2")), "MW0454", "another log");
        assert_eq!(code(&signer(2).sign(&TREE)), "MW0454", "another key");
        assert_eq!(code(note.split_once("\n\n").expect("two parts").0), "MW0454", "unsigned");
        assert_eq!(code(""), "MW0454");
        // Others may sign the same text, as witnesses do.
        let witnessed = format!("{note}\u{2014} witness AAAA\n");
        assert_eq!(verifier.open(&witnessed), Ok(TREE));
    }

    #[test]
    fn keys_are_read_as_they_are_written_or_not_at_all() {
        let text = signer(1).verifier().to_string();
        assert!(text.starts_with("meshwork/m1+"), "{text}");
        for wrong in ["", "a+b", "a+00000000+AQ==", &text[..text.len() - 2], &text.replacen('1', "2", 1)] {
            assert_eq!(wrong.parse::<Verifier>().expect_err("refused").code, "MW0455", "{wrong}");
        }
    }
}
