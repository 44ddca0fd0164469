use std::fs;
use std::io::Write as _;
use std::path::Path;

use device_writeback_core::graph::{CloudItem, Field};
use device_writeback_core::guid::{DeviceId, ObjectId};
use device_writeback_core::plan::Completeness;
use device_writeback_engine::ports::CloudImport as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_executor::block_on;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn source(&self, name: &str) -> FileSource {
        open(&self.path(name)).unwrap()
    }
}

fn open(path: &Path) -> Result<FileSource, Error> {
    FileSource::open(FileSourceOptions {
        path: path.to_owned(),
        users: None,
        partial: false,
    })
}

fn object_id(number: u32) -> ObjectId {
    format!("00000000-0000-0000-0000-{number:012}")
        .parse()
        .unwrap()
}

fn device_id(number: u32) -> DeviceId {
    format!("10000000-0000-0000-0000-{number:012}")
        .parse()
        .unwrap()
}

fn device(number: u32, name: &str) -> String {
    format!(
        r#"{{"id":"{}","deviceId":"{}","displayName":"{name}","registeredOwners":[{{"id":"{}"}}]}}"#,
        object_id(number),
        device_id(number),
        object_id(900_000 + number % 3)
    )
}

fn page(numbers: impl IntoIterator<Item = u32>, more: bool) -> String {
    let devices: Vec<String> = numbers
        .into_iter()
        .map(|number| device(number, "Büro"))
        .collect();
    let link = if more {
        r#","@odata.nextLink":"x""#
    } else {
        ""
    };
    format!("{{\"value\":[{}]{link}}}\n", devices.join(",\n"))
}

fn gzip(members: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        let mut encoder = GzEncoder::new(&mut out, Compression::fast());
        encoder.write_all(member.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }
    out
}

fn read(source: &FileSource) -> Result<(Vec<CloudRecord>, Completeness), Error> {
    block_on(async {
        let mut import = source.import().await?;
        let mut records = Vec::new();
        while let Some(page) = import.next_page().await? {
            assert!(!page.is_empty() && page.len() <= 500);
            records.extend(page);
        }
        assert_eq!(import.next_page().await?, None);
        Ok((records, import.completeness()))
    })
}

fn numbers(records: &[CloudRecord]) -> Vec<u32> {
    records
        .iter()
        .map(|record| match &record.item {
            CloudItem::Device(device) => {
                let text = device.id.to_string();
                text.rsplit('-').next().unwrap().parse().unwrap()
            }
            other => panic!("{other:?}"),
        })
        .collect()
}

fn keys(records: &[CloudRecord]) -> Vec<CloudKey> {
    records
        .iter()
        .zip(numbers(records))
        .map(|(record, number)| CloudKey {
            device_id: device_id(number),
            object_id: object_id(number),
            sequence: record.sequence,
        })
        .collect()
}

#[test]
fn a_file_is_read_in_order_in_pages_and_found_again() {
    let folder = Folder::new().with("devices.json", page(0..3_210, false));
    let source = folder.source("devices.json");
    let (records, completeness) = read(&source).unwrap();
    assert_eq!(numbers(&records), (0..3_210).collect::<Vec<_>>());
    assert_eq!(completeness, Completeness::Full);
    assert!(records.is_sorted_by_key(|record| record.sequence));
    let wanted: Vec<CloudKey> = keys(&records).into_iter().rev().step_by(7).collect();
    let mut again = block_on(source.reread(&wanted)).unwrap();
    again.reverse();
    assert_eq!(
        again,
        records.iter().rev().step_by(7).cloned().collect::<Vec<_>>()
    );
    assert_eq!(
        source.locate(records[0].sequence),
        format!("{}, byte 10", folder.path("devices.json").display())
    );
}

#[test]
fn a_folder_is_read_by_name_with_compressed_files_between() {
    let folder = Folder::new()
        .with("in/page-1.json", page(0..4, true))
        .with(
            "in/page-2.ndjson.gz",
            gzip(&[&page(4..6, true), &page(6..8, true)]),
        )
        .with("in/page-10.jsonl", page(8..9, false))
        .with("in/.page-3.json", "nonsense")
        .with("in/.cache/page-4.json", "nonsense");
    let source = folder.source("in");
    let (records, completeness) = read(&source).unwrap();
    assert_eq!(numbers(&records), (0..9).collect::<Vec<_>>());
    assert_eq!(completeness, Completeness::Full);
    let mut again = block_on(source.reread(&keys(&records))).unwrap();
    assert_eq!(again, records);
    // The second time the temporary file is there already.
    again = block_on(source.reread(&keys(&records)[5..7])).unwrap();
    assert_eq!(again, records[5..7]);
    let place = source.locate(records[8].sequence);
    assert_eq!(
        place,
        format!("{}, byte 10", folder.path("in/page-10.jsonl").display())
    );
    assert!(
        source
            .locate(records[5].sequence)
            .ends_with("when unpacked")
    );
    assert!(source.locate(77 << 40).contains("no file"));
}

