//! The Merkle tree over leaves (RFC 6962, section 2.1): a root stands for all of them and their order, and whether one is
//! among them, or one tree continues another, is shown by a few hashes.
//!
//! A full tree is kept as the hashes of its complete subtrees. The one of level `l` and index `i` is over the `2^l` leaves
//! from `i·2^l` on; once complete it never changes.

use sha2::{Digest, Sha256};

pub type Hash = [u8; 32];

/// Of an empty tree.
pub fn empty() -> Hash {
    Sha256::digest([]).into()
}

/// Leaves and nodes hash apart, so that no node passes for a leaf.
pub fn leaf(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

pub fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// A complete subtree by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub level: u32,
    pub index: u64,
}

/// The right edge of a tree that grows: its complete subtrees, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    roots: Vec<Hash>,
}

impl Edge {
    /// The complete subtrees that the edge of a tree of that size has, the largest first.
    pub fn places(size: u64) -> Vec<Place> {
        let levels = (0..u64::BITS).rev().filter(|level| size >> level & 1 == 1);
        levels.map(|level| Place { level, index: (size >> level) - 1 }).collect()
    }

    /// Of a tree of that size, from the hashes at [`Self::places`].
    pub fn new(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (roots.len() == size.count_ones() as usize).then_some(Self { size, roots })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf, and tells the subtrees that it completes, itself the first.
    pub fn push(&mut self, leaf: Hash) -> Vec<(Place, Hash)> {
        let (mut hash, mut index) = (leaf, self.size);
        let mut completed = vec![(Place { level: 0, index }, hash)];
        for level in 1..=self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else { break };
            hash = node(&left, &hash);
            index >>= 1;
            completed.push((Place { level, index }, hash));
        }
        self.roots.push(hash);
        self.size += 1;
        completed
    }

    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(smallest) = roots.next() else { return empty() };
        roots.fold(*smallest, |right, left| node(left, &right))
    }
}

/// Leaves `from..to`, whose hash is one step of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub from: u64,
    pub to: u64,
}

impl Range {
    /// The complete subtrees that it consists of, the largest first: [`Edge::new`] over their hashes has its root.
    ///
    /// `from` is a multiple of the largest, as in every range of a proof.
    pub fn places(self) -> Vec<Place> {
        let within = Edge::places(self.to - self.from);
        within.into_iter().map(|Place { level, index }| Place { level, index: index + (self.from >> level) }).collect()
    }
}

/// The largest power of two below `n`, which is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The audit path of a leaf in the tree of the first `size`: what it takes to compute the root from the leaf, the
/// nearest first. `None`: the tree has no such leaf.
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range>> {
    if index >= size {
        return None;
    }
    let (mut from, mut to, mut path) = (0, size, Vec::new());
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(Range { from: middle, to });
            to = middle;
        } else {
            path.push(Range { from, to: middle });
            from = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// What shows that the tree of the first `new` leaves begins with that of the first `old`. `None`: it cannot.
pub fn consistency(old: u64, new: u64) -> Option<Vec<Range>> {
    if old > new {
        return None;
    }
    if old == 0 || old == new {
        return Some(Vec::new());
    }
    // PROOF(m, D[n]) = SUBPROOF(m, D[n], true), from the root down.
    let (mut from, mut to, mut whole, mut path) = (0, new, true, Vec::new());
    loop {
        if old == to {
            if !whole {
                path.push(Range { from, to });
            }
            break;
        }
        let middle = from + split(to - from);
        if old <= middle {
            path.push(Range { from: middle, to });
            to = middle;
        } else {
            path.push(Range { from, to: middle });
            from = middle;
            whole = false;
        }
    }
    path.reverse();
    Some(path)
}

/// Whether a path leads from a leaf to the root of a tree of that size (RFC 9162, section 2.1.3.2).
pub fn is_included(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for step in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether a path shows that one tree continues another (RFC 9162, section 2.1.4.2).
pub fn is_consistent(old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]) -> bool {
    let ((old, old_root), (new, new_root)) = (old, new);
    if old == 0 {
        return path.is_empty() && *old_root == empty();
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    if old > new {
        return false;
    }
    // A complete old tree is its own first step.
    let whole = old.is_power_of_two().then_some(old_root);
    let mut steps = whole.into_iter().chain(path);
    let Some(first) = steps.next() else { return false };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut of_old, mut of_new) = (*first, *first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            of_old = node(step, &of_old);
            of_new = node(step, &of_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            of_new = node(&of_new, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && of_old == *old_root && of_new == *new_root
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// By the recursive definition of RFC 6962.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty(),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node(&defined(left), &defined(right))
            }
        }
    }

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|n| leaf(&n.to_be_bytes())).collect()
    }

    fn grown(leaves: &[Hash]) -> (Edge, BTreeMap<Place, Hash>) {
        let (mut edge, mut nodes) = (Edge::default(), BTreeMap::new());
        for leaf in leaves {
            nodes.extend(edge.push(*leaf));
        }
        (edge, nodes)
    }

    fn of(range: Range, nodes: &BTreeMap<Place, Hash>) -> Hash {
        let hashes = range.places().iter().map(|place| nodes[place]).collect();
        Edge::new(range.to - range.from, hashes).expect("as many").root()
    }

    /// The vectors of the reference implementation of Certificate Transparency.
    #[test]
    fn known_roots() {
        let hex = |hash: Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut edge = Edge::default();
        assert_eq!(hex(edge.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (input, root) in inputs.iter().zip(roots) {
            edge.push(leaf(input));
            assert_eq!(hex(edge.root()), root);
        }
    }

    #[test]
    fn trees_of_every_size_prove_what_they_hold_and_nothing_else() {
        let leaves = leaves(70);
        for size in 0..=leaves.len() {
            let (edge, nodes) = grown(&leaves[..size]);
            let (n, root) = (size as u64, defined(&leaves[..size]));
            assert_eq!(edge.root(), root, "{size}");
            let kept = Edge::places(n).iter().map(|place| nodes[place]).collect();
            assert_eq!(Edge::new(n, kept).as_ref(), Some(&edge));
            for (index, leaf) in (0u64..).zip(&leaves[..size]) {
                let path: Vec<Hash> =
                    inclusion(index, n).expect("there").into_iter().map(|range| of(range, &nodes)).collect();
                assert!(is_included(leaf, index, n, &path, &root), "{index} of {size}");
                assert!(!is_included(&empty(), index, n, &path, &root));
                assert!(!is_included(leaf, index + 1, n, &path, &root));
                assert!(!is_included(leaf, index, n, &path, &empty()));
            }
            assert_eq!(inclusion(n, n), None);
            for old in 0..=size {
                let (m, old_root) = (old as u64, defined(&leaves[..old]));
                let path: Vec<Hash> =
                    consistency(m, n).expect("in order").into_iter().map(|range| of(range, &nodes)).collect();
                assert!(is_consistent((m, &old_root), (n, &root), &path), "{old} in {size}");
                let other = leaf(b"another past");
                assert!(!is_consistent((m, &other), (n, &root), &path), "{old} in {size}");
                if old > 0 {
                    assert!(!is_consistent((m, &old_root), (n, &other), &path), "{old} in {size}");
                }
            }
            assert_eq!(consistency(n + 1, n), None);
        }
    }
}
