//! Many files in requests that the relay accepts.

use proptest::prelude::*;
use twentyfirst_protocol::files::{WriteFiles, WritePart};
use twentyfirst_protocol::{Endpoint, InvalidRequest, SandboxId};

const LIMIT: usize = 10 * 1024 * 1024;

fn write(files: &[(String, String)]) -> WriteFiles {
    WriteFiles::new(SandboxId::new("sb_1").unwrap(), files.to_vec())
}

/// Returns path and length of each file in each request, with a `~` for streams.
fn shape(parts: &[WritePart]) -> Vec<String> {
    let shape = |part: &WritePart| match part {
        WritePart::Files(write) => {
            let files = write.files.iter();
            let files = files.map(|file| format!("{}:{}", file.path, file.content.len()));
            files.collect::<Vec<_>>().join(" ")
        }
        WritePart::Long(write, text) => {
            assert_eq!(write.length, Some(text.len() as u64));
            format!("~{}:{}", write.path, text.len())
        }
    };
    parts.iter().map(shape).collect()
}

fn parts(files: &[(&str, String)]) -> Vec<String> {
    let files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.clone()));
    shape(&write(&files.collect::<Vec<_>>()).parts().unwrap())
}

#[test]
fn the_last_byte_counts() {
    // {"files":{"a":"…"}}
    let most = LIMIT - 18;
    assert_eq!(parts(&[("a", "x".repeat(most))]), [format!("a:{most}")]);
    let long = "x".repeat(most + 1);
    assert_eq!(parts(&[("a", long)]), [format!("~a:{}", most + 1)]);
    // Written as `\n`, each takes two bytes.
    let lines = "\n".repeat(most / 2 + 1);
    assert_eq!(parts(&[("a", lines)]), [format!("~a:{}", most / 2 + 1)]);
    // ,"b":""
    let both = [("a", "x".repeat(most - 7)), ("b", String::new())];
    assert_eq!(parts(&both), [format!("a:{} b:0", most - 7)]);
    let apart = [("a", "x".repeat(most - 6)), ("b", String::new())];
    assert_eq!(parts(&apart), [format!("a:{}", most - 6), "b:0".to_owned()]);
}

#[test]
fn a_long_file_stands_where_it_was_given() {
    let files = [
        ("a", 1),
        ("b", 2),
        ("c", LIMIT),
        ("d", 3),
        ("e", LIMIT - 20),
        ("f", 4),
    ];
    let files = files.map(|(path, length)| (path, "x".repeat(length)));
    assert_eq!(
        parts(&files),
        ["a:1 b:2", "~c:10485760", "d:3", "e:10485740", "f:4"]
    );
}

#[test]
fn all_files_are_checked_before_the_first_is_sent() {
    let large = "x".repeat(LIMIT - 100);
    let file = |path: &str| (path.to_owned(), large.clone());
    let twice: Result<_, InvalidRequest> = write(&[file("a"), file("b"), file("a")]).parts();
    assert_eq!(
        twice.unwrap_err().to_string(),
        "`files` must contain each path only once"
    );
    assert!(write(&[]).parts().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// Every part is an accepted request, all files are there in their order, and no two neighbours would fit in one request.
    #[test]
    fn parts_fit_and_are_as_few_as_can_be(
        sizes in proptest::collection::vec(
            (prop_oneof![0..20usize, 1_000_000..6_000_000usize, 10_400_000..10_500_000usize], "[a\n\u{1}ü\"]"),
            1..6,
        ),
    ) {
        let files: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(at, (size, letter))| (format!("dir\\{at}"), letter.repeat(*size / letter.len())))
            .collect();
        let parts = write(&files).parts().unwrap();
        let mut found = Vec::new();
        for part in &parts {
            match part {
                WritePart::Files(part) => {
                    prop_assert!(part.to_request().is_ok());
                    found.extend(part.files.iter().map(|file| (file.path.clone(), file.content.clone())));
                }
                WritePart::Long(part, text) => {
                    let text = String::from_utf8(text.to_vec()).unwrap();
                    let alone = (part.path.clone(), text);
                    prop_assert!(write(std::slice::from_ref(&alone)).to_request().is_err());
                    found.push(alone);
                }
            }
        }
        prop_assert!(found == files);
        for pair in parts.windows(2) {
            if let [WritePart::Files(one), WritePart::Files(next)] = pair {
                let mut joined = one.clone();
                joined.files.push(next.files[0].clone());
                prop_assert!(joined.to_request().is_err());
            }
        }
    }
}