#[test]
fn users_give_their_sids_to_owners_that_have_none() {
    let users = format!(
        r#"{{"value":[{{"id":"{}","onPremisesSecurityIdentifier":"S-1-5-21-1-2-3-1104"}},
        {{"id":"{}","onPremisesSecurityIdentifier":null}},{{"id":7}},{{"id":"{}"}}],"@odata.nextLink":"x"}}"#,
        object_id(900_000),
        object_id(900_001),
        object_id(900_002)
    );
    let own = r#"{"id":"00000000-0000-0000-0000-000000000003","registeredUsers":[
        {"id":"00000000-0000-0000-0000-000000900000","onPremisesSecurityIdentifier":"S-1-5-21-9-9-9-2000"}]}"#;
    let folder = Folder::new()
        .with("devices.json", format!("{}{own}", page(0..3, false)))
        .with("users/users.json.gz", gzip(&[&users]));
    let source = FileSource::open(FileSourceOptions {
        path: folder.path("devices.json"),
        users: Some(folder.path("users")),
        partial: true,
    })
    .unwrap();
    let (records, completeness) = read(&source).unwrap();
    assert_eq!(completeness, Completeness::Partial);
    let sid = |text: &str| Field::Value(text.parse().unwrap());
    let found: Vec<_> = records
        .iter()
        .map(|record| match &record.item {
            CloudItem::Device(device) => device
                .registered_owners
                .value()
                .or(device.registered_users.value())
                .unwrap()[0]
                .sid
                .clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        found,
        [
            sid("S-1-5-21-1-2-3-1104"),
            Field::Null,
            Field::Absent,
            sid("S-1-5-21-9-9-9-2000")
        ]
    );
    assert_eq!(block_on(source.reread(&keys(&records))).unwrap(), records);
}

#[test]
fn what_is_cut_off_or_damaged_makes_the_reading_incomplete() {
    let reason = |content: &str| {
        let folder = Folder::new().with("devices.json", content);
        match read(&folder.source("devices.json")).unwrap().1 {
            Completeness::Incomplete(reason) => reason,
            other => panic!("{other:?}"),
        }
    };
    let whole = page(0..2, false);
    assert!(reason(&whole[..whole.len() - 3]).contains("devices.json: the input ends inside"));
    assert!(reason(&page(0..2, true)).ends_with("the export is cut off"));
    assert!(reason(&format!("{whole}trailing")).contains("no Graph JSON"));
    let folder = Folder::new()
        .with("in/1.json", "junk")
        .with("in/2.json", page(0..2, false));
    let (records, completeness) = read(&folder.source("in")).unwrap();
    assert_eq!(records.len(), 2);
    assert!(matches!(completeness, Completeness::Incomplete(reason) if reason.contains("1.json")));
    // A chosen part of an export may end anywhere between its pages.
    let folder = Folder::new().with("devices.json", page(0..2, true));
    let options = FileSourceOptions {
        path: folder.path("devices.json"),
        users: None,
        partial: true,
    };
    let (_, completeness) = read(&FileSource::open(options).unwrap()).unwrap();
    assert_eq!(completeness, Completeness::Partial);
}

#[test]
fn a_folder_that_holds_more_than_pages_is_no_complete_export() {
    let folder = |stray: &str| {
        Folder::new()
            .with("in/p1.json", page(0..2, false))
            .with("in/.lock", "")
            .with(stray, "nonsense")
    };
    let reason = |folder: &Folder| {
        let (records, completeness) = read(&folder.source("in")).unwrap();
        assert_eq!(numbers(&records), [0, 1]);
        match completeness {
            Completeness::Incomplete(reason) => reason,
            other => panic!("{other:?}"),
        }
    };
    for (stray, entry, why) in [
        ("in/p2.json.part", "in/p2.json.part", ".ndjson"),
        ("in/p2.txt", "in/p2.txt", ".ndjson"),
        ("in/deeper/p2.json", "in/deeper", "a folder"),
        ("in/p2.json/p2.json", "in/p2.json", "a folder"),
    ] {
        let folder = folder(stray);
        let reason = reason(&folder);
        let expected = format!("{} is no page file: ", folder.path(entry).display());
        assert!(reason.starts_with(&expected), "{reason}");
        assert!(reason.contains(why), "{reason}");
        assert!(reason.ends_with("; move it away"), "{reason}");
    }
    #[cfg(unix)]
    {
        let folder = folder("in/.hidden");
        let _socket = std::os::unix::net::UnixListener::bind(folder.path("in/p2.json")).unwrap();
        assert!(reason(&folder).contains("p2.json is no page file: it is no regular file"));
    }
    // The first one is named, whatever order the folder lists them in; what is given as a choice stays one.
    let folder = folder("in/p10.part")
        .with("in/p9.part", "")
        .with("in/q", "");
    assert!(reason(&folder).contains("p9.part"));
    let options = FileSourceOptions {
        path: folder.path("in"),
        users: None,
        partial: true,
    };
    let (_, completeness) = read(&FileSource::open(options).unwrap()).unwrap();
    assert_eq!(completeness, Completeness::Partial);
}

