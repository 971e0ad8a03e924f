//! That the log is what it was: walking it, signed checkpoints, and proofs for one record that need nothing else of it.

use meshwork_core::audit::checkpoint::{Tree, Verifier};
use meshwork_core::audit::leaf::Leaf;
use meshwork_core::audit::merkle::{self, Edge, Hash, Place, Range};
use meshwork_core::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{AuditService, CHUNK};
use crate::port::state::AuditRecord;

/// What walking the whole log found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Records that certainly hold, from the first on.
    pub records: u64,
    /// Of the tree over all of them, in hex, where they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Break>,
}

/// The first record that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Break {
    pub sequence: u64,
    pub because: String,
}

impl Verification {
    /// MW0451 when the log is broken.
    pub fn into_result(self) -> Result<Self> {
        match &self.broken {
            None => Ok(self),
            Some(at) => {
                let message = format!("the audit log is broken at record {}: {}", at.sequence, at.because);
                let intact = format!("the {} records before it are intact", self.records);
                Err(Error::check("MW0451", message).hint(intact).hint("compare with a backup"))
            }
        }
    }
}

/// That a record is in the log of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub sequence: u64,
    /// The record's final bytes.
    pub leaf: String,
    /// Hashes from the leaf to the root, in hex, the nearest first.
    pub path: Vec<String>,
    /// Signed size and root.
    pub checkpoint: String,
    /// What the checkpoint is verified with. Compare it with one that you got another way.
    pub verifier: String,
}

impl Proof {
    /// Whether it holds, for those who believe `verifier`. Needs nothing else.
    pub fn check(&self, verifier: &Verifier) -> Result<Tree> {
        let tree = verifier.open(&self.checkpoint)?;
        let path: Option<Vec<Hash>> = self.path.iter().map(|step| unhex(step)).collect();
        let leaf = merkle::leaf(self.leaf.as_bytes());
        let says = Leaf::parse(self.leaf.as_bytes())?.sequence;
        let index = self.sequence.checked_sub(1).filter(|_| says == self.sequence);
        let holds = index
            .zip(path)
            .is_some_and(|(index, path)| merkle::is_included(&leaf, index, tree.size, &path, &tree.root));
        if holds {
            return Ok(tree);
        }
        let message = format!("the proof does not hold: record {} is not in the log of its checkpoint", self.sequence);
        Err(Error::check("MW0456", message).hint("ask for a new proof; if that fails too, the log was changed"))
    }
}

impl AuditService {
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The log as it is now, signed. MW0457 before the first record.
    pub async fn checkpoint(&self) -> Result<String> {
        self.state.checkpoint().await?.ok_or_else(|| {
            Error::not_found("MW0457", "the audit log holds no record yet").hint("the first one brings a checkpoint")
        })
    }

    /// That a record is in the log as it is now. MW0457 when there is no such record.
    pub async fn prove(&self, sequence: u64) -> Result<Proof> {
        let checkpoint = self.checkpoint().await?;
        let tree = self.verifier.open(&checkpoint)?;
        let absent = || Error::not_found("MW0457", format!("the audit log has no record {sequence}"));
        let index = sequence.checked_sub(1).ok_or_else(absent)?;
        let path = merkle::inclusion(index, tree.size).ok_or_else(absent)?;
        let record = self.state.read(index, 1).await?.pop().filter(|record| record.sequence == sequence);
        let leaf = String::from_utf8(record.ok_or_else(absent)?.leaf).map_err(|_| damaged())?;
        let path = self.hashes(&path).await?;
        Ok(Proof { sequence, leaf, path, checkpoint, verifier: self.verifier.to_string() })
    }

    /// What shows that the log as it is now begins with its first `old` records, in hex.
    pub async fn continues(&self, old: u64) -> Result<(String, Vec<String>)> {
        let checkpoint = self.checkpoint().await?;
        let tree = self.verifier.open(&checkpoint)?;
        let path = merkle::consistency(old, tree.size)
            .ok_or_else(|| Error::not_found("MW0457", format!("the audit log has {} records, not {old}", tree.size)))?;
        Ok((checkpoint, self.hashes(&path).await?))
    }

