//! Credentials of a profile, and what is said where there are none.

use std::path::Path;

use super::{
    credentials::{GOOD, always, check, folder},
    secrets_manager::SecretsManager,
};

/// A home with these profiles.
fn home(folder: &Path, profiles: &str) {
    std::fs::create_dir_all(folder.join(".aws")).unwrap();
    std::fs::write(folder.join(".aws/config"), profiles).unwrap();
}

#[tokio::test]
async fn a_program_that_gives_credentials_is_asked() {
    let aws = SecretsManager::start().await;
    let (proxy, _) = always(403, "").await;
    let folder = folder(&aws, &proxy);
    let path = folder.path();
    home(path, "[profile of-a-program]\ncredential_process = sh give.sh 'pr0gram arg'\n");
    let environment = [
        ("HOME", path.to_str().unwrap()),
        ("PATH", "/usr/bin:/bin"),
        ("AWS_PROFILE", "of-a-program"),
    ];
    let good = r#"echo '{"Version":1,"AccessKeyId":"PROGRAM","SecretAccessKey":"pr0gram5ecret",
        "SessionToken":"pr0gramt0ken"}'"#;
    std::fs::write(path.join("give.sh"), good).unwrap();
    let said = check(path, &environment).await;
    assert!(said.contains(GOOD), "{said}");
    for secret in ["pr0gram5ecret", "pr0gramt0ken", "pr0gram arg"] {
        assert!(!said.contains(secret), "{secret} is shown");
    }
    let signed = |key: &str| aws.world().asked.iter().all(|asked| asked.key == key);
    assert!(!aws.world().asked.is_empty() && signed("PROGRAM"), "{:?}", aws.world().asked);
    std::fs::write(path.join("give.sh"), "echo 'no badge was found' >&2; exit 3\n").unwrap();
    let said = check(path, &environment).await;
    assert!(said.contains("no badge was found"), "what the program says: {said}");
}

#[tokio::test]
async fn a_profile_that_needs_a_person_is_told_so() {
    let aws = SecretsManager::start().await;
    let (proxy, _) = always(403, "").await;
    let folder = folder(&aws, &proxy);
    let path = folder.path();
    home(
        path,
        "[profile of-a-person]\nsso_session = corp\nsso_account_id = 111122223333\n\
         sso_role_name = reader\nregion = eu-central-1\n\
         [sso-session corp]\nsso_region = eu-central-1\nsso_start_url = https://corp.example.com\n\
         [profile at-the-console]\nlogin_session = arn:aws:iam::111122223333:user/x\n",
    );
    // A second secret is the second question in the same process.
    let config = std::fs::read_to_string(path.join("c.toml")).unwrap();
    let (_, connection) = config.split_once("[[connections]]").unwrap();
    let second = connection.replace("okta", "waad").replace("initech", "globex");
    std::fs::write(path.join("c.toml"), format!("{config}[[connections]]{second}")).unwrap();
    for (profile, words) in
        [("of-a-person", "IAM Identity Center"), ("at-the-console", "login_session")]
    {
        let environment = [("HOME", path.to_str().unwrap()), ("AWS_PROFILE", profile)];
        let said = check(path, &environment).await;
        assert!(said.contains(words) && said.contains("credential_process"), "{said}");
        assert!(said.contains("instance, container, web identity"), "{said}");
        let shown = said.lines().filter(|line| line.contains("could not read"));
        assert!(shown.clone().count() >= 2, "{said}");
        for line in shown {
            assert!(!line.contains("cargo") && !line.contains("already taken"), "{line}");
        }
    }
    assert_eq!(aws.world().asked.len(), 0, "nobody else's credentials are used");
}

/// Each of the places where they were looked for, to the last.
#[tokio::test]
async fn without_credentials_every_source_says_why() {
    let aws = SecretsManager::start().await;
    let (proxy, _) = always(403, "").await;
    let folder = folder(&aws, &proxy);
    let path = folder.path();
    home(path, "[default]\nregion = eu-central-1\n");
    let environment = [("HOME", path.to_str().unwrap()), ("AWS_EC2_METADATA_DISABLED", "true")];
    let said = check(path, &environment).await;
    for words in [
        "there are no AWS credentials: environment (AWS_ACCESS_KEY_ID): ",
        "; profile (AWS_PROFILE, ~/.aws): ",
        "; web identity (AWS_WEB_IDENTITY_TOKEN_FILE): ",
        "; container (AWS_CONTAINER_CREDENTIALS_FULL_URI): ",
        "; instance: ",
    ] {
        assert!(said.contains(words), "{words:?}: {said}");
    }
    assert!(!said.contains('…'), "nothing is cut off: {said}");
}
