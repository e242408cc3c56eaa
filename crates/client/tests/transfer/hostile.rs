//! Archives that no honest `tar` makes.

use std::fs;

use tar::{Builder, EntryType, Header};
use twentyfirst_client::transfer::{TransferError, Unpack};

struct Hostile(Builder<Vec<u8>>);

impl Hostile {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(mut self, kind: EntryType, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..name.len()].copy_from_slice(name);
        fields.linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(0o7755);
        header.set_mtime(u64::MAX);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), b"", content.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name.as_bytes(), b"", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name.as_bytes(), target.as_bytes(), b"")
    }

    fn hard_link(self, name: &str, first: &str) -> Self {
        self.entry(EntryType::Link, name.as_bytes(), first.as_bytes(), b"")
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Returns the result of unpacking, and checks that nothing exists besides the target.
fn unpack(archive: &[u8]) -> Result<Vec<String>, String> {
    let outer = tempfile::tempdir().unwrap();
    let outside = outer.path().join("outside");
    fs::write(&outside, "untouched").unwrap();
    let to = outer.path().join("to");
    let result = Unpack::new(&to)
        .max_entries(100)
        .max_bytes(1 << 20)
        .unpack(archive);
    assert_eq!(fs::read_to_string(outside).unwrap(), "untouched");
    assert_eq!(
        fs::read_dir(outer.path()).unwrap().count(),
        1 + usize::from(result.is_ok())
    );
    match result {
        Ok(_) => Ok(crate::tree::read(&to)
            .into_keys()
            .map(|path| path.display().to_string())
            .collect()),
        Err(error) => Err(chain(&error).replace(
            outer.path().canonicalize().unwrap().to_str().unwrap(),
            "[dir]",
        )),
    }
}

fn chain(error: &TransferError) -> String {
    let mut lines = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        lines.push(error.to_string());
        source = error.source();
    }
    lines.join(": ")
}

#[test]
fn nothing_leaves_the_directory() {
    let file = || Hostile::new().file("real", "x");
    let cases = [
        (
            file().file("/outside", "x"),
            "/outside would lead out of the directory: it is absolute",
        ),
        (
            file().file("../outside", "x"),
            "../outside would lead out of the directory: it contains `..`",
        ),
        (
            file().file("a/../../outside", "x"),
            "a/../../outside would lead out of the directory: it contains `..`",
        ),
        (
            file().dir("../outside"),
            "../outside would lead out of the directory: it contains `..`",
        ),
        (
            file().symlink("l", "/etc"),
            "l would lead out of the directory: it is a link to an absolute path",
        ),
        (
            file().symlink("l", ".."),
            "l would lead out of the directory: it is a link that goes up beyond the directory",
        ),
        (
            file().symlink("l", "./../outside"),
            "l would lead out of the directory: it is a link that goes up beyond the directory",
        ),
        // `a/b/l` is the directory itself, so `a/b/l/..` is outside.
        (
            file()
                .dir("a")
                .dir("a/b")
                .symlink("a/b/l", "../..")
                .symlink("m", "a/b/l/../outside"),
            "m would lead out of the directory: it is a link with `..` after a name",
        ),
        // Also through a link that stays inside: a later entry could make it lead elsewhere.
        (
            file().dir("a").symlink("l", "a").file("l/x", "x"),
            "l would lead out of the directory: it leads through a link",
        ),
        (
            file().dir("a").symlink("l", "a").dir("l/x"),
            "l/x would lead out of the directory: it leads through a link",
        ),
        (
            file().symlink("l", "real").file("l", "x"),
            "the archive contains l twice",
        ),
        (
            file().dir("a").symlink("l", "a").dir("l"),
            "l would lead out of the directory: it leads through a link",
        ),
        (
            file().dir("a").symlink("a", "."),
            "the archive contains a twice",
        ),
        (
            file().hard_link("h", "../outside"),
            "h would lead out of the directory: it is a hard link to something that is not a file in the directory",
        ),
        (
            file().hard_link("h", "/etc/passwd"),
            "h would lead out of the directory: it is a hard link to something that is not a file in the directory",
        ),
        (
            file().hard_link("h", "none"),
            "h would lead out of the directory: it is a hard link to something that is not a file in the directory",
        ),
        (
            file().symlink("l", "x").hard_link("h", "l"),
            "h would lead out of the directory: it is a hard link to something that is not a file in the directory",
        ),
        (
            file()
                .dir("a")
                .file("a/x", "x")
                .symlink("l", "a")
                .hard_link("h", "l/x"),
            "h would lead out of the directory: it is a hard link to something that is not a file in the directory",
        ),
        (
            file().hard_link("real", "real"),
            "the archive contains real twice",
        ),
        (file().file("real/x", "x"), "real is not a directory"),
        (file().dir("real"), "real is not a directory"),
        (
            file().entry(EntryType::Regular, b".", b"", b"x"),
            "the name  cannot be kept: it is empty",
        ),
        (
            file().symlink("l", ""),
            "the name l cannot be kept: it is a link without a target",
        ),
    ];
    for (archive, expected) in cases {
        assert_eq!(unpack(&archive.bytes()), Err(expected.to_owned()));
    }
    let fine = file()
        .dir("a/b")
        .symlink("a/b/l", "../../real")
        .symlink("a/m", "b/l")
        .hard_link("h", "./real");
    assert_eq!(
        unpack(&fine.bytes()).unwrap(),
        ["a", "a/b", "a/b/l", "a/m", "h", "real"]
    );
}

