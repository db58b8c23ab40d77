//! Mode, owner, group and access list of the file that takes another one's place: what TOML names,
//! else what the other one has.

use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    unistd::{Group, User},
};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};

use super::{attribute, folder::Folder, settings::Checked, trouble::Trouble};

/// The mode of a file that takes no other one's place, where TOML names none.
const PLAIN: u32 = 0o600;

/// The access list as Linux keeps it.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// What others put beside a file with `setfattr`.
const USERS: &str = "user.";

/// The longest list of names and the longest value that Linux has.
const LONGEST: usize = 1 << 16;

/// What most of them fit in.
const SHORT: usize = 1 << 9;

/// How a file is to be before it holds anything.
#[derive(Debug)]
pub(super) struct Looks {
    mode: u32,
    owner: Option<Account>,
    group: Option<Account>,
    /// The access list and what users put beside the file.
    attributes: Vec<(String, Vec<u8>)>,
    /// The file that is replaced has no access list: one that comes with the folder is taken off.
    unlisted: bool,
}

#[derive(Clone, Copy, Debug)]
enum Account {
    /// TOML names it.
    Named(u32),
    /// The file that is replaced has it.
    Kept(u32),
}

impl Looks {
    /// Of a file that takes no other one's place.
    fn new(mode: u32, owner: Option<Account>, group: Option<Account>) -> Self {
        Self { mode, owner, group, attributes: Vec::new(), unlisted: false }
    }

    /// Of Scimitar's own notes.
    pub(super) fn private() -> Self {
        Self::new(PLAIN, None, None)
    }

    /// Of the file that takes the place of the one that is there, if one is.
    pub(super) fn of(folder: &Folder, checked: &Checked) -> Result<Self, Trouble> {
        let (owner, group) = accounts(checked)?;
        let (owner, group) = (owner.map(Account::Named), group.map(Account::Named));
        let Some(file) = folder.open(&checked.name, OFlag::O_RDONLY)? else {
            return Ok(Self::new(checked.mode.unwrap_or(PLAIN), owner, group));
        };
        let meta = look(&file, checked)?;
        let found = attributes(&file);
        let unlisted = found.as_ref().is_ok_and(|found| !is_listed(found));
        let attributes = match checked.mode {
            Some(_) => Vec::new(),
            None => found.map_err(|errno| {
                Trouble::io(&format!("read the access list of {}", checked.path.display()), &errno)
            })?,
        };
        Ok(Self {
            mode: checked.mode.unwrap_or_else(|| kept(meta.mode(), checked.shared)),
            owner: owner.or_else(|| Some(Account::Kept(meta.uid()))),
            group: group.or_else(|| Some(Account::Kept(meta.gid()))),
            attributes,
            unlisted,
        })
    }

    /// Makes an empty file so. The owner comes last: whoever may give files away (CAP_CHOWN) and
    /// nothing else can change nothing of one that is another account's.
    pub(super) fn give(&self, file: &File) -> Result<(), Trouble> {
        let what = "look at a temporary file";
        let now = file.metadata().map_err(|problem| Trouble::io(what, &problem))?;
        match self.group {
            Some(Account::Named(gid)) if gid != now.gid() => {
                fchown(file, None, Some(gid)).map_err(|problem| not_given(&problem))?;
            }
            Some(Account::Kept(gid)) if gid != now.gid() => {
                // Where the group may do nothing with the file, it does not matter which it is.
                fchown(file, None, Some(gid))
                    .or_else(|problem| if self.mode & 0o070 == 0 { Ok(()) } else { Err(problem) })
                    .map_err(|problem| not_kept("group", gid, &problem))?;
            }
            Some(Account::Named(_) | Account::Kept(_)) | None => {}
        }
        self.list(file)?;
        // After the list, which has bits for all other users of its own.
        file.set_permissions(Permissions::from_mode(self.mode))
            .map_err(|problem| Trouble::io("set the mode of a temporary file", &problem))?;
        match self.owner {
            Some(Account::Named(uid)) if uid != now.uid() => {
                fchown(file, Some(uid), None).map_err(|problem| not_given(&problem))?;
            }
            Some(Account::Kept(uid)) if uid != now.uid() => {
                // Root reads it whoever has it.
                fchown(file, Some(uid), None)
                    .or_else(|problem| if uid == 0 { Ok(()) } else { Err(problem) })
                    .map_err(|problem| not_kept("user", uid, &problem))?;
            }
            Some(Account::Named(_) | Account::Kept(_)) | None => {}
        }
        Ok(())
    }

    /// Gives it the access list and the attributes.
    fn list(&self, file: &File) -> Result<(), Trouble> {
        if self.unlisted {
            match fremovexattr(file, ACCESS_LIST) {
                Ok(()) | Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => {}
                Err(errno) => {
                    let what = format!("remove {ACCESS_LIST} from a temporary file");
                    return Err(Trouble::io(&what, &errno.into()));
                }
            }
        }
        for (name, value) in &self.attributes {
            fsetxattr(file, name.as_str(), value, XattrFlags::empty()).map_err(|errno| {
                Trouble::io(&format!("set {name} on a temporary file"), &errno.into())
            })?;
        }
        Ok(())
    }
}