    async fn hashes(&self, path: &[Range]) -> Result<Vec<String>> {
        let mut hashes = Vec::with_capacity(path.len());
        for range in path {
            let nodes = self.state.nodes(&range.places()).await?;
            let nodes = nodes.into_iter().collect::<Option<Vec<Hash>>>().ok_or_else(damaged)?;
            let edge = Edge::new(range.to - range.from, nodes).ok_or_else(damaged)?;
            hashes.push(hex(&edge.root()));
        }
        Ok(hashes)
    }

    /// Walks every record. An error means that the log could not be read; a broken log is an answer. `kept` is a
    /// checkpoint of this log from before, which was kept where nobody could change it.
    pub async fn verify(&self, kept: Option<&str>) -> Result<Verification> {
        let kept = kept.map(|note| self.verifier.open(note)).transpose()?;
        let mut edge = Edge::default();
        loop {
            let records = self.state.read(edge.size(), CHUNK).await?;
            if records.is_empty() {
                break;
            }
            let mut completed: Vec<(Place, Hash)> = Vec::new();
            let (mut flaw, mut kept_root) = (None, None);
            for record in &records {
                flaw = misplaced(record, edge.size() + 1);
                if flaw.is_some() {
                    break;
                }
                completed.extend(edge.push(merkle::leaf(&record.leaf)));
                if kept.is_some_and(|kept| kept.size == edge.size()) {
                    kept_root = Some(edge.root());
                }
            }
            // A record that was changed is named before what its change brought with it.
            let places: Vec<Place> = completed.iter().map(|(place, _)| *place).collect();
            let stored = self.state.nodes(&places).await?;
            let differs = completed.iter().zip(stored).find(|((_, hash), stored)| stored.as_ref() != Some(hash));
            if let Some(((place, _), _)) = differs {
                let (sequence, because) = match place.level {
                    0 => (place.index + 1, "its bytes are not those that were recorded"),
                    level => ((place.index + 1) << level, "the tree over it and the records before was changed"),
                };
                return Ok(broken(sequence - 1, because.to_owned()));
            }
            if let (Some(kept), Some(root)) = (kept, kept_root)
                && kept.root != root
            {
                let because =
                    format!("the first {} records are others than the checkpoint that was kept says", kept.size);
                return Ok(broken(0, because));
            }
            if let Some(because) = flaw {
                return Ok(broken(edge.size(), because));
            }
        }
        let size = edge.size();
        if let Some(kept) = kept.filter(|kept| kept.size > size) {
            return Ok(broken(size, format!("records up to {} were there, as the checkpoint shows", kept.size)));
        }
        Ok(match self.signed(&edge).await? {
            Some((records, because)) => broken(records, because),
            None => Verification { records: size, root: Some(hex(&edge.root())), broken: None },
        })
    }

    /// What the last checkpoint says against the tree, if anything, and how many records it leaves.
    async fn signed(&self, edge: &Edge) -> Result<Option<(u64, String)>> {
        let size = edge.size();
        let Some(note) = self.state.checkpoint().await? else {
            return Ok((size > 0).then(|| (0, "no checkpoint was signed for the log".to_owned())));
        };
        Ok(match self.verifier.open(&note) {
            Err(error) => Some((0, error.message)),
            Ok(tree) if tree.size > size => Some((size, format!("records up to {} were there", tree.size))),
            Ok(tree) if tree.size < size => Some((0, "records were put in after the last checkpoint".to_owned())),
            Ok(tree) if tree.root != edge.root() => {
                Some((0, "records were changed, and the tree with them: the checkpoint is of another".to_owned()))
            }
            Ok(_) => None,
        })
    }
}

fn broken(records: u64, because: String) -> Verification {
    Verification { records, root: None, broken: Some(Break { sequence: records + 1, because }) }
}

/// Why a record cannot stand where it does, if so.
fn misplaced(record: &AuditRecord, expected: u64) -> Option<String> {
    if record.sequence != expected {
        return Some(format!("record {expected} is missing; the next one is {}", record.sequence));
    }
    match Leaf::parse(&record.leaf) {
        Err(error) => Some(error.message),
        Ok(leaf) if leaf.sequence != expected => Some(format!("its leaf says it is record {}", leaf.sequence)),
        Ok(_) => None,
    }
}

fn damaged() -> Error {
    Error::check("MW0451", "the audit log is broken: a part of its tree is missing")
        .hint("`meshwork audit verify` names the first record that does not hold")
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let bytes = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}
