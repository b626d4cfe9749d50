//! Certificates in a directory: pairs that appear whole, keys nobody else reads, and a CA's rotation.
//!
//! A file is written under a temporary name, synced, and then renamed (to replace) or linked (to
//! create, which fails if the name is taken), so that a reader never sees half a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use openssl::rand::rand_bytes;

use crate::{CertificateAuthority, Error, Validity};

pub(crate) const KEY_MODE: u32 = 0o600;
pub(crate) const CERTIFICATE_MODE: u32 = 0o644;

/// Where a certificate and its key live.
pub(crate) struct PairPaths {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl PairPaths {
    pub(crate) fn new(dir: &Path, stem: &str) -> Self {
        Self {
            certificate: dir.join(format!("{stem}.crt")),
            key: dir.join(format!("{stem}.key")),
        }
    }

    /// Whether both files exist; one without the other is an error.
    pub(crate) fn exists(&self) -> Result<bool, Error> {
        let incomplete = |present: &PathBuf, missing: &PathBuf| {
            Err(Error::Incomplete {
                present: present.clone(),
                missing: missing.clone(),
            })
        };
        match (exists(&self.certificate)?, exists(&self.key)?) {
            (true, false) => incomplete(&self.certificate, &self.key),
            (false, true) => incomplete(&self.key, &self.certificate),
            (both, _) => Ok(both),
        }
    }
}

/// Begins the rotation of the CA `<stem>` in `dir`: a new key and certificate take its place, and the
/// old pair becomes `<stem>-previous`, whose certificate stays trusted. Steps, none of which breaks a
/// connection:
///
/// 1. `rotate_authority`, then publish [`authority_bundle`] (old and new) to everyone who trusts the CA;
/// 2. issue the leaves again, now from the new CA, and let the servers reload them;
/// 3. [`finish_rotation`], then publish the bundle (new alone).
///
/// Until step 3 [`roll_back`] turns it around.
///
/// # Errors
/// [`Error::Rotation`] if one is under way; those of [`CertificateAuthority::load`] and
/// [`CertificateAuthority::create`] otherwise.
pub fn rotate_authority(
    dir: &Path,
    stem: &str,
    common_name: &str,
    validity: Validity,
) -> Result<CertificateAuthority, Error> {
    let _held = hold(dir)?;
    let previous = previous(dir, stem);
    if exists(&previous.certificate)? {
        let problem = "a rotation is under way; finish it or roll it back before beginning another";
        return Err(Error::Rotation {
            path: previous.certificate,
            problem,
        });
    }
    let old = CertificateAuthority::load(dir, stem)?;
    let new = CertificateAuthority::create(common_name, validity)?;
    replace_pair(&previous, &old.certificate_pem()?, &old.private_key_pem()?)?;
    replace_pair(
        &PairPaths::new(dir, stem),
        &new.certificate_pem()?,
        &new.private_key_pem()?,
    )?;
    Ok(new)
}

/// Turns a rotation around: the previous CA signs again, and the one that was to replace it becomes the
/// previous one. Both stay in [`authority_bundle`], so the steps that follow are those of a rotation:
/// issue the leaves again, let the servers reload them, [`finish_rotation`].
///
/// A rotation that was cut off between key and certificate is turned around as well. The pair that is half
/// there can sign nothing and goes.
///
/// # Errors
/// [`Error::Rotation`] if none is under way; those of [`CertificateAuthority::load`] otherwise.
pub fn roll_back(dir: &Path, stem: &str) -> Result<CertificateAuthority, Error> {
    let _held = hold(dir)?;
    let previous = under_way(dir, stem)?;
    let old = CertificateAuthority::load(dir, &previous_stem(stem))?;
    let new = match CertificateAuthority::load(dir, stem) {
        Err(Error::KeyMismatch { .. }) => None,
        loaded => Some(loaded?),
    };
    replace_pair(
        &PairPaths::new(dir, stem),
        &old.certificate_pem()?,
        &old.private_key_pem()?,
    )?;
    // A crash here loses the CA that is being given up; its leaves must be issued again in any case.
    if let Some(new) = new {
        replace_pair(&previous, &new.certificate_pem()?, &new.private_key_pem()?)?;
    }
    Ok(old)
}

/// Ends the rotation of a CA: its previous pair is removed, and the certificate leaves
/// [`authority_bundle`].
///
/// # Errors
/// [`Error::Rotation`] if none is under way, or it was cut off between key and certificate: the previous pair
/// is then the only whole one. Those of [`CertificateAuthority::load`], and [`Error::File`] if a file cannot
/// be removed.
pub fn finish_rotation(dir: &Path, stem: &str) -> Result<(), Error> {
    let _held = hold(dir)?;
    let previous = under_way(dir, stem)?;
    CertificateAuthority::load(dir, stem).map_err(|error| half_done(error, dir, stem))?;
    // The certificate goes last: it is what says that a rotation is under way.
    if exists(&previous.key)? {
        remove(&previous.key)?;
    }
    remove(&previous.certificate)
}

/// What to do about a pair whose key was replaced and its certificate not.
fn half_done(error: Error, dir: &Path, stem: &str) -> Error {
    match error {
        Error::KeyMismatch { .. } => Error::Rotation {
            path: PairPaths::new(dir, stem).certificate,
            problem: "the rotation was cut off, and the key beside it belongs to another certificate; roll the \
                      rotation back, then begin again",
        },
        other => other,
    }
}

/// The previous pair of a CA in rotation.
fn under_way(dir: &Path, stem: &str) -> Result<PairPaths, Error> {
    let previous = previous(dir, stem);
    if exists(&previous.certificate)? {
        return Ok(previous);
    }
    let problem = "no rotation is under way: there is no previous CA certificate";
    Err(Error::Rotation {
        path: previous.certificate,
        problem,
    })
}

/// Every certificate of the CA `<stem>` that is to be trusted now, in PEM: the current one and, during
/// a rotation, the previous one.
///
/// # Errors
/// [`Error::Missing`] if there is no CA yet, [`Error::File`] if its certificate cannot be read.
pub fn authority_bundle(dir: &Path, stem: &str) -> Result<String, Error> {
    let current = PairPaths::new(dir, stem).certificate;
    if !exists(&current)? {
        return Err(Error::Missing {
            path: current,
            remedy: "a CA is made with the first certificate that it signs, such as by `serving`",
        });
    }
    let _still = hold_still(dir)?;
    let mut bundle = read_text(&current)?;
    let previous = previous(dir, stem).certificate;
    if exists(&previous)? {
        bundle.push_str(&read_text(&previous)?);
    }
    Ok(bundle)
}

/// Keeps readers of the bundle out while the pairs change places: two files are not replaced in one step,
/// and in between one of the CAs would be in neither.
fn hold(dir: &Path) -> Result<File, Error> {
    locked(dir, File::lock)
}

/// Keeps the pairs in their places while they are read.
fn hold_still(dir: &Path) -> Result<File, Error> {
    locked(dir, File::lock_shared)
}

/// The folder itself is locked, until the file returned is dropped.
fn locked(dir: &Path, lock: fn(&File) -> io::Result<()>) -> Result<File, Error> {
    let folder = File::open(dir).and_then(|folder| lock(&folder).map(|()| folder));
    folder.map_err(|source| Error::file("lock", dir, source))
}

/// PEM text as an APIService's `caBundle` wants it: base64 on one line.
pub fn base64_bundle(bundle_pem: &str) -> String {
    openssl::base64::encode_block(bundle_pem.as_bytes())
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::file("read", path, source))
}