/// What the next delivery takes away from the file that is there, in words.
pub(super) fn loses(folder: &Folder, checked: &Checked) -> Result<Option<String>, Trouble> {
    let Some(file) = folder.open(&checked.name, OFlag::O_RDONLY)? else { return Ok(None) };
    let path = checked.path.display();
    let mode = look(&file, checked)?.mode();
    if checked.mode.is_none() && !checked.shared && mode & 0o007 != 0 {
        return Ok(Some(format!(
            "every user may use {path} (mode {:04o}); the next delivery removes that permission. Set shared \
             = true to keep it, or use a group",
            mode & 0o7777
        )));
    }
    let listed = attributes(&file).is_ok_and(|found| is_listed(&found));
    Ok((checked.mode.is_some() && listed).then(|| {
        format!(
            "{path} has an access list (ACL), which the next delivery removes because `mode` is set; \
             leave `mode` out to keep the list"
        )
    }))
}

fn is_listed(attributes: &[(String, Vec<u8>)]) -> bool {
    attributes.iter().any(|(name, _)| name == ACCESS_LIST)
}

/// The bits that stay: those of owner and group, and those of all others where that is meant.
fn kept(mode: u32, shared: bool) -> u32 {
    mode & if shared { 0o664 } else { 0o660 } | 0o400
}

fn look(file: &File, checked: &Checked) -> Result<std::fs::Metadata, Trouble> {
    let what = format!("look at {}", checked.path.display());
    file.metadata().map_err(|problem| Trouble::io(&what, &problem))
}

/// The attributes that are kept. A file system without any has none.
fn attributes(file: &File) -> io::Result<Vec<(String, Vec<u8>)>> {
    let list = match answered(|bytes| flistxattr(file, bytes)) {
        Ok(list) => list,
        Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    let names = list.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    // Our marks are those of the value that goes.
    let kept =
        |name: &str| name == ACCESS_LIST || name.starts_with(USERS) && name != attribute::NAME;
    let mut found = Vec::new();
    for name in names.filter(|name| kept(name)) {
        found.push((name.to_owned(), answered(|bytes| fgetxattr(file, name, bytes))?));
    }
    Ok(found)
}

/// What is answered, which is short nearly always.
fn answered(ask: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut bytes = vec![0; SHORT];
    let length = match ask(&mut bytes) {
        Err(rustix::io::Errno::RANGE) => {
            bytes = vec![0; LONGEST];
            ask(&mut bytes)?
        }
        answer => answer?,
    };
    bytes.truncate(length);
    Ok(bytes)
}

/// The numbers of the owner and group that are asked for.
fn accounts(checked: &Checked) -> Result<(Option<u32>, Option<u32>), Trouble> {
    let owner = checked.owner.as_deref().map(|name| {
        number_of("user", name, |name| {
            User::from_name(name).map(|found| found.map(|user| user.uid.as_raw()))
        })
    });
    let group = checked.group.as_deref().map(|name| {
        number_of("group", name, |name| {
            Group::from_name(name).map(|found| found.map(|group| group.gid.as_raw()))
        })
    });
    Ok((owner.transpose()?, group.transpose()?))
}

fn number_of(
    kind: &str,
    name: &str,
    find: impl FnOnce(&str) -> nix::Result<Option<u32>>,
) -> Result<u32, Trouble> {
    // The largest number means "leave it as it is" to the system.
    match name.parse::<u32>() {
        Ok(number) if number != u32::MAX => return Ok(number),
        Ok(_) | Err(_) => {}
    }
    match find(name) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(Trouble::terminal(format!(
            "there is no {kind} {name:?} on this machine; create it, or use its number"
        ))),
        Err(errno) => Err(Trouble::os(&format!("look up the {kind} {name:?}"), errno)),
    }
}

fn not_given(problem: &io::Error) -> Trouble {
    if problem.raw_os_error() == Some(Errno::EPERM as i32) {
        return Trouble::terminal(
            "only root (CAP_CHOWN) may give a file to another owner, and only a member of a group \
             may give it to that group; run Scimitar that way, or leave owner and group out",
        );
    }
    Trouble::io("give the file to its owner and group", problem)
}

fn not_kept(kind: &str, id: u32, problem: &io::Error) -> Trouble {
    let key = if kind == "user" { "owner" } else { "group" };
    Trouble::terminal(format!(
        "the file belongs to {kind} {id}, and Scimitar may not give the file that replaces it to \
         {kind} {id} ({}): its readers would lose it. Let Scimitar's account do that (CAP_CHOWN, or \
         membership of the group), or set `{key}` to choose the owner",
        crate::error::system_words(problem)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_for_all_other_users_stay_only_where_they_are_meant() {
        for (mode, shared, left) in [
            (0o640, false, 0o640),
            (0o644, false, 0o640),
            (0o644, true, 0o644),
            (0o777, true, 0o664),
            (0o6755, false, 0o640),
            (0o060, false, 0o460),
        ] {
            assert_eq!(kept(mode, shared), left, "{mode:o} {shared}");
        }
    }
}
