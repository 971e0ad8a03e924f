//! Classifications with the masks that they take from their parents (D19).

use std::collections::BTreeMap;

use super::declared::{CLASSIFICATIONS, Declared};
use super::report::Report;
use crate::classification::{Classification, LogicalFamily};
use crate::manifest::classifications::ClassificationManifest;
use crate::mask::Mask;
use crate::name::Name;
use crate::reader::Spanned;
use crate::types::ColumnType;

#[derive(Debug, Default)]
pub(super) struct Classifications {
    pub all: Vec<Classification>,
    /// Whether all declared ones are here, so that one missing is really unknown.
    pub complete: bool,
}

impl Classifications {
    pub fn find(&self, name: &str) -> Option<&Classification> {
        self.all.iter().find(|classification| classification.name == *name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|classification| classification.name.as_str())
    }
}

type Manifests<'d> = BTreeMap<&'d str, (&'d Spanned<Name>, &'d ClassificationManifest)>;

pub(super) fn resolve(declared: &Declared, report: &mut Report) -> Classifications {
    let mut manifests: Manifests<'_> = BTreeMap::new();
    let mut order = Vec::new();
    for (name, manifest) in &declared.classifications.classifications {
        if let Some((first, _)) = manifests.get(name.value.as_str()) {
            let message = format!("the classification `{}` already stands in line {}", name.value, first.span.line);
            report.error("MW0135", CLASSIFICATIONS, name.span, message).hint("Keep one of the two.");
            continue;
        }
        manifests.insert(name.value.as_str(), (name, manifest));
        order.push(name.value.as_str());
        masks_apply(manifest, report);
    }
    let all = order.iter().filter_map(|name| one(name, &manifests, report)).collect::<Vec<_>>();
    for classification in &all {
        weaker_than_parent(classification, &all, &manifests, report);
    }
    let complete = all.len() == order.len();
    Classifications { all, complete }
}

/// A mask for a type that it cannot mask is wrong even before a column has it.
fn masks_apply(manifest: &ClassificationManifest, report: &mut Report) {
    for (family, mask) in &manifest.by_type {
        if !mask.value.applies_to(&example(*family)) {
            let message =
                format!("the mask `{}` does not apply to columns of type {}", mask_name(mask.value), name_of(*family));
            report
                .error("MW0153", CLASSIFICATIONS, mask.span, message)
                .hint("`replace-with-null` applies to every type.");
        }
    }
}

fn one(name: &str, manifests: &Manifests<'_>, report: &mut Report) -> Option<Classification> {
    let (own_name, own) = manifests.get(name)?;
    let mut path = vec![name];
    let (mut mask, mut by_type) = (own.mask.as_ref(), &own.by_type);
    let mut at: &ClassificationManifest = own;
    while let Some(parent) = &at.parent {
        let Some((_, next)) = manifests.get(parent.value.as_str()) else {
            if path.len() == 1 {
                let message = format!("there is no classification `{}`", parent.value);
                report
                    .error("MW0154", CLASSIFICATIONS, parent.span, message)
                    .meant(&parent.value, manifests.keys().copied());
            }
            return None;
        };
        if path.contains(&parent.value.as_str()) {
            if parent.value == *name {
                let message = format!("classifications refine each other in a circle: {} → {name}", path.join(" → "));
                report.error("MW0154", CLASSIFICATIONS, parent.span, message).hint("Remove one `parent`.");
            }
            return None;
        }
        path.push(&parent.value);
        if mask.is_none() {
            mask = next.mask.as_ref();
            if by_type.is_empty() {
                by_type = &next.by_type;
            }
        }
        at = next;
    }
    let mut types: Vec<(LogicalFamily, Mask)> = by_type.iter().map(|(family, mask)| (*family, mask.value)).collect();
    if mask.is_none() {
        // Keyed hashing needs text or whole numbers; what it cannot mask is not shown at all.
        for family in NOT_HASHED {
            if types.iter().all(|(of, _)| *of != family) {
                types.push((family, Mask::ReplaceWithNull));
            }
        }
    }
    Some(Classification {
        name: own_name.value.clone(),
        description: own.description.clone(),
        parent: own.parent.as_ref().map(|parent| parent.value.clone()),
        mask: mask.map_or(Mask::HmacSha256, |mask| mask.value),
        by_type: types,
    })
}

/// A refinement may only tighten: of its own and its parent's mask the stricter applies, so a weaker one has no effect.
fn weaker_than_parent(of: &Classification, all: &[Classification], manifests: &Manifests<'_>, report: &mut Report) {
    let parent = of.parent.as_ref().and_then(|parent| all.iter().find(|known| known.name == *parent));
    let declared = manifests.get(of.name.as_str()).and_then(|(_, manifest)| manifest.mask.as_ref());
    let (Some(parent), Some(declared)) = (parent, declared) else { return };
    let ty = ColumnType::Text;
    let (own, above) = (of.mask_for(&ty), parent.mask_for(&ty));
    if own.applies_to(&ty) && above.applies_to(&ty) && own.and(above) != own {
        let message = format!(
            "the mask `{}` is weaker than `{}` of `{}`, which applies all the same",
            mask_name(own),
            mask_name(above),
            parent.name
        );
        let hint = format!("Remove `parent: {}`, or take a mask that is at least as strict.", parent.name);
        report.warning("MW0159", CLASSIFICATIONS, declared.span, message).hint(hint);
    }
}

const NOT_HASHED: [LogicalFamily; 5] = [
    LogicalFamily::Number,
    LogicalFamily::Boolean,
    LogicalFamily::Date,
    LogicalFamily::Timestamp,
    LogicalFamily::Nested,
];

fn example(family: LogicalFamily) -> ColumnType {
    match family {
        LogicalFamily::Text => ColumnType::Text,
        LogicalFamily::Integer => ColumnType::Int64,
        LogicalFamily::Number => ColumnType::Float64,
        LogicalFamily::Boolean => ColumnType::Boolean,
        LogicalFamily::Date => ColumnType::Date,
        LogicalFamily::Timestamp => ColumnType::Timestamp,
        LogicalFamily::Nested => ColumnType::Struct(Vec::new()),
    }
}

fn name_of(family: LogicalFamily) -> &'static str {
    match family {
        LogicalFamily::Text => "text",
        LogicalFamily::Integer => "integer",
        LogicalFamily::Number => "number",
        LogicalFamily::Boolean => "boolean",
        LogicalFamily::Date => "date",
        LogicalFamily::Timestamp => "timestamp",
        LogicalFamily::Nested => "nested",
    }
}

pub(super) fn family_name(ty: &ColumnType) -> &'static str {
    name_of(LogicalFamily::of(ty))
}

pub(super) fn mask_name(mask: Mask) -> String {
    serde_json::to_value(mask).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