#[test]
fn a_path_that_is_not_a_file_is_refused() {
    for (kind, expected) in [
        (
            EntryType::Fifo,
            "odd is a FIFO, which cannot be transferred: exclude it",
        ),
        (
            EntryType::Char,
            "odd is a device, which cannot be transferred: exclude it",
        ),
        (
            EntryType::Block,
            "odd is a device, which cannot be transferred: exclude it",
        ),
        (
            EntryType::GNUSparse,
            "odd is a sparse file, which cannot be transferred: exclude it",
        ),
        (
            EntryType::new(b'V'),
            "odd is an entry of an unknown kind, which cannot be transferred: exclude it",
        ),
    ] {
        let archive = Hostile::new().entry(kind, b"odd", b"", b"").bytes();
        assert_eq!(unpack(&archive), Err(expected.to_owned()));
    }
}

#[test]
fn names_before_an_entry() {
    let long =
        |name: &[u8]| Hostile::new().entry(EntryType::GNULongName, b"././@LongLink", b"", name);
    let pax = |records: &[u8]| Hostile::new().entry(EntryType::XHeader, b"pax", b"", records);
    assert_eq!(
        unpack(&long(b"a/long name\0").file("short", "x").bytes()).unwrap(),
        ["a", "a/long name"]
    );
    assert_eq!(
        unpack(&pax(b"15 path=a/name\n").file("short", "x").bytes()).unwrap(),
        ["a", "a/name"]
    );
    let link = pax(b"19 linkpath=target\n").symlink("l", "short");
    assert_eq!(unpack(&link.bytes()).unwrap(), ["l"]);
    let comment = Hostile::new()
        .entry(EntryType::XGlobalHeader, b"g", b"", b"14 comment=hi\n")
        .file("a", "");
    assert_eq!(unpack(&comment.bytes()).unwrap(), ["a"]);
    for (archive, expected) in [
        (
            long(b"../x\0").file("a", ""),
            "../x would lead out of the directory: it contains `..`",
        ),
        (
            long(b"a\0b\0").file("a", ""),
            "the name a b cannot be kept: it contains a NUL",
        ),
        (
            long(&[b'a'; 4098]).file("a", ""),
            "it is longer than 4096 bytes",
        ),
        (
            long(&[b'a'; 70_000]).file("a", ""),
            "a header is longer than 64 KiB",
        ),
        (long(b"a\0"), "it ends before its end mark"),
        (
            long(&b"d/".repeat(256)).file("a", ""),
            "it is deeper than 255 directories",
        ),
        (
            pax(b"13 path=/etc\n").file("a", ""),
            "/etc would lead out of the directory: it is absolute",
        ),
        (
            pax(b"20 linkpath=/etc/a\n").symlink("l", "a"),
            "the archive of the sandbox cannot be read",
        ),
        (
            pax(b"12 size=999\n").file("a", ""),
            "the archive of the sandbox cannot be read at [dir]/to: an extended header is not supported",
        ),
        (pax(b"99 path=a\n").file("a", ""), "malformed pax extension"),
        (
            Hostile::new()
                .entry(EntryType::XGlobalHeader, b"g", b"", b"10 path=a\n")
                .file("b", ""),
            "the archive of the sandbox cannot be read at [dir]/to: an extended header is not supported",
        ),
    ] {
        let error = unpack(&archive.bytes()).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_is_refused() {
    let archive = Hostile::new()
        .dir("d")
        .file("d/a", &"x".repeat(700))
        .file("b", "y")
        .bytes();
    let end = archive.len() - 1024;
    for length in (0..end).step_by(37).chain([512, 1024, end]) {
        let error = unpack(&archive[..length]).unwrap_err();
        assert!(
            error.contains("the archive of the sandbox cannot be read"),
            "{length}: {error}"
        );
    }
    // One block of zeros is the end mark.
    unpack(&archive[..end + 512]).unwrap();
    let mut damaged = archive;
    damaged[0] ^= 1;
    assert!(unpack(&damaged).unwrap_err().contains("checksum"));
}

#[test]
fn an_archive_without_end_ends_at_its_limits() {
    let many = (0..200).fold(Hostile::new(), |archive, at| archive.dir(&format!("{at}")));
    assert!(
        unpack(&many.bytes())
            .unwrap_err()
            .contains("has more than 100 entries")
    );
    // Entries that only state the name of the next one do not count.
    let long = |archive: Hostile, at| {
        let name = format!("{}{at}\0", "x".repeat(150));
        let archive = archive.entry(EntryType::GNULongName, b"long", b"", name.as_bytes());
        archive.file("short", "")
    };
    let long = (0..100).fold(Hostile::new(), long);
    assert_eq!(unpack(&long.bytes()).unwrap().len(), 100);
    // The header states a length of 8 EiB, and the data never ends.
    let mut header = Header::new_gnu();
    header.set_size(u64::MAX >> 1);
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.as_gnu_mut().unwrap().name[0] = b'a';
    header.set_cksum();
    let endless = std::io::Read::chain(&header.as_bytes()[..], std::io::repeat(0));
    let dir = tempfile::tempdir().unwrap();
    let error = Unpack::new(dir.path().join("to"))
        .max_bytes(1 << 20)
        .unpack(endless)
        .unwrap_err();
    assert!(
        error.to_string().contains("has more than 1048576 bytes"),
        "{error}"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn setuid_is_not_transferred() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let archive = Hostile::new().dir("d").file("d/a", "x").bytes();
    Unpack::new(&to).unpack(&archive[..]).unwrap();
    for path in ["d", "d/a"] {
        assert_eq!(
            fs::metadata(to.join(path)).unwrap().mode() & 0o7777,
            0o755,
            "{path}"
        );
    }
}
