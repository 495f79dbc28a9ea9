use std::{fs, io::Cursor, sync::Arc};

use proptest::prelude::*;
use secrecy::SecretBox;

use super::{
    format::{HEADER, Key, MAX_SECTION, Writer},
    *,
};
use crate::{
    cache::stock_data_map::{InvalidParts, Learned, StockDataMap},
    model::{Indicators, Subject},
    query::testing::{World, ids, indicators},
    store::{Need, Rows},
};

fn key(byte: u8) -> Key {
    SecretBox::new(Box::new([byte; 32]))
}

/// Two subjects with gaps in what is known of them, and one that does not exist.
fn maps() -> Vec<StockDataMap> {
    let mut world = World::default();
    for day in 0..40 {
        for subject in ["33:a", "33:\"b\"\n"] {
            world.put(subject, day, &[(0, Some(day as f64 / 3.0)), (1, None), (2, Some(-0.0))]);
        }
    }
    world.stocks.get_mut("33:a").unwrap().info.name = Some("平安 \\ \"A\"".into());
    let learn = |subject: &str, asked: &[(i64, i64, &[u16])]| {
        let subject = Subject::from(subject);
        let need = |(from, to, of): &(i64, i64, &[u16])| Need {
            subject: subject.clone(),
            rows: Rows::Between { from: *from, to: *to },
            indicators: (*ids(of)).into(),
        };
        let needs: Vec<Need> = asked.iter().map(need).collect();
        let found: Vec<_> = needs.iter().map(|need| world.answer(need)).collect();
        let learned = needs.iter().zip(&found).map(|(need, found)| Learned { need, found });
        StockDataMap::merge(None, &subject, &learned.collect::<Vec<_>>(), 7)
    };
    vec![
        learn("33:a", &[(0, 20, &[0, 2]), (30, 39, &[1]), (10, 12, &[1])]),
        learn("33:\"b\"\n", &[(i64::MIN, i64::MAX, &[0, 1, 2])]),
        learn("33:c", &[(0, 9, &[0])]),
    ]
}

fn file(compress: bool, key: Option<&Key>) -> Vec<u8> {
    let header = Header::new(9, HistoryId::default(), 1_700_000_000_000, compress, key.is_some());
    let mut writer = Writer::new(Vec::new(), header, key).unwrap();
    let indicators = indicators();
    for map in maps() {
        assert!(writer.entry(|out| write_entry(out, &map, 1234, &indicators)).unwrap());
    }
    writer.finish().unwrap()
}

fn read(file: &[u8], key: Option<&Key>) -> Result<Vec<StockDataMap>, Unfit> {
    let mut reader = Reader::new(Cursor::new(file))?;
    let mut maps = Vec::new();
    while let Some(section) = reader.section(key)? {
        let each = |map, ttl| {
            assert_eq!(ttl, 1234);
            maps.push(map);
        };
        EntryReader::new(&indicators()).section(&section, each).unwrap();
    }
    Ok(maps)
}

/// What a file on the disk is found to be when all of it is read: its header, or what is wrong.
fn check(path: &std::path::Path) -> Result<Header, Unfit> {
    let index = Index::open(path)?;
    let mut buffer = Vec::new();
    for section in (0..index.len()).rev() {
        index.check(section, &mut buffer)?;
    }
    Ok(index.header())
}

#[test]
fn reads_back_what_it_wrote_packed_and_encrypted_or_not() {
    for (compress, key) in
        [(false, None), (true, None), (false, Some(key(3))), (true, Some(key(4)))]
    {
        let file = file(compress, key.as_ref());
        let at_once = read(&file, key.as_ref()).unwrap();
        assert_eq!(format!("{at_once:#?}"), format!("{:#?}", maps()));
        let on_disk = tempfile::NamedTempFile::new().unwrap();
        fs::write(&on_disk, &file).unwrap();
        let header = check(on_disk.path()).unwrap();
        assert_eq!((header.revision, header.saved_at), (9, 1_700_000_000_000));
        let index = Index::open(on_disk.path()).unwrap();
        let mut buffer = Vec::new();
        let section = index.read(0, key.as_ref(), &mut buffer).unwrap();
        let mut maps = Vec::new();
        let each = |map, _| maps.push(map);
        EntryReader::new(&indicators()).section(&section, each).unwrap();
        assert_eq!(format!("{maps:?}"), format!("{at_once:?}"));
    }
}

#[test]
fn shows_nothing_in_the_clear_when_encrypted_and_never_a_nonce_twice() {
    let (one, two) = (file(false, Some(&key(1))), file(false, Some(&key(1))));
    assert!(!one.windows(4).any(|window| window == b"33:a"));
    assert_ne!(one[28..36], two[28..36], "the random part of the nonces");
    assert!(matches!(read(&one, Some(&key(2))), Err(Unfit::Unsuited(_))));
    assert!(matches!(read(&one, None), Err(Unfit::Unsuited(_))));
}

