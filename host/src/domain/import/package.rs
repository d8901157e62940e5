//! What the operator named: one definition, and where the disks that come with it lie.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::config::reader;
use crate::error::{Context, Failure, Kind, Result};
use crate::gate::operation::FilePart;
use crate::import::{self, Guest, Kind as Format, Report, libvirt, ovf, xen};

/// A guest, read.
#[derive(Debug)]
pub struct Package {
    /// What the file is called in the report.
    pub source: String,
    /// What it is, for messages.
    pub what: &'static str,
    pub guest: Guest,
    pub report: Report,
    pub disks: Disks,
}

/// Where the disks lie that a definition names without a path.
#[derive(Debug)]
pub enum Disks {
    /// It names paths alone.
    Elsewhere,
    /// Beside the definition, in this folder.
    Beside(PathBuf),
    /// In the archive.
    Inside { archive: PathBuf, files: BTreeMap<String, FilePart> },
}

impl Package {
    /// Reads a file of any kind, or standard input (`-`). `overrides` are for a Xen guest file, which has them alone.
    ///
    /// # Errors
    /// `NotFound`; `Usage` for what is no text. Mistakes in the text are in its report.
    pub fn read(path: &Path, overrides: &[(String, String)]) -> Result<Package> {
        if path == Path::new("-") {
            let bytes = reader::read_all(std::io::stdin().lock(), "standard input")?;
            return Package::of_text(&bytes, "standard input".to_owned(), None, overrides);
        }
        let source =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        let shown = path.display().to_string();
        let saying = || format!("cannot read {shown}");
        let mut file = reader::open(path)?;
        if !file.metadata().context(saying)?.is_file() {
            return Err(Failure::usage(format!("{shown} is not a file"))
                .hint("name a guest file, a libvirt XML, an OVF or an OVA"));
        }
        let mut head = Vec::new();
        Read::by_ref(&mut file).take(import::HEAD as u64).read_to_end(&mut head).context(saying)?;
        file.seek(SeekFrom::Start(0)).context(saying)?;
        if import::kind(&head) == Format::Ova {
            return Package::of_archive(file, path, source);
        }
        let bytes = reader::read_all(file, &shown)?;
        Package::of_text(&bytes, source, Some(path), overrides)
    }

    fn of_archive(file: File, path: &Path, source: String) -> Result<Package> {
        let archive = ovf::archive::read(file, &source)?;
        let (name, text) = &archive.envelope;
        let (guest, report) = ovf::read(text, name, archive.manifest.as_deref());
        let files = archive
            .files
            .iter()
            .map(|(name, place)| (name.clone(), FilePart { offset: place.offset, length: place.length }));
        let disks = Disks::Inside {
            archive: path.canonicalize().context(|| format!("cannot find {}", path.display()))?,
            files: files.collect(),
        };
        Ok(Package { source, what: "the OVA", guest, report, disks })
    }

    fn of_text(bytes: &[u8], source: String, path: Option<&Path>, overrides: &[(String, String)]) -> Result<Package> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            Failure {
                causes: vec![format!("{source}:{line}: a byte is not UTF-8")],
                ..Failure::usage(format!("{source} is no text"))
            }
            .hint("name a guest file, a libvirt XML, an OVF or an OVA; a disk image alone is none of these")
        })?;
        let (what, (guest, report), disks) = match import::kind(bytes) {
            Format::Xen => ("the guest file", xen::read(text, overrides), Disks::Elsewhere),
            Format::Libvirt => ("the libvirt domain", libvirt::read(text), Disks::Elsewhere),
            // Told from a file's first bytes alone, so it is none here.
            Format::Ova => return Err(Failure::usage("an archive is read from a file").hint("name the file")),
            Format::Ovf => {
                let path = path.ok_or_else(|| {
                    Failure::usage("an OVF is read from a file: its disks lie beside it").hint("name the file")
                })?;
                let manifest = match reader::read_file(&path.with_extension("mf")) {
                    Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                    Err(failure) if failure.kind == Kind::NotFound => None,
                    Err(failure) => return Err(failure),
                };
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let folder = folder.canonicalize().context(|| format!("cannot find {}", folder.display()))?;
                ("the OVF", ovf::read(text, &source, manifest.as_deref()), Disks::Beside(folder))
            }
        };
        Ok(Package { source, what, guest, report, disks })
    }
}
