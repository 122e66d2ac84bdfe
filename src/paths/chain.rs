//! The way from the root of all paths to a place that a person named, step by
//! step. Owns the judgement of each directory on it: whether somebody else could
//! exchange what lies there.
//!
//! A directory is trusted if it and all above it belong to root or to this user
//! and nobody else can write there, or if it is sticky (`/tmp`): then others can
//! make new names, but not touch those of root and of this user. A link that
//! somebody else could have put there is followed only where it is of no harm:
//! see [`Chain::refuse_led`].

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::{Dir, Identity};

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;
const ALL_WRITE: u32 = 0o002;

/// What is asked of each step of a way, once it is held.
pub trait Rule {
    type Refusal: From<io::Error>;
    /// Whether a last part that is a link of the kernel's own is the leaf itself.
    const ENDS_AT_KERNELS_LINK: bool;
    /// `holds_leaf`: what the way leads to lies in it.
    fn directory(&self, stat: &Stat, path: &Path, holds_leaf: bool) -> Result<(), Self::Refusal>;
    fn link(&self, stat: &Stat, path: &Path) -> Result<(), Self::Refusal>;
    /// Why there is no way on.
    fn missing(&self, place: &Path, errno: Errno, is_last: bool) -> Self::Refusal;
}

/// To any directory: what is to be known of the way is asked of the chain.
struct AnyWay;

impl Rule for AnyWay {
    type Refusal = io::Error;
    const ENDS_AT_KERNELS_LINK: bool = false;