#[test]
fn finds_any_byte_that_was_changed() {
    let on_disk = tempfile::NamedTempFile::new().unwrap();
    for file in [file(true, None), file(true, Some(&key(1)))] {
        for at in 0..file.len() {
            for change in [1_u8, 0x80, 0xff] {
                let mut bad = file.clone();
                bad[at] ^= change;
                let streamed = read(&bad, Some(&key(1)));
                assert!(
                    matches!(streamed, Err(Unfit::Damaged(_) | Unfit::Cut)),
                    "{at}: {streamed:?}"
                );
                fs::write(&on_disk, bad).unwrap();
                let verdict = check(on_disk.path());
                assert!(
                    matches!(verdict, Err(Unfit::Damaged(_) | Unfit::Cut)),
                    "{at}: {verdict:?}"
                );
            }
        }
    }
}

#[test]
fn finds_any_cut_and_any_addition() {
    let file = file(false, None);
    let on_disk = tempfile::NamedTempFile::new().unwrap();
    let longer = [&file[..], b"x"].concat();
    for bad in (0..file.len()).map(|len| &file[..len]).chain([&longer[..]]) {
        let streamed = read(bad, None);
        assert!(
            matches!(streamed, Err(Unfit::Damaged(_) | Unfit::Cut)),
            "{}: {streamed:?}",
            bad.len()
        );
        fs::write(&on_disk, bad).unwrap();
        let verdict = check(on_disk.path());
        assert!(
            matches!(verdict, Err(Unfit::Damaged(_) | Unfit::Cut)),
            "{}: {verdict:?}",
            bad.len()
        );
    }
}

#[test]
fn believes_no_length() {
    let whole = file(false, None);
    let more = u32::try_from(MAX_SECTION + 5000).unwrap();
    for size in [u32::MAX, more, 60 << 20] {
        let mut bad = whole[..HEADER].to_vec();
        bad.extend_from_slice(&size.to_le_bytes());
        bad.extend_from_slice(&[0xff; 40]);
        assert!(matches!(read(&bad, None), Err(Unfit::Damaged(_) | Unfit::Cut)));
    }
}

#[test]
fn another_version_is_left_for_the_program_that_knows_it() {
    for (version, sum) in [(1, 36), (3, 60)] {
        let mut other = file(false, None);
        other[8] = version;
        let crc = crc32fast::hash(&other[..sum]).to_le_bytes();
        other[sum..sum + 4].copy_from_slice(&crc);
        assert!(matches!(read(&other, None), Err(Unfit::Unsuited(_))));
    }
}

#[test]
fn takes_no_entry_that_does_not_fit_together() {
    let good = r#"{"subject":{"subject":"a"},"exists":true,"revision":1,"ttl_ms":5,"known":[[0,9]],"rows":[[1,"e","p",null,"y"],[2,"e","p","d","y"]],"columns":[{"indicator":"i0","known":[[0,5]],"values":[1.5,null]}]}"#;
    let read = |text: &str| {
        let line = format!("{text}\n");
        EntryReader::new(&indicators()).section(line.as_bytes(), |_, _| {})
    };
    assert_eq!(read(good), Ok(()));
    for (from, to, why) in [
        ("[2,\"e\"", "[1,\"e\"", InvalidParts::Rows),
        ("[2,\"e\"", "[10,\"e\"", InvalidParts::Rows),
        ("[2,\"e\"", "[2,7", InvalidParts::Facts),
        ("\"d\"", "{}", InvalidParts::Facts),
        ("null,\"y\"", "null,null", InvalidParts::Facts),
        ("[1.5,null]", "[1.5]", InvalidParts::Columns),
        ("[1.5,null]", "[1.5,null,1]", InvalidParts::Columns),
        ("[[0,5]]", "[[0,10]]", InvalidParts::Columns),
        ("1.5", "1e999", InvalidParts::NotAnEntry),
        ("\"ttl_ms\":5", "\"ttl_ms\":-5", InvalidParts::NotAnEntry),
        ("]}]}", "]}]", InvalidParts::NotAnEntry),
    ] {
        assert_eq!(read(&good.replace(from, to)), Err(why), "{from} as {to}");
    }
    let none = Indicators::new(["other"]);
    let each = |map: StockDataMap, _| {
        assert_eq!((map.len(), map.indicators().count()), (2, 0), "an indicator that is no more");
    };
    EntryReader::new(&none).section(format!("{good}\n").as_bytes(), each).unwrap();
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        start in 0..100_usize,
    ) {
        let _ = EntryReader::new(&indicators()).section(&bytes, |_, _| {});
        // Behind a good header and good checksums, too.
        let header = Header::new(1, HistoryId::default(), 1, start % 2 == 0, false);
        let writer = Writer::new(Vec::new(), header, None).unwrap();
        let mut file = writer.finish().unwrap();
        file.truncate(HEADER);
        file.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        file.extend_from_slice(&u32::try_from(start).unwrap().to_le_bytes());
        let crc = [&[0; 4], &file[HEADER..HEADER + 8], &bytes].concat();
        file.extend_from_slice(&crc32fast::hash(&crc).to_le_bytes());
        file.extend_from_slice(&bytes);
        if let Ok(mut reader) = Reader::new(Cursor::new(file)) {
            let _ = reader.section(None);
        }
    }
}

