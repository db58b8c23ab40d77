//! No client of ours speaks to a service that has nothing newer than TLS 1.1: the whole program, with a
//! service of each kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use super::binary::{Call, Ended, LIMIT};

/// What is asked, in the order of their ports; two kinds of sink are not in every build.
const SERVICES: &[&str] = &[
    "auth0",
    "dbt_cloud",
    "http",
    "vault",
    "aws",
    "ssm",
    #[cfg(feature = "gcp_secret_manager")]
    "gcp",
    #[cfg(feature = "azure_key_vault")]
    "azure",
    "entra",
    "okta",
    "kubernetes",
];

/// Services of one version of TLS.
struct Services {
    child: Child,
    ports: BTreeMap<&'static str, u16>,
    lines: Receiver<String>,
    _alive: ChildStdin,
}

impl Services {
    fn start(version: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let data = root.join("tests/in_process/provider/data");
        let mut child = Command::new("python3")
            // It says that these versions are out of date.
            .args(["-W", "ignore"])
            .arg(root.join("tests/servers/together/tls.py"))
            .args([version.as_ref(), data.join("server.pem").as_os_str()])
            .args([data.join("server.key").as_os_str(), SERVICES.len().to_string().as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let alive = child.stdin.take().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = out.next().expect("it could not speak that version: see above").unwrap();
        let (agreed, ports) = first.split_once(' ').unwrap();
        // What nobody can speak is refused for nothing.
        assert_eq!(agreed, version.replace('_', "."), "with itself");
        let ports = ports.split(' ').map(|port| port.parse().unwrap());
        let ports = SERVICES.iter().copied().zip(ports).collect();
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            out.map_while(Result::ok).try_for_each(|line| tell.send(line)).ok()
        });
        Self { child, ports, lines, _alive: alive }
    }

    fn url(&self, service: &str) -> String {
        format!("https://127.0.0.1:{}", self.ports[service])
    }

