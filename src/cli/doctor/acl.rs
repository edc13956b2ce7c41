//! Access control lists, which may grant more than a file's mode shows.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{getxattr, listxattr};

/// Where the kernel keeps the list of a file, and the one that new files of a directory get.
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// The version in the first four bytes (`linux/posix_acl_xattr.h`); entries of eight bytes follow.
const VERSION: u32 = 2;

/// Far more than a file system stores.
const LONGEST: usize = 64 << 10;

const USER_OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OWNER: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;

/// The entries of a list: tag, permissions, and for a named user or group its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Acl(Vec<(u16, u16, u32)>);

/// What is to be done with a file; the bits of one class in its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    Read = 4,
    Write = 2,
    Enter = 1,
}

/// A user and its groups, by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ids {
    pub(super) uid: u32,
    pub(super) groups: BTreeSet<u32>,
}

/// Whose file the list is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Whether the file has a list beyond its mode.
pub(super) fn is_there(path: &Path) -> bool {
    Acl::of(path).is_some()
}

/// Whether the directory's default list lets a user write the files that others make in it.
pub(super) fn lets_write_new(directory: &Path, ids: &Ids) -> bool {
    // A new file belongs to who makes it, and that is not this user.
    let nobody = Owner {
        uid: u32::MAX,
        gid: u32::MAX,
    };
    Acl::read(directory, DEFAULT).is_some_and(|acl| acl.lets(ids, nobody, Want::Write))
}

impl Acl {
    /// The list that decides who may do what with the file; `None` where its mode does.
    pub(super) fn of(path: &Path) -> Option<Self> {
        Self::read(path, ACCESS)
    }

    fn read(path: &Path, attribute: &str) -> Option<Self> {
        let mut names = [0; 4096];
        let length = listxattr(path, &mut names).ok()?;
        names[..length]
            .split(|byte| *byte == 0)
            .find(|name| *name == attribute.as_bytes())?;
        let mut bytes = vec![0; LONGEST];
        let length = getxattr(path, attribute, &mut *bytes).ok()?;
        Self::parse(&bytes[..length])
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = bytes.split_first_chunk()?;
        if u32::from_le_bytes(*version) != VERSION {
            return None;
        }
        let entries = entries.chunks_exact(8).map(|entry| {
            let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            (half(0), half(2), id)
        });
        Some(Self(entries.collect()))
    }

    /// Whether the list lets the user do this: the first that applies of owner, named user, groups, others (acl(5)).
    pub(super) fn lets(&self, ids: &Ids, owner: Owner, want: Want) -> bool {
        let wanted = want as u16;
        let of = |tag| self.0.iter().filter(move |entry| entry.0 == tag);
        let mask = of(MASK).next().map_or(7, |entry| entry.1);
        let allows = |permissions: u16| permissions & wanted != 0;
        if ids.uid == owner.uid {
            return of(USER_OWNER).any(|entry| allows(entry.1));
        }
        if let Some(named) = of(USER).find(|entry| entry.2 == ids.uid) {
            return allows(named.1 & mask);
        }
        let own_group = of(GROUP_OWNER).filter(|_| ids.groups.contains(&owner.gid));
        let mut groups = own_group
            .chain(of(GROUP).filter(|entry| ids.groups.contains(&entry.2)))
            .peekable();
        if groups.peek().is_some() {
            return groups.any(|entry| allows(entry.1 & mask));
        }
        self.0
            .iter()
            .filter(|entry| entry.0 > MASK)
            .any(|entry| allows(entry.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ID: u32 = u32::MAX;
    const OTHERS: u16 = 0x20;
    const OWNER: Owner = Owner { uid: 1, gid: 1 };

    fn ids(uid: u32, groups: &[u32]) -> Ids {
        let groups = groups.iter().copied().collect();
        Ids { uid, groups }
    }

    fn acl(entries: &[(u16, u16, u32)]) -> Acl {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        Acl::parse(&bytes).unwrap()
    }

    #[test]
    fn the_first_that_applies_decides() {
        let acl = acl(&[
            (USER_OWNER, 6, NO_ID),
            (USER, 2, 7),
            (USER, 4, 8),
            (GROUP_OWNER, 4, NO_ID),
            (GROUP, 6, 9),
            (MASK, 6, NO_ID),
            (OTHERS, 0, NO_ID),
        ]);
        let lets = |uid, groups: &[u32], want| acl.lets(&ids(uid, groups), OWNER, want);
        assert!(lets(1, &[], Want::Write));
        assert!(lets(7, &[1], Want::Write) && !lets(7, &[1], Want::Read));
        assert!(lets(8, &[9], Want::Read) && !lets(8, &[9], Want::Write));
        assert!(lets(5, &[1], Want::Read) && !lets(5, &[1], Want::Write));
        assert!(lets(5, &[1, 9], Want::Write));
        assert!(!lets(5, &[5], Want::Read));
    }

    #[test]
    fn the_mask_limits_all_but_owner_and_others() {
        let acl = acl(&[
            (USER_OWNER, 7, NO_ID),
            (USER, 7, 7),
            (MASK, 4, NO_ID),
            (OTHERS, 2, NO_ID),
        ]);
        let lets = |uid| acl.lets(&ids(uid, &[]), OWNER, Want::Write);
        assert!(lets(1) && !lets(7) && lets(5));
        assert_eq!(Acl::parse(b"\x01\0\0\0"), None);
        assert_eq!(Acl::parse(b""), None);
    }
}