fn files(dir: &std::path::Path, keep: usize) -> SnapshotFiles {
    let dir = dir.join("snapshots");
    SnapshotFiles::new(SnapshotOptions { dir, keep, compress: true, key: None })
}

fn names(files: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(files.join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn save(files: &SnapshotFiles, revision: u64) -> Saved {
    let line = |out: &mut Vec<u8>| out.extend_from_slice(b"{}");
    files.save(revision, HistoryId::default(), 0, [line].into_iter()).unwrap()
}

#[test]
fn keeps_the_newest_and_clears_what_was_never_finished() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), 3);
    assert!(files.newest(u64::MAX).is_none(), "not even a directory");
    for revision in 1..=5 {
        save(&files, revision);
        fs::write(dir.path().join("snapshots/.cache-unfinished-x"), "half").unwrap();
    }
    fs::write(dir.path().join("snapshots/cache-1.snapshot"), "not ours").unwrap();
    let (number, opened) = files.newest(u64::MAX).unwrap();
    assert_eq!((number, opened.index.header().revision), (5, 5));
    assert_eq!(
        names(dir.path()),
        [
            "cache-00000003.snapshot",
            "cache-00000004.snapshot",
            "cache-00000005.snapshot",
            "cache-1.snapshot"
        ]
    );
}

#[test]
fn sets_the_damaged_aside_and_takes_the_next_older() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), 3);
    let saved: Vec<Saved> = (1..=3).map(|revision| save(&files, revision)).collect();
    let mut bytes = fs::read(&saved[2].path).unwrap();
    bytes[20] ^= 1;
    fs::write(&saved[2].path, bytes).unwrap();
    let bytes = fs::read(&saved[1].path).unwrap();
    fs::write(&saved[1].path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(files.newest(u64::MAX).unwrap().0, 1);
    assert_eq!(
        names(dir.path()),
        [
            "cache-00000001.snapshot",
            "cache-00000002.snapshot.damaged",
            "cache-00000003.snapshot.damaged"
        ]
    );
    // Numbers go on from what is there; damaged ones are kept in the same number, no more.
    for revision in 4..=9 {
        save(&files, revision);
    }
    assert_eq!(files.newest(u64::MAX).unwrap().1.index.header().revision, 9);
    assert_eq!(names(dir.path()).len(), 5);
}

#[test]
fn a_directory_in_the_place_of_a_file_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path(), 3);
    save(&files, 1);
    fs::create_dir(dir.path().join("snapshots/cache-00000009.snapshot")).unwrap();
    assert_eq!(files.newest(u64::MAX).unwrap().0, 1);
    assert_eq!(save(&files, 2).path.file_name().unwrap(), "cache-00000010.snapshot");
}

#[test]
fn where_nothing_can_be_written_it_says_so_and_keeps_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("snapshots"), "a file").unwrap();
    let files = files(dir.path(), 3);
    let line = |out: &mut Vec<u8>| out.extend_from_slice(b"{}");
    let error = files.save(1, HistoryId::default(), 0, [line].into_iter()).unwrap_err().to_string();
    assert!(error.contains("cannot make") && error.contains("snapshots"), "{error}");
    assert!(files.newest(u64::MAX).is_none());
    assert_eq!(fs::read(dir.path().join("snapshots")).unwrap(), b"a file");
    // The other way round: a subject too large for a section is left out, the rest is saved.
    let other = SnapshotFiles::new(SnapshotOptions {
        dir: dir.path().join("other"),
        keep: 1,
        compress: false,
        key: None,
    });
    let large = |size: usize| move |out: &mut Vec<u8>| out.resize(out.len() + size, b' ');
    let saved =
        other.save(1, HistoryId::default(), 0, [large(70 << 20), large(10)].into_iter()).unwrap();
    assert_eq!(saved.entries, 1);
    assert!(Arc::new(other).newest(u64::MAX).is_some());
}