    /// Waits until something was said of each service: what was said of each of them.
    fn said(&self) -> BTreeMap<&'static str, BTreeSet<String>> {
        let mut said: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        while said.len() < SERVICES.len() {
            let line = self.lines.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|_| panic!("not everything was asked: {said:?}"));
            let (port, words) = line.split_once(' ').unwrap();
            let port: u16 = port.parse().unwrap();
            let name = self.ports.iter().find(|(_, its)| **its == port).unwrap().0;
            said.entry(name).or_default().insert(words.to_owned());
        }
        said
    }

    fn config(&self) -> String {
        let ca =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/in_process/provider/data/ca.pem");
        let url = |service| self.url(service);
        let login = "auth = { method = \"client_secret\", tenant = \"acme\", client_id = \"c\", \
                     client_secret = { file = \"secret\" } }";
        let sinks = [
            (
                "vault",
                format!(
                    "address = \"{}\"\nauth = {{ method = \"token\", token = {{ file = \"secret\" }} }}",
                    url("vault")
                ),
                "path = \"secret/a\"",
            ),
            (
                "aws_secrets_manager",
                format!(
                    "region = \"eu-central-1\"\nendpoint_url = \"{0}\"\nsts_endpoint_url = \"{0}\"",
                    url("aws")
                ),
                "name = \"a\"",
            ),
            (
                "aws_ssm",
                format!(
                    "region = \"eu-central-1\"\nendpoint_url = \"{0}\"\nsts_endpoint_url = \"{0}\"",
                    url("ssm")
                ),
                "parameter = \"/a\"",
            ),
            #[cfg(feature = "gcp_secret_manager")]
            (
                "gcp_secret_manager",
                format!(
                    "project = \"acme-identity\"\nendpoint_url = \"{}\"\ncredentials = {{ file = \"google\" }}",
                    url("gcp")
                ),
                "secret_id = \"a\"",
            ),
            #[cfg(feature = "azure_key_vault")]
            (
                "azure_key_vault",
                format!("vault = \"{0}\"\nauthority = \"{0}\"\n{login}", url("azure")),
                "secret_name = \"a\"",
            ),
            (
                "entra",
                format!("graph_url = \"{0}\"\nauthority = \"{0}\"\n{login}", url("entra")),
                "service_principal = \"00000000-0000-4000-8000-000000000000\"",
            ),
            (
                "okta",
                format!(
                    "org_url = \"{}\"\nauth = {{ method = \"api_token\", api_token = {{ file = \"secret\" }} }}",
                    url("okta")
                ),
                "app_id = \"0oa1\"",
            ),
            (
                "kubernetes",
                "kubeconfig = { file = \"kubeconfig\" }\ncontext = \"prod\"\nnamespace = \"a\""
                    .to_owned(),
                "secret = \"a\"",
            ),
        ];
        let mut text = format!(
            "[state]\nurl = \"sqlite://ledger.db\"\n[engine]\nrequest_timeout = \"5s\"\n\
             [http]\nca_file = \"{}\"\n\
             [providers.auth0]\ntype = \"auth0\"\ndomain = \"acme.eu.auth0.com\"\nclient_id = \"c\"\n\
             client_secret = {{ file = \"secret\" }}\nbase_url = \"{}\"\n\
             [providers.dbt]\ntype = \"dbt_cloud\"\nhost = \"cloud.getdbt.com\"\naccount_id = 12345\n\
             token = {{ file = \"secret\" }}\nbase_url = \"{}\"\n\
             [providers.http]\ntype = \"http\"\nbase_url = \"{http}\"\n\
             auth = {{ method = \"bearer\", token = {{ file = \"secret\" }} }}\n\
             scim_endpoint = \"{http}/scim\"\nlist = {{ path = \"tokens\", items = \"/data\" }}\n\
             create = {{ path = \"tokens\", body = {{ name = \"{{{{ name }}}}\" }}, value = \"/secret\" }}\n\
             delete = {{ path = \"tokens/{{{{ token_id }}}}\" }}\n\
             tokens = {{ id = \"/id\", created = \"/created\", name = \"/name\" }}\n\
             [sinks.disk]\ntype = \"file\"\ndirectory = \"out\"\n",
            ca.display(),
            url("auth0"),
            url("dbt_cloud"),
            http = url("http"),
        );
        let mut places = "{ sink = \"disk\", file = \"a\" }".to_owned();
        for (kind, keys, place) in sinks {
            text.extend([format!("[sinks.{kind}]\ntype = \"{kind}\"\n{keys}\n")]);
            places.extend([format!(", {{ sink = \"{kind}\", {place} }}")]);
        }
        for (name, rest) in [
            (
                "auth0",
                format!(
                    "connection_id = \"con_0123456789abcdef\"\ntoken_lifetime = \"30d\"\ndeliver_to = [{places}]\n"
                ),
            ),
            (
                "dbt",
                "max_age = \"30d\"\ndeliver_to = [{ sink = \"disk\", file = \"b\" }]\n".to_owned(),
            ),
            (
                "http",
                "max_age = \"30d\"\ndeliver_to = [{ sink = \"disk\", file = \"c\" }]\n".to_owned(),
            ),
        ] {
            text.extend([format!(
                "[[connections]]\nname = \"{name}\"\nprovider = \"{name}\"\n{rest}"
            )]);
        }
        text
    }

    /// Asks all of them, as `check --online` does.
    fn asked(&self) -> Ended {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        #[cfg(feature = "gcp_secret_manager")]
        write(
            "google",
            &format!(
                "{{\"type\":\"external_account\",\"audience\":\"//iam.googleapis.com/p\",\
                 \"subject_token_type\":\"urn:ietf:params:oauth:token-type:jwt\",\
                 \"token_url\":\"{}/token\",\"credential_source\":{{\"file\":\"{}\"}}}}",
                self.url("gcp"),
                folder.path().join("secret").display()
            ),
        );
        let cluster = format!(
            "kind: Config\ncurrent-context: prod\nclusters:\n- name: c\n  cluster: {{ server: '{}' }}\n\
             users:\n- name: u\n  user: {{ token: t }}\ncontexts:\n- name: prod\n  \
             context: {{ cluster: c, user: u }}\n",
            self.url("kubernetes")
        );
        write("c.toml", &self.config());
        write("secret", "s3cret");
        write("kubeconfig", &cluster);
        Call::new(folder.path(), &["--config", "c.toml", "check", "--online"])
            .env("HOME", folder.path().to_str().unwrap())
            .env("AWS_ACCESS_KEY_ID", "TEST")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .run()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nobody_is_spoken_to_below_tls_1_2() {
    for version in ["TLSv1", "TLSv1_1"] {
        let services = Services::start(version);
        let ended = services.asked().exits(1);
        for (service, said) in services.said() {
            let refused = said.iter().all(|words| words.starts_with("refused"));
            assert!(refused, "{version}: {service}: {said:?}\n{}{}", ended.stdout, ended.stderr);
        }
    }
    // By the same certificate and way the same services are asked once they speak a newer version.
    let services = Services::start("TLSv1_2");
    services.asked().exits(1);
    for (service, said) in services.said() {
        assert!(said.contains("TLSv1.2"), "{service}: {said:?}");
    }
}
