//! Kubernetes sinks: the cluster, the names, the rights.

use std::any::Any;

use scimitar::{
    config::{Config, Problem, Secrets, load_for},
    sink::kubernetes::{KubernetesConfig, KubernetesTarget},
};

use super::support::{Bench, CONNECTION, HEAD, KUBECONFIG, LIFETIME, proxy, refused_in};

const REACH: &str = "kubeconfig = { file = \"kubeconfig\" }\ncontext = \"prod\"\n";

fn sink(keys: &str) -> String {
    format!("[sinks.k]\ntype = \"kubernetes\"\nnamespace = \"scim\"\n{keys}")
}

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("kubeconfig", KUBECONFIG);
    bench
}

fn read(bench: &Bench, text: &str) -> KubernetesConfig {
    let config = bench.load(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let sink: &dyn Any = &**config.sinks.values().next().unwrap();
    sink.downcast_ref::<KubernetesConfig>().unwrap().clone()
}

fn delivering(delivery: &str) -> String {
    let connection = CONNECTION.replace("{ sink = \"disk\", file = \"one.token\" }", delivery);
    format!("{HEAD}{}{connection}{LIFETIME}", sink(REACH))
}

fn target(config: &Config) -> &KubernetesTarget {
    config.connections[0].deliveries[0].to.of_kind().unwrap()
}

#[test]
fn a_pod_needs_a_namespace_and_every_key_is_read() {
    let mut bench = bench();
    bench.env.insert("KUBERNETES_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned());
    let least = read(&bench, &sink(""));
    assert!(least.create && least.kubeconfig.is_none());
    let all = read(
        &bench,
        &sink(&format!("{REACH}create = false\nhttp = {{ proxy = \"http://proxy:3128\" }}\n")),
    );
    assert!(!all.create && all.kubeconfig.is_some_and(|(_, context)| context == "prod"));
    assert_eq!(all.http.proxy, proxy("http://proxy:3128"));
    let config = bench
        .load(&delivering(
            "{ sink = \"k\", secret = \"scim-initech\", namespace = \"team-a\", overwrite = true, \
             payload = { \"a.b\" = \"{{ token }}\" } }",
        ))
        .unwrap();
    let target = target(&config);
    assert_eq!(
        (target.secret.as_str(), target.namespace.as_deref()),
        ("scim-initech", Some("team-a"))
    );
    assert!(target.overwrite && target.payload.is_some());
}

#[test]
fn what_is_no_way_to_a_cluster_is_refused_at_its_place() {
    let how = "write context = \"…\" beside it: kubectl config get-contexts lists them; current-context \
               is not followed, since kubectl changes it";
    refused_in(
        &bench(),
        &sink("«kubeconfig = { file = \"kubeconfig\" }\n"),
        "`kubeconfig` needs a context",
        how,
    );
    refused_in(
        &bench(),
        &sink("«context = \"prod\"\n"),
        "`context` belongs to a kubeconfig, and none is set",
        "write kubeconfig = { file = \"…\" } beside it, or leave it out in a pod",
    );
    let bench = bench();
    let read_from = format!("it was read from the file {}", bench.path("kubeconfig").display());
    let problems = bench.problems(&sink(&REACH.replace("prod", "staging")));
    let words = "scimitar.toml:4:14: `kubeconfig` cannot be used: it has no context \"staging\" (there: \
                 prod) | it was read from the file kubeconfig";
    assert_eq!(problems, [words], "{read_from}");
    bench.write("kubeconfig", KUBECONFIG.replace("token: canary", "exec: { command: canary }"));
    let problems = bench.problems(&sink(REACH));
    assert!(problems.len() == 1 && problems[0].contains("a program (exec)"), "{problems:?}");
    assert!(!problems[0].contains("canary"), "{problems:?}");
}

/// Whoever only checks, or asks what has to be granted, need not be in a pod.
#[test]
fn that_it_is_no_pod_is_an_error_only_for_what_runs() {
    let bench = bench();
    let words = "[sinks.k] without `kubeconfig`: KUBERNETES_SERVICE_HOST is not set, so this process \
                 does not run in a pod";
    let text = format!("{HEAD}{}{CONNECTION}{LIFETIME}", sink(""));
    let problems = bench.problems(&text);
    assert!(problems.len() == 1 && problems[0].contains(words), "{problems:?}");
    let path = bench.write("scimitar.toml", &text);
    for (secrets, told) in [(Secrets::Checked, true), (Secrets::Unneeded, false)] {
        let config = load_for(&path, &bench.env, secrets).unwrap();
        let says = |problem: &Problem| problem.message.contains(words);
        assert_eq!(config.warnings.iter().any(says), told, "{secrets:?}");
    }
}

#[test]
fn names_that_kubernetes_does_not_take_are_refused() {
    for (delivery, message, hint) in [
        (
            "{ sink = \"k\", secret = «\"SCIM\" }",
            "`secret` may hold lower-case letters, digits, - and . only, and begins and ends, as each \
             part between dots, with a letter or digit",
            "write a name such as \"scim-initech\"",
        ),
        (
            "{ sink = \"k\", secret = \"scim\", namespace = «\"a.b\" }",
            "`namespace` may hold lower-case letters, digits and - only, and begins and ends with a \
             letter or digit",
            "write a namespace such as \"scim\"",
        ),
        (
            "{ sink = \"k\", secret = \"scim\", payload = { «\"a b\" = \"{{ token }}\" } }",
            "`a b` cannot be a key of a Secret: letters, digits, - _ and . only",
            "use the name that its readers mount, such as \"scim-token\"",
        ),
    ] {
        refused_in(&bench(), &delivering(delivery), message, hint);
    }
    let problems = bench().problems(&delivering(
        "{ sink = \"k\", secret = \"scim\" }, { sink = \"k\", secret = \"scim\", namespace = \"scim\" }",
    ));
    let twice = "two deliveries go to one place: kubernetes:prod/scim/scim";
    assert!(problems.len() == 1 && problems[0].contains(twice), "{problems:?}");
}
