//! Products that read each other in a circle could never run.

use std::collections::BTreeMap;

use super::index::Index;
use super::inputs::{Inputs, Reads};
use super::report::Report;
use crate::manifest::product::InputManifest;
use crate::yaml::Span;

type Node<'d> = (&'d str, &'d str);

/// Reports each circle once, at the input that closes it.
pub(super) fn find(index: &Index<'_>, inputs: &Inputs<'_>, report: &mut Report) {
    let mut edges: BTreeMap<Node<'_>, Vec<(Node<'_>, Span)>> = BTreeMap::new();
    for (node, product) in &index.products {
        let Some(manifest) = &product.manifest else { continue };
        for (name, input) in &manifest.inputs {
            if let (InputManifest::Product(input), Some(Reads::Output { domain, product: to, .. })) =
                (input, inputs.of(product, &name.value))
            {
                edges.entry(*node).or_default().push(((*domain, *to), input.product.span));
            }
        }
    }
    let mut done: BTreeMap<Node<'_>, State> = BTreeMap::new();
    for start in edges.keys() {
        walk(*start, &edges, &mut done, index, report);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    OnPath,
    Done,
}

/// Depth-first with an explicit stack: a chain of products may be long.
fn walk<'d>(
    start: Node<'d>,
    edges: &BTreeMap<Node<'d>, Vec<(Node<'d>, Span)>>,
    done: &mut BTreeMap<Node<'d>, State>,
    index: &Index<'_>,
    report: &mut Report,
) {
    if done.contains_key(&start) {
        return;
    }
    let mut path: Vec<(Node<'d>, usize)> = vec![(start, 0)];
    done.insert(start, State::OnPath);
    while let Some((node, next)) = path.last_mut() {
        let node = *node;
        let Some((to, span)) = edges.get(&node).and_then(|targets| targets.get(*next)).copied() else {
            done.insert(node, State::Done);
            path.pop();
            continue;
        };
        *next += 1;
        match done.get(&to) {
            Some(State::Done) => {}
            Some(State::OnPath) => {
                let from = path.iter().position(|(on_path, _)| *on_path == to).unwrap_or(0);
                let circle: Vec<String> = path[from..]
                    .iter()
                    .map(|(node, _)| *node)
                    .chain([to])
                    .map(|(domain, product)| format!("{domain}.{product}"))
                    .collect();
                if let Some(product) = index.products.get(&node) {
                    report
                        .error(
                            "MW0142",
                            &product.path,
                            span,
                            format!("products read each other in a circle: {}", circle.join(" → ")),
                        )
                        .hint("Split one of them, so that what the others need does not depend on them.");
                }
            }
            None => {
                done.insert(to, State::OnPath);
                path.push((to, 0));
            }
        }
    }
}
