//! What others wrote into a file stays, or is refused before it would be lost.

use scimitar::{
    error::Code,
    sink::{Loss, Sink, file::Format},
};

use super::{
    FileSite,
    sink_conformance::{CANARY, Gate, Site, assert_holds, delivery, promote},
};

/// What somebody wrote by hand, and that a write would have thrown away with all that is in it.
#[tokio::test]
async fn what_cannot_be_parsed_is_refused_with_its_line_and_stays() {
    let token = delivery(1).value.expose().replace(['"', '\\'], "");
    for (format, text, line) in [
        (Format::Json, "{\n  \"db\": \"secret\",\n}\n".to_owned(), "line 3"),
        (Format::Json, "{\n  // the database\n  \"db\": \"secret\"\n}\n".to_owned(), "line 2"),
        (Format::Json, format!("[\"{token}\"]"), "line 1"),
        (Format::Json, token.clone(), "line 1"),
        (Format::Env, "DB=secret\nOTHER=a\\\nSCIM_TOKEN=b\n".to_owned(), "line 2"),
        (Format::Env, "DB=\"secret\nOTHER=a\n".to_owned(), "line 1"),
    ] {
        let site = FileSite::new(format, None);
        std::fs::create_dir_all(site.path().parent().unwrap()).unwrap();
        std::fs::write(site.path(), &text).unwrap();
        let sink = site.sink();
        let seen = sink.read().await.unwrap();
        let Loss::Unparsed(why) = &seen.loss else { panic!("{text:?}: {seen:?}") };
        assert!(why.contains(line) && !why.contains("secret") && !why.contains(CANARY), "{why}");
        let proof = sink.prove_writable(&seen).await.unwrap_err();
        let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
        for fault in [proof, write] {
            assert_eq!(fault.code, Code::ForeignContent, "{text:?}: {fault}");
            assert!(fault.detail.contains("overwrite = true on this delivery"), "{fault}");
        }
        assert_eq!(std::fs::read_to_string(site.path()).unwrap(), text);
        let overwriting = site.open_overwriting().unwrap();
        assert!(overwriting.overwrites() && !sink.overwrites());
        overwriting.prove_writable(&seen).await.unwrap();
        promote(&*overwriting, 1).await;
        assert_holds(&sink.read().await.unwrap(), &delivery(1));
    }
}

#[tokio::test]
async fn what_a_raw_file_holds_would_be_lost() {
    for (content, loss) in
        [("", Loss::Nothing), (" \n", Loss::Nothing), ("-----BEGIN KEY-----\nx\n", Loss::Value)]
    {
        let site = FileSite::new(Format::Raw, None);
        std::fs::create_dir_all(site.path().parent().unwrap()).unwrap();
        std::fs::write(site.path(), content).unwrap();
        assert_eq!(site.sink().read().await.unwrap().loss, loss, "{content:?}");
    }
}

/// Larger than any file of tokens: most likely it is the wrong one. Where it may be lost, it is.
#[tokio::test]
async fn a_file_over_1_mib_is_replaced_only_when_it_may_be_lost() {
    for (format, payload) in [
        (Format::Json, None),
        (Format::Raw, None),
        (Format::Env, Some(&[("T", "{{ token }}")][..])),
    ] {
        let site = FileSite::new(format, payload);
        std::fs::create_dir_all(site.path().parent().unwrap()).unwrap();
        let large = vec![b'x'; (1 << 20) + 1];
        std::fs::write(site.path(), &large).unwrap();
        let sink = site.sink();
        let seen = sink.read().await.unwrap();
        let Loss::Unparsed(why) = &seen.loss else { panic!("{seen:?}") };
        assert!(why.contains("larger than 1 MiB"), "{why}");
        let proof = sink.prove_writable(&seen).await.unwrap_err();
        let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
        for fault in [proof, write] {
            assert_eq!(fault.code, Code::ForeignContent, "{format:?}: {fault}");
            assert!(fault.detail.contains("1 MiB"), "{fault}");
            assert!(fault.detail.contains("overwrite = true on this delivery"), "{fault}");
        }
        assert_eq!(std::fs::read(site.path()).unwrap(), large);
        let overwriting = site.open_overwriting().unwrap();
        overwriting.prove_writable(&seen).await.unwrap();
        promote(&*overwriting, 1).await;
        assert_holds(&sink.read().await.unwrap(), &delivery(1));
        assert!(std::fs::metadata(site.path()).unwrap().len() < 4096, "nothing of it is left");
    }
}
