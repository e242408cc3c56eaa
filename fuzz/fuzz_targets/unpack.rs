//! An archive of a sandbox is unpacked or refused, whatever its content. Nothing outside of the directory changes, the limits hold, no
//! link leads out of the directory, and a refusal leaves nothing behind.
#![no_main]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tar::{Builder, EntryType, Header};
use twentyfirst_client::transfer::Unpack;

const MOST_ENTRIES: u64 = 64;
const MOST_BYTES: u64 = 1 << 18;

/// A piece of an archive. Its checksum is right, so that the fuzzer gets past the first check. There are few names, so that entries
/// collide.
#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    Entry {
        kind: u8,
        name: Vec<Name>,
        link: Vec<Name>,
        mode: u16,
        size: Option<u32>,
        content: &'a [u8],
    },
    Long {
        of_link: bool,
        name: Vec<Name>,
    },
    Extended {
        of_all: bool,
        key: &'a str,
        value: Vec<Name>,
    },
    Raw(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
enum Name {
    Up,
    Here,
    Slash,
    A,
    B,
    Other(u8),
}

fn bytes(names: &[Name]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names {
        match name {
            Name::Up => bytes.extend(b"../"),
            Name::Here => bytes.extend(b"./"),
            Name::Slash => bytes.push(b'/'),
            Name::A => bytes.extend(b"a/"),
            Name::B => bytes.extend(b"b"),
            Name::Other(byte) => bytes.push(*byte),
        }
    }
    bytes
}

fn append(
    archive: &mut Builder<Vec<u8>>,
    kind: u8,
    names: [&[u8]; 2],
    mode: u32,
    size: u64,
    content: &[u8],
) {
    let mut header = Header::new_gnu();
    let fields = header.as_gnu_mut().unwrap();
    for (field, name) in [
        (&mut fields.name, names[0]),
        (&mut fields.linkname, names[1]),
    ] {
        let length = name.len().min(field.len());
        field[..length].copy_from_slice(&name[..length]);
    }
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(mode);
    header.set_size(size);
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

fn archive(pieces: &[Piece<'_>]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for piece in pieces {
        match piece {
            Piece::Entry {
                kind,
                name,
                link,
                mode,
                size,
                content,
            } => {
                // Mostly valid kinds.
                let kind = b"01250LKxg37SV"
                    .get(usize::from(*kind))
                    .copied()
                    .unwrap_or(*kind);
                let size = size.map_or(content.len() as u64, u64::from);
                append(
                    &mut archive,
                    kind,
                    [&bytes(name), &bytes(link)],
                    (*mode).into(),
                    size,
                    content,
                );
            }
            Piece::Long { of_link, name } => {
                let name = [&bytes(name)[..], b"\0"].concat();
                let kind = if *of_link { b'K' } else { b'L' };
                append(
                    &mut archive,
                    kind,
                    [b"././@LongLink", b""],
                    0o644,
                    name.len() as u64,
                    &name,
                );
            }
            Piece::Extended { of_all, key, value } => {
                let value = bytes(value);
                let rest = key.len() + value.len() + 3;
                let length = (1..).find(|digits| (rest + digits).to_string().len() <= *digits);
                let length = rest + length.unwrap_or_default();
                let record = [format!("{length} {key}=").as_bytes(), &value, b"\n"].concat();
                let kind = if *of_all { b'g' } else { b'x' };
                append(
                    &mut archive,
                    kind,
                    [b"pax", b""],
                    0o644,
                    record.len() as u64,
                    &record,
                );
            }
            Piece::Raw(raw) => archive.get_mut().extend_from_slice(raw),
        }
    }
    archive.into_inner().unwrap()
}

/// Checks everything in the directory: links lead inside, and no file has special permission bits.
fn check(top: &Path, dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_symlink() {
            // A dangling link is fine.
            if let Ok(real) = fs::canonicalize(&path) {
                assert!(real.starts_with(top), "{path:?} leads to {real:?}");
            }
            continue;
        }
        assert!(metadata.is_file() || metadata.is_dir(), "{path:?}");
        assert_eq!(metadata.permissions().mode() & 0o7000, 0, "{path:?}");
        if metadata.is_dir() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            check(top, &path);
        }
    }
}

fuzz_target!(|pieces: Vec<Piece<'_>>| {
    let archive = archive(&pieces);
    let outer = tempfile::tempdir().unwrap();
    let outer = outer.path().canonicalize().unwrap();
    // A name with `..` would lead to these files.
    for name in ["a", "b"] {
        fs::write(outer.join(name), name).unwrap();
    }
    let to = outer.join("to");
    let unpack = Unpack::new(&to)
        .max_entries(MOST_ENTRIES)
        .max_bytes(MOST_BYTES);
    let result = unpack.unpack(&archive[..]);
    for name in ["a", "b"] {
        let path = outer.join(name);
        assert_eq!(fs::read_to_string(&path).unwrap(), name);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0);
    }
    let there = fs::read_dir(&outer).unwrap().count();
    match result {
        Ok(done) => {
            assert_eq!(there, 3);
            assert!(done.files + done.links <= MOST_ENTRIES && done.bytes <= MOST_BYTES);
            check(&to, &to);
        }
        Err(_) => assert_eq!(there, 2, "a refusal left files behind"),
    }
});
