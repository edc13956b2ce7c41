//! What differs between two states of a registration.

use super::Kind;
use crate::registration::Registration;
use crate::registration::item::{Field, Wire};

/// What makes a registration [moved](Kind::Moved).
const PLACE: [Field; 4] = [
    Field::SourceIp,
    Field::SourcePort,
    Field::ContactIp,
    Field::ContactPort,
];

/// Whether every REGISTER changes it: times and `cseq`. Not in `previous`.
pub(super) fn is_moving(field: Field) -> bool {
    use Field as F;
    matches!(
        field,
        F::EventTimestamp
            | F::LastRegistration
            | F::InitialRegistration
            | F::Expires
            | F::ExpiresAt
            | F::GrantedExpires
            | F::Cseq
    )
}

/// The fields whose values differ, times and `cseq` aside.
pub(super) fn changed_fields<'a>(
    before: &'a Registration,
    after: &'a Registration,
    wire: Wire,
) -> impl Iterator<Item = Field> + 'a {
    let usual = Field::USUAL.iter().copied();
    usual.filter(move |field| {
        !is_moving(*field) && before.value(*field, wire, 0) != after.value(*field, wire, 0)
    })
}

/// What became of a registration that is listed before and after; `None` where the item is what it was.
pub(super) fn kind(before: &Registration, after: &Registration) -> Option<Kind> {
    if before.digest() == after.digest() {
        return None;
    }
    let mut kind = Kind::Refreshed;
    for field in changed_fields(before, after, Wire::Document) {
        if PLACE.contains(&field) {
            return Some(Kind::Moved);
        }
        kind = Kind::Changed;
    }
    Some(kind)
}
