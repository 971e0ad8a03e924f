use object_store::ObjectStoreExt;

use super::*;

fn store() -> (tempfile::TempDir, DurableLocal) {
    let folder = tempfile::tempdir().expect("temp folder");
    let store = DurableLocal::open(folder.path(), true).expect("opens");
    (folder, store)
}

fn names(folder: &FsPath) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn create_succeeds_once() {
    let (folder, store) = store();
    let path = Path::from("t/_delta_log/00000000000000000000.json");
    let create = || PutOptions::from(PutMode::Create);
    store.put_opts(&path, "first".into(), create()).await.expect("first");
    let second = store.put_opts(&path, "second".into(), create()).await;
    assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
    assert_eq!(store.get(&path).await.expect("there").bytes().await.expect("bytes"), "first");
    assert_eq!(names(&folder.path().join("t/_delta_log")), ["00000000000000000000.json"]);
}

#[tokio::test]
async fn of_racing_creators_one_wins() {
    let (_folder, store) = store();
    let store = Arc::new(store);
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let opts = PutOptions::from(PutMode::Create);
                store.put_opts(&Path::from("a/b.json"), format!("{n}").into(), opts).await.is_ok()
            })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.expect("joins"));
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn an_upload_appears_only_when_complete() {
    let (folder, store) = store();
    let path = Path::from("t/part.parquet");
    let mut upload = store.put_multipart(&path).await.expect("starts");
    upload.put_part("abc".into()).await.expect("part");
    upload.put_part("def".into()).await.expect("part");
    assert_eq!(names(&folder.path().join("t")), ["part.parquet#1"]);
    upload.complete().await.expect("completes");
    assert_eq!(names(&folder.path().join("t")), ["part.parquet"]);
    assert_eq!(store.get(&path).await.expect("there").bytes().await.expect("bytes"), "abcdef");

    let mut dropped = store.put_multipart(&Path::from("t/other")).await.expect("starts");
    dropped.put_part("abc".into()).await.expect("part");
    drop(dropped);
    assert_eq!(names(&folder.path().join("t")), ["part.parquet"]);
}

#[tokio::test]
async fn links_out_of_the_root_are_refused() {
    let (folder, store) = store();
    let outside = tempfile::tempdir().expect("temp folder");
    fs::write(outside.path().join("secret"), "x").expect("writes");
    std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).expect("links");
    std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("alias")).expect("links");
    for path in ["out/secret", "alias"] {
        let read = store.get(&Path::from(path)).await;
        assert!(matches!(read, Err(Error::PermissionDenied { .. })), "{path}: {read:?}");
    }
    let write = store.put(&Path::from("out/new"), "x".into()).await;
    assert!(matches!(write, Err(Error::PermissionDenied { .. })), "{write:?}");
    let listed: Vec<ObjectMeta> = store.list(None).try_collect().await.expect("lists");
    assert_eq!(listed, []);
}

#[test]
fn leftovers_are_told_from_data() {
    for (name, expected) in [("a.parquet#1", true), ("a#12", true), ("a.parquet", false), ("a#b", false), ("#1", false)]
    {
        assert_eq!(is_leftover(name), expected, "{name}");
    }
}
