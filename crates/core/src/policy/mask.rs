//! Which mask a column needs (D18), given what its values already bear (D19).

use std::collections::BTreeMap;

use crate::classification::Classification;
use crate::contract::Field;
use crate::lineage::{ColumnLineage, Inherited};
use crate::mask::Mask;
use crate::name::Name;
use crate::types::ColumnType;

/// The weakest mask that values of each classification already bear; `None`: at least some of them are in the clear.
pub(super) type Borne = BTreeMap<Name, Option<Mask>>;

/// Classifications of a column: those that its contract declares and those that it inherits, each with its mask state.
///
/// A declared classification counts as already masked only if every column whose values flow into this one bore it
/// masked; a column without known lineage is taken to hold clear values.
pub(super) fn borne(field: &Field, lineage: Option<&ColumnLineage>) -> Borne {
    let mut borne = Borne::new();
    for Inherited { classification, masked_by } in lineage.iter().flat_map(|l| &l.inherited) {
        weaken(&mut borne, classification, *masked_by);
    }
    for classification in &field.classifications {
        let mut flows = lineage.iter().flat_map(|l| &l.from).filter(|source| source.flows).peekable();
        if flows.peek().is_none() {
            weaken(&mut borne, classification, None);
        }
        for source in flows {
            let mut states = source.bears.iter().filter(|i| i.classification == *classification).peekable();
            if states.peek().is_none() {
                weaken(&mut borne, classification, None);
            }
            for state in states {
                weaken(&mut borne, classification, state.masked_by);
            }
        }
    }
    borne
}

fn weaken(borne: &mut Borne, classification: &Name, state: Option<Mask>) {
    let weakest = borne.entry(classification.clone()).or_insert(state);
    *weakest = match (*weakest, state) {
        (Some(a), Some(b)) => Some(a.min(b)),
        _ => None,
    };
}

/// The mask that a classification asks for on a type: the strictest of its own and its ancestors' that the type can
/// bear. Where none can, or nobody knows the classification, the value is withheld altogether.
pub fn required_mask(classification: &Name, ty: &ColumnType, known: &[Classification]) -> Mask {
    let bearable = chain(classification, ty, known).filter(|mask| mask.applies_to(ty)).reduce(Mask::and);
    bearable.filter(|mask| mask.applies_to(ty)).unwrap_or(Mask::ReplaceWithNull)
}

/// The strictness that the classification is about, whether or not a value of this type could bear it: a length that was
/// computed from a hash needs no more masking, though no hash fits its type.
fn intended_mask(classification: &Name, ty: &ColumnType, known: &[Classification]) -> Mask {
    chain(classification, ty, known).reduce(Mask::and).unwrap_or(Mask::ReplaceWithNull)
}

/// The masks of a classification and its ancestors.
fn chain<'a>(of: &'a Name, ty: &'a ColumnType, known: &'a [Classification]) -> impl Iterator<Item = Mask> + 'a {
    let find = |name: &Name| known.iter().find(|c| c.name == *name);
    let up = move |c: &&'a Classification| c.parent.as_ref().and_then(find);
    // A chain longer than the list has a cycle; `check` reports that.
    std::iter::successors(find(of), up).take(known.len()).map(|c| c.mask_for(ty))
}

/// A mask to apply and the classification whose key it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obligation {
    pub mask: Mask,
    pub key: Name,
}

/// What still has to be applied when the reader may not see clear values. `None`: the values already bear enough.
pub(super) fn obligation(borne: &Borne, ty: &ColumnType, known: &[Classification]) -> Option<Obligation> {
    let mut all: Option<Obligation> = None;
    for (classification, state) in borne {
        if state.is_some_and(|applied| applied >= intended_mask(classification, ty, known)) {
            continue;
        }
        let mask = required_mask(classification, ty, known);
        all = Some(match all {
            None => Obligation { mask, key: classification.clone() },
            Some(other) => {
                let both = other.mask.and(mask);
                let key = if both == other.mask { other.key } else { classification.clone() };
                Obligation { mask: if both.applies_to(ty) { both } else { Mask::ReplaceWithNull }, key }
            }
        });
    }
    all
}

/// What values bear when they leave the barrier, after `applied`.
pub(super) fn leaving(borne: &Borne, applied: Option<Mask>) -> Vec<Inherited> {
    borne
        .iter()
        .map(|(classification, state)| Inherited {
            classification: classification.clone(),
            masked_by: (*state).max(applied),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn class(of: &str, parent: Option<&str>, mask: Mask) -> Classification {
        Classification { name: name(of), description: None, parent: parent.map(name), mask, by_type: Vec::new() }
    }

    #[test]
    fn a_child_takes_the_strictest_of_itself_and_its_ancestors() {
        let known = [
            class("pii", None, Mask::HmacSha256),
            class("contact", Some("pii"), Mask::ShowLast4),
            class("secret", Some("contact"), Mask::ReplaceWithNull),
        ];
        assert_eq!(required_mask(&name("contact"), &ColumnType::Text, &known), Mask::HmacSha256);
        assert_eq!(required_mask(&name("secret"), &ColumnType::Text, &known), Mask::ReplaceWithNull);
        // No mask of the chain fits a double; nobody knows the other: nothing is shown.
        assert_eq!(required_mask(&name("pii"), &ColumnType::Float64, &known), Mask::ReplaceWithNull);
        assert_eq!(required_mask(&name("unknown"), &ColumnType::Text, &known), Mask::ReplaceWithNull);
    }

    #[test]
    fn cyclic_parents_end() {
        let known = [class("a", Some("b"), Mask::HmacSha256), class("b", Some("a"), Mask::ShowFirst4)];
        assert_eq!(required_mask(&name("a"), &ColumnType::Text, &known), Mask::HmacSha256);
    }

    #[test]
    fn the_same_mask_is_not_applied_again_but_a_stricter_one_is() {
        let known = [class("pii", None, Mask::HmacSha256)];
        let need = |state| obligation(&Borne::from([(name("pii"), state)]), &ColumnType::Text, &known).map(|o| o.mask);
        assert_eq!(need(None), Some(Mask::HmacSha256));
        assert_eq!(need(Some(Mask::HmacSha256)), None);
        assert_eq!(need(Some(Mask::ReplaceWithNull)), None);
        assert_eq!(need(Some(Mask::ShowLast4)), Some(Mask::HmacSha256));
        // A number computed from a hash: no hash fits a double, and none is needed.
        let double = |state| obligation(&Borne::from([(name("pii"), state)]), &ColumnType::Float64, &known);
        assert_eq!(double(Some(Mask::HmacSha256)), None);
        assert_eq!(double(None).map(|o| o.mask), Some(Mask::ReplaceWithNull));
    }

    #[test]
    fn first_and_last_together_become_alphanum() {
        let known = [class("a", None, Mask::ShowFirst4), class("b", None, Mask::ShowLast4)];
        let borne = Borne::from([(name("a"), None), (name("b"), None)]);
        assert_eq!(obligation(&borne, &ColumnType::Text, &known).map(|o| o.mask), Some(Mask::MaskAlphanum));
    }
}
