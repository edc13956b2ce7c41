//! The user whose permissions are judged.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::{getegid, geteuid};

use super::acl::{Acl, Ids, Owner, Want};
use crate::daemon::Failure;

/// The user of the daemon's unit.
const DAEMON: &str = "usrlocd";

/// A user with groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    name: String,
    ids: Ids,
    /// Whether it is the calling user, so that the system itself can be asked.
    own: bool,
}

impl Identity {
    /// The user `named`; or the daemon's, when root asks and there is one; or the calling user.
    pub(super) fn choose(named: Option<&str>) -> Result<Self, Failure> {
        let own = geteuid().as_raw();
        if let Some(name) = named {
            return Self::named(name, own)
                .ok_or_else(|| Failure::Usage(anyhow!("there is no user {name}")));
        }
        let daemon = (own == 0).then(|| Self::named(DAEMON, own)).flatten();
        Ok(daemon.unwrap_or_else(Self::own))
    }

    /// The calling user.
    pub(super) fn own() -> Self {
        let own = geteuid().as_raw();
        Self {
            name: name_of("/etc/passwd", own),
            ids: Ids {
                uid: own,
                groups: [getegid().as_raw()].into(),
            },
            own: true,
        }
    }

    fn named(name: &str, own: u32) -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let line = passwd
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let uid = fields.next()?.parse().ok()?;
        let mut groups = BTreeSet::from([fields.next()?.parse().ok()?]);
        let lines = fs::read_to_string("/etc/group").unwrap_or_default();
        for line in lines.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            if let [_, _, gid, members] = fields[..]
                && members.split(',').any(|member| member == name)
                && let Ok(gid) = gid.parse()
            {
                groups.insert(gid);
            }
        }
        Some(Self {
            name: name.to_owned(),
            ids: Ids { uid, groups },
            own: uid == own,
        })
    }

    /// Its number and those of its groups.
    pub(super) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// An unrelated user, without any group that matters.
    pub(super) fn stranger() -> Self {
        Self {
            name: "nobody".to_owned(),
            ids: Ids {
                uid: u32::MAX - 1,
                groups: BTreeSet::new(),
            },
            own: false,
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Somebody else, with these groups.
    #[cfg(test)]
    pub(super) fn testing(uid: u32, groups: &[u32]) -> Self {
        Self {
            name: uid.to_string(),
            ids: Ids {
                uid,
                groups: groups.iter().copied().collect(),
            },
            own: false,
        }
    }

    /// What bars the way to `path`: a directory that cannot be entered, or `path` itself.
    pub(super) fn obstacle(&self, path: &Path, want: Want) -> Option<PathBuf> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        let closed = above.into_iter().find(|it| !self.may_here(it, Want::Enter));
        let path = closed.or_else(|| (!self.may_here(path, want)).then_some(path));
        path.map(Path::to_owned)
    }

    /// Whether the user may do this to `path`.
    pub(super) fn may(&self, path: &Path, want: Want) -> bool {
        self.obstacle(path, want).is_none()
    }

    fn may_here(&self, path: &Path, want: Want) -> bool {
        if self.own {
            let access = match want {
                Want::Read => Access::READ_OK,
                Want::Write => Access::WRITE_OK,
                Want::Enter => Access::EXEC_OK,
            };
            return accessat(CWD, path, access, AtFlags::EACCESS).is_ok();
        }
        if self.ids.uid == 0 {
            return true;
        }
        let Ok(status) = fs::metadata(path) else {
            return false;
        };
        if let Some(acl) = Acl::of(path) {
            let owner = Owner {
                uid: status.uid(),
                gid: status.gid(),
            };
            return acl.lets(&self.ids, owner, want);
        }
        let class = if status.uid() == self.ids.uid {
            6
        } else if self.ids.groups.contains(&status.gid()) {
            3
        } else {
            0
        };
        (status.mode() >> class) & want as u32 != 0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The name of the group `gid`.
pub(super) fn group_name(gid: u32) -> String {
    name_of("/etc/group", gid)
}

/// The name of the user `uid`.
pub(super) fn user_name(uid: u32) -> String {
    name_of("/etc/passwd", uid)
}

/// The name that `file` gives `id`, or the number.
fn name_of(file: &str, id: u32) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| id.to_string())
}