    fn directory(&self, _: &Stat, _: &Path, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn link(&self, _: &Stat, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn missing(&self, place: &Path, errno: Errno, is_last: bool) -> io::Error {
        let error = io::Error::from(errno);
        let place = place.display();
        match errno {
            Errno::NOENT if is_last => {
                let why = "it is not a directory but a link to nothing; name a new or empty \
                           directory";
                io::Error::new(ErrorKind::NotADirectory, why)
            }
            Errno::NOENT => {
                let why = format!("{place}: {error}; create that first");
                io::Error::new(error.kind(), why)
            }
            _ => io::Error::new(error.kind(), format!("{place}: {error}")),
        }
    }
}

/// Held directories, each in the one before it; the first is the root.
#[derive(Debug)]
pub struct Chain {
    steps: Vec<Step>,
    /// Links on the way that somebody else could have made, and their owners.
    led: Vec<(PathBuf, u32)>,
}

#[derive(Debug)]
struct Step {
    dir: Dir,
    /// Empty for the root.
    name: CString,
    trusted: bool,
    /// Others may make names in it.
    shared: bool,
    /// And everybody may exchange those that are there.
    open_to_all: bool,
    owner: u32,
    /// By a link of the kernel's own, as `/proc/self/cwd` is.
    by_kernel: bool,
}

/// What the last part of a path is, in the chain's last directory.
#[derive(Debug)]
pub struct Leaf {
    pub name: CString,
    /// `None` where nothing has the name.
    pub kind: Option<FileType>,
}

impl Chain {
    /// The way to the directory that `path` lies in, which must be there; and what
    /// lies there itself. Relative paths start at the working directory.
    pub fn to_parent(path: &Path) -> io::Result<(Self, Leaf)> {
        Self::to_parent_by(path, &AnyWay)
    }

    /// The same by a rule that is asked at each step.
    pub fn to_parent_by<R: Rule>(path: &Path, rule: &R) -> Result<(Self, Leaf), R::Refusal> {
        let mut chain = Self::root(rule)?;
        let mut left = Vec::new();
        push_parts(&std::path::absolute(path)?, &mut left, &mut chain);
        let (mut links, mut leaf_by_link) = (0, false);
        while let Some(part) = left.pop() {
            let Some(name) = part else {
                chain.go_up();
                continue;
            };
            let stat = match chain.last().look(&name) {
                Ok(stat) => stat,
                Err(Errno::NOENT) if left.is_empty() && !leaf_by_link => {
                    return Ok((chain, Leaf { name, kind: None }));
                }
                Err(errno) => {
                    return Err(rule.missing(&chain.below(&name), errno, left.is_empty()));
                }
            };
            let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            if is_link {
                rule.link(&stat, &chain.below(&name))?;
            }
            let holds_leaf = matches!(left[..], [Some(_)]);
            let by_kernel = is_link && chain.last().is_of_kernel();
            match FileType::from_raw_mode(stat.st_mode) {
                kind if by_kernel && left.is_empty() && R::ENDS_AT_KERNELS_LINK => {
                    let kind = Some(kind);
                    return Ok((chain, Leaf { name, kind }));
                }
                FileType::Symlink if by_kernel => chain.enter(name, true, holds_leaf, rule)?,
                FileType::Symlink => {
                    links += 1;
                    leaf_by_link |= left.is_empty();
                    let target = chain.follow(&name, &stat, links)?;
                    push_parts(Path::new(&target), &mut left, &mut chain);
                }
                kind if left.is_empty() => {
                    let kind = Some(kind);
                    return Ok((chain, Leaf { name, kind }));
                }
                _ => chain.enter(name, false, holds_leaf, rule)?,
            }
        }
        // It ends in the directory itself: `.`, or a link upwards.
        match chain.steps.pop() {
            Some(step) if !chain.steps.is_empty() => {
                let (name, kind) = (step.name, Some(FileType::Directory));
                Ok((chain, Leaf { name, kind }))
            }
            _ => {
                let why = "it has no directory above it; name a directory below it";
                Err(io::Error::other(why).into())
            }
        }
    }

    /// The way to the directory `path` itself.
    pub fn to_directory(path: &Path) -> io::Result<Self> {
        Self::to_directory_by(path, &AnyWay)
    }

    /// The same by a rule that is asked at each step.
    pub fn to_directory_by<R: Rule>(path: &Path, rule: &R) -> Result<Self, R::Refusal> {
        let root = std::path::absolute(path)?;
        if root == Path::new("/") {
            return Self::root(rule);
        }
        let (mut chain, leaf) = Self::to_parent_by(path, rule)?;
        let errno = match leaf.kind {
            Some(FileType::Directory) => None,
            Some(_) => Some(Errno::NOTDIR),
            None => Some(Errno::NOENT),
        };
        if let Some(errno) = errno {
            return Err(io::Error::from(errno).into());
        }
        chain.enter(leaf.name, false, false, rule)?;
        Ok(chain)
    }

    fn root<R: Rule>(rule: &R) -> Result<Self, R::Refusal> {
        let mut chain = Self {
            steps: Vec::new(),
            led: Vec::new(),
        };
        let root = Dir::root().map_err(io::Error::from)?;
        rule.directory(&stat_of(&root)?, Path::new("/"), false)?;
        chain.push(root, CString::default(), false)?;
        Ok(chain)
    }

    fn enter<R: Rule>(
        &mut self,
        name: CString,
        by_kernel: bool,
        holds_leaf: bool,
        rule: &R,
    ) -> Result<(), R::Refusal> {
        let below = self.below(&name);
        let dir = step(self.last(), &name, by_kernel);
        let dir = dir.map_err(|errno| rule.missing(&below, errno, false))?;
        rule.directory(&stat_of(&dir)?, &below, holds_leaf)?;
        Ok(self.push(dir, name, by_kernel)?)
    }

    fn push(&mut self, dir: Dir, name: CString, by_kernel: bool) -> io::Result<()> {
        let stat = stat_of(&dir)?;
        let shared = stat.st_mode & OTHERS_WRITE != 0;
        let kept = !shared || stat.st_mode & STICKY != 0;
        let above = self.steps.last().is_none_or(|step| step.trusted);
        self.steps.push(Step {
            trusted: above && kept && is_safe_owner(stat.st_uid),
            shared,
            open_to_all: !kept && stat.st_mode & ALL_WRITE != 0,
            owner: stat.st_uid,
            by_kernel,
            dir,
            name,
        });
        Ok(())
    }

    fn go_up(&mut self) {
        if self.steps.len() > 1 {
            self.steps.pop();
        }
    }

    /// The target of the link `name`.
    fn follow(&mut self, name: &CString, link: &Stat, links: usize) -> io::Result<OsString> {
        let Some(step) = self.steps.last().filter(|_| links <= LINKS_MAX) else {
            return Err(Errno::LOOP.into());
        };
        let ours = is_safe_owner(link.st_uid);
        let firm = step.trusted && (!step.shared || ours);
        let target = rustix::fs::readlinkat(&step.dir, name, Vec::new())?;
        if !firm && (is_root() || !ours) {
            self.led.push((self.below(name), link.st_uid));
        }
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Refuses a way that somebody else could have led here by a link, unless the
    /// link belongs to `owner`: whose directory it is could name it himself.
    pub fn refuse_led(&self, owner: Option<u32>) -> io::Result<()> {
        self.refuse_unless(|by| Some(by) == owner)
    }

    /// The same where a link of root's or of this user's own is meant wherever it lies:
    /// an operator chose it once.
    pub fn refuse_led_by_others(&self, owner: u32) -> io::Result<()> {
        self.refuse_unless(|by| by == owner || is_safe_owner(by))
    }

    fn refuse_unless(&self, is_meant: impl Fn(u32) -> bool) -> io::Result<()> {
        let Some((link, _)) = self.led.iter().find(|(_, by)| !is_meant(*by)) else {
            return Ok(());
        };
        let why = format!(
            "{} is a symbolic link in a directory that others can write to; name the directory \
             that it leads to",
            link.display()
        );
        Err(io::Error::new(ErrorKind::PermissionDenied, why))
    }

    fn below(&self, name: &CString) -> PathBuf {
        self.path().join(OsStr::from_bytes(name.to_bytes()))
    }

    /// The last directory.
    pub fn last(&self) -> &Dir {
        // A chain begins with the root and is never emptied.
        &self.steps[self.steps.len() - 1].dir
    }

    pub fn path(&self) -> PathBuf {
        self.path_of(self.steps.len())
    }

    fn path_of(&self, steps: usize) -> PathBuf {
        let names = self.steps[..steps].iter();
        let mut path = PathBuf::from("/");
        path.extend(names.map(|step| OsStr::from_bytes(step.name.to_bytes())));
        path
    }

    pub fn is_trusted(&self) -> bool {
        self.steps.last().is_some_and(|step| step.trusted)
    }

    /// Whether others may make names in the last directory.
    pub fn is_shared(&self) -> bool {
        self.steps.last().is_some_and(|step| step.shared)
    }

    /// The first directory on the way where everybody can put another thing in the place
    /// of the next one, or of what is in the last.
    pub fn open_to_all(&self) -> Option<PathBuf> {
        let at = self.steps.iter().position(|step| step.open_to_all)?;
        Some(self.path_of(at + 1))
    }

    /// The first directory above the last that is neither root's, nor this user's, nor
    /// of whom the last one is; and whose it is.
    pub fn in_hands_of_another(&self) -> Option<(PathBuf, u32)> {
        let (last, above) = self.steps.split_last()?;
        let is_anothers = |step: &Step| step.owner != last.owner && !is_safe_owner(step.owner);
        let at = above.iter().position(is_anothers)?;
        Some((self.path_of(at + 1), above[at].owner))
    }

    /// The deepest directory that is trusted and from where a rename can reach
    /// the last one; and its path.
    pub fn deepest_trusted(&self) -> Option<(&Dir, PathBuf)> {
        let at = self.steps.iter().rposition(|step| step.trusted)?;
        let dir = &self.steps[at].dir;
        (dir.mount() == self.last().mount()).then(|| (dir, self.path_of(at + 1)))
    }

    /// Whether the same way, by the same names, still leads to the last directory.
    pub fn still_leads_there(&self) -> bool {
        let walk = || {
            let mut here = Dir::root()?;
            for step in &self.steps[1..] {
                here = self::step(&here, &step.name, step.by_kernel)?;
            }
            Ok::<Identity, Errno>(here.identity())
        };
        walk() == Ok(self.last().identity())
    }
}

fn step(dir: &Dir, name: &CString, by_kernel: bool) -> Result<Dir, Errno> {
    match by_kernel {
        true => dir.step_by_kernel(name),
        false => dir.step(name),
    }
}

fn stat_of(dir: &Dir) -> io::Result<Stat> {
    Ok(dir.stat()?)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn is_safe_owner(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Puts a path's parts before those that are left; `None` goes up. An absolute
/// path starts anew.
fn push_parts(path: &Path, left: &mut Vec<Option<CString>>, chain: &mut Chain) {
    for part in path.components().rev() {
        match part {
            // A path of this system holds no NUL: it came from the kernel or
            // through the command line.
            Component::Normal(name) => {
                if let Ok(name) = CString::new(name.as_bytes()) {
                    left.push(Some(name));
                }
            }
            Component::ParentDir => left.push(None),
            Component::RootDir => chain.steps.truncate(1),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    /// A directory in `/tmp`, sticky as that is, and what lies in it.
    fn place(modes: &[(&str, u32)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, mode) in modes {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
        }
        place
    }

    #[test]
    fn a_directory_is_trusted_where_nobody_else_writes_and_in_none_below_another() {
        let place = place(&[
            ("own", 0o755),
            ("group", 0o775),
            ("all", 0o777),
            ("all/own", 0o700),
            ("sticky", 0o1777),
            ("sticky/own", 0o700),
        ]);
        for (name, trusted) in [
            ("own", true),
            ("group", false),
            ("all", false),
            ("all/own", false),
            ("sticky", true),
            ("sticky/own", true),
        ] {
            let chain = Chain::to_directory(&place.path().join(name)).unwrap();
            assert_eq!(chain.is_trusted(), trusted, "{name}");
        }
        let chain = Chain::to_directory(&place.path().join("all/own")).unwrap();
        let (dir, path) = chain.deepest_trusted().unwrap();
        assert_eq!(path, fs::canonicalize(place.path()).unwrap());
        assert_eq!(
            dir.identity(),
            chain.steps[chain.steps.len() - 3].dir.identity()
        );
    }

    #[test]
    fn a_directory_of_somebody_else_is_not_trusted() {
        let place = place(&[("theirs", 0o755), ("theirs/own", 0o755)]);
        if chown(place.path().join("theirs"), Some(65534), None).is_err() {
            return eprintln!("skipped: only root can give files away");
        }
        for name in ["theirs", "theirs/own"] {
            let chain = Chain::to_directory(&place.path().join(name)).unwrap();
            assert!(!chain.is_trusted(), "{name}");
        }
    }

    #[test]
    fn links_are_followed_where_nobody_else_could_have_made_them() {
        let place = place(&[("own", 0o755), ("all", 0o777), ("own/deep", 0o755)]);
        symlink("own/deep", place.path().join("link")).unwrap();
        symlink("../all/../own", place.path().join("own/up")).unwrap();
        let resolved = fs::canonicalize(place.path().join("own/deep")).unwrap();
        for way in ["link", "own/up/deep", "own/up/../own/./up/deep/"] {
            let chain = Chain::to_directory(&place.path().join(way)).unwrap();
            assert_eq!(chain.path(), resolved, "{way}");
        }
        let theirs = place.path().join("all/link");
        symlink("/", &theirs).unwrap();
        if rustix::process::geteuid().is_root() {
            let (chain, _) = Chain::to_parent(&theirs.join("new")).unwrap();
            let refused = chain.refuse_led(Some(65534)).unwrap_err().to_string();
            assert!(refused.contains("symbolic link"), "{refused}");
            assert!(chain.refuse_led(Some(0)).is_ok());
        }
        let (chain, _) = Chain::to_parent(Path::new("/proc/self/root/tmp/new")).unwrap();
        let tmp = Identity::of(&rustix::fs::stat("/tmp").unwrap());
        assert_eq!(chain.last().identity(), tmp);
        symlink("loop", place.path().join("loop")).unwrap();
        assert!(Chain::to_directory(&place.path().join("loop")).is_err());
    }

    #[test]
    fn a_moved_directory_is_not_where_it_was() {
        let place = place(&[("a", 0o755), ("a/b", 0o755)]);
        let chain = Chain::to_directory(&place.path().join("a/b")).unwrap();
        assert!(chain.still_leads_there());
        fs::rename(place.path().join("a"), place.path().join("c")).unwrap();
        fs::create_dir_all(place.path().join("a/b")).unwrap();
        assert!(!chain.still_leads_there());
    }
}