/// Creates a CA's pair. The key is linked first and decides who wins a race.
pub(crate) fn create_pair(paths: &PairPaths, certificate: &str, key: &str) -> Result<(), Error> {
    if exists(&paths.certificate)? {
        return Err(Error::Exists {
            path: paths.certificate.clone(),
        });
    }
    create_file(&paths.key, key, KEY_MODE)?;
    create_file(&paths.certificate, certificate, CERTIFICATE_MODE)
}

/// Replaces or creates a pair, the key first.
pub(crate) fn replace_pair(paths: &PairPaths, certificate: &str, key: &str) -> Result<(), Error> {
    replace_file(&paths.key, key, KEY_MODE)?;
    replace_file(&paths.certificate, certificate, CERTIFICATE_MODE)
}

/// Replaces or creates a file in one step.
pub(crate) fn replace_file(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let staged = Staged::new(path, text, mode)?;
    fs::rename(&staged.path, path).map_err(|source| Error::file("write", path, source))?;
    staged.sync_directory()
}

fn create_file(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let staged = Staged::new(path, text, mode)?;
    fs::hard_link(&staged.path, path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists {
            path: path.to_owned(),
        },
        _ => Error::file("create", path, source),
    })?;
    staged.sync_directory()
}

/// A complete file under a temporary name beside its destination. Dropping removes that name, which
/// after a rename is gone already.
struct Staged {
    path: PathBuf,
    directory: PathBuf,
}

impl Staged {
    fn new(destination: &Path, text: &str, mode: u32) -> Result<Self, Error> {
        let directory = destination.parent().unwrap_or(Path::new(".")).to_owned();
        fs::create_dir_all(&directory).map_err(|source| Error::file("create", &directory, source))?;
        let mut random = [0; 8];
        rand_bytes(&mut random)?;
        let path = directory.join(format!(".{:016x}.tmp", u64::from_ne_bytes(random)));
        let staged = Self { path, directory };
        staged
            .write(text, mode)
            .map_err(|source| Error::file("write", destination, source))?;
        Ok(staged)
    }

    fn write(&self, text: &str, mode: u32) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&self.path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Makes the new name itself survive a power cut.
    fn sync_directory(&self) -> Result<(), Error> {
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(|source| Error::file("write", &self.directory, source))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // A leftover is harmless and its name says what it is; there is nobody to tell here.
        let _ = fs::remove_file(&self.path);
    }
}

/// The permission bits of a file that its group or others have any of; none if it is private.
pub(crate) fn open_to_others(path: &Path) -> Result<Option<u32>, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::file("read", path, source))?;
    let mode = metadata.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

fn previous(dir: &Path, stem: &str) -> PairPaths {
    PairPaths::new(dir, &previous_stem(stem))
}

pub(crate) fn previous_stem(stem: &str) -> String {
    format!("{stem}-previous")
}

fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).map_err(|source| Error::file("remove", path, source))
}

pub(crate) fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists()
        .map_err(|source| Error::file("read", path, source))
}

pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::file("read", path, source))
}