#[test]
fn what_cannot_be_read_at_all_is_an_error_with_a_remedy() {
    let message = |error: Error| {
        assert!(error.remedy().is_some(), "{error:?}");
        error.to_string()
    };
    let failing = |content: &[u8], name: &str| {
        let folder = Folder::new().with(name, content);
        message(read(&folder.source(name)).unwrap_err())
    };
    assert!(failing(b"", "a.json").ends_with("the file is empty"));
    assert!(failing(b"\xEF\xBB\xBF \n", "a.json").ends_with("the file is empty"));
    assert!(failing(b"\xff\xfe{\0", "a.json").contains("UTF-16"));
    assert!(failing(b"<html>", "a.json").contains("no Graph JSON"));
    assert!(failing(&gzip(&["[]"]), "a.json").contains("compressed"));
    let cut = gzip(&[&page(0..100, false)]);
    assert!(failing(&cut[..cut.len() / 2], "a.json.gz").ends_with("a.json.gz failed"));
    assert!(failing(b"[]", "a.json.gz").ends_with("a.json.gz failed"));

    let folder = Folder::new()
        .with("in/readme.txt", "")
        .with("a.json", "[]")
        .with("u.json", "[{}");
    assert!(message(open(&folder.path("in")).unwrap_err()).contains("no export"));
    let missing = open(&folder.path("none.json")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Source);
    assert!(std::error::Error::source(&missing).is_some());
    assert!(message(missing).contains("none.json"));
    let options = FileSourceOptions {
        path: folder.path("a.json"),
        users: Some(folder.path("u.json")),
        partial: false,
    };
    assert!(message(FileSource::open(options).unwrap_err()).contains("u.json"));
    // An export that says that there is nothing is no error here: the limits look at it.
    assert_eq!(
        read(&folder.source("a.json")).unwrap(),
        (vec![], Completeness::Full)
    );
}

#[test]
fn a_record_that_moved_is_left_out_of_the_second_reading() {
    let folder = Folder::new().with("devices.json", page(0..10, false));
    let source = folder.source("devices.json");
    let (records, _) = read(&source).unwrap();
    let folder = folder.with("devices.json", page(0..5, false));
    let again = block_on(source.reread(&keys(&records))).unwrap();
    assert_eq!(again, records[..5]);
    let folder = folder.with("devices.json", page(1..6, false));
    assert_eq!(block_on(source.reread(&keys(&records))).unwrap(), []);
    fs::remove_file(folder.path("devices.json")).unwrap();
    let error = block_on(source.reread(&keys(&records))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source);
    assert_eq!(read(&source).unwrap_err().kind(), ErrorKind::Source);
}

#[test]
fn a_record_larger_than_the_window_is_found_again() {
    let name = "ä".repeat(100_000);
    let content = format!("[{},{}]", device(1, &name), device(2, "small"));
    let folder = Folder::new().with("devices.json", content);
    let source = folder.source("devices.json");
    let (records, _) = read(&source).unwrap();
    assert_eq!(block_on(source.reread(&keys(&records))).unwrap(), records);
}

#[test]
fn an_import_that_is_dropped_ends_its_thread() {
    let folder = Folder::new().with("devices.json", page(0..20_000, false));
    let source = folder.source("devices.json");
    block_on(async {
        let mut import = source.import().await.unwrap();
        assert_eq!(import.next_page().await.unwrap().unwrap().len(), 500);
        assert!(matches!(import.completeness(), Completeness::Incomplete(_)));
    });
    // The thread holds the files; the source alone remains.
    while Arc::strong_count(&source.files) > 1 {
        std::thread::yield_now();
    }
}
