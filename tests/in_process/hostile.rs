//! Every input that ever did harm, and those that the fuzzer begins with, is fed to what reads it, as
//! `fuzz/run` does: it ends soon, without a panic.

use scimitar_test_support::hostile::{TARGETS, replay};

macro_rules! replayed {
    ($($(#[$on:meta])* $test:ident),* $(,)?) => {
        $(
            $(#[$on])*
            #[test]
            fn $test() {
                let name = stringify!($test).replace('_', "-");
                replay(TARGETS.into_iter().find(|target| target.name == name).unwrap());
            }
        )*

        // By the names alone: a target whose kind this build leaves out is in the list all the same.
        #[test]
        fn no_target_is_left_out() {
            let tested = [$(stringify!($test)),*].map(|test| test.replace('_', "-"));
            assert_eq!(TARGETS.map(|target| target.name.to_owned()), tested);
        }
    };
}

replayed![
    arguments,
    audit,
    companion,
    config,
    control,
    hook_body,
    import,
    kubeconfig,
    ledger,
    pattern,
    pem,
    provider_auth0,
    provider_dbt_cloud,
    provider_http,
    record,
    sandbox,
    schedule,
    scim,
    sink_aws,
    #[cfg(feature = "azure_key_vault")]
    sink_azure,
    sink_entra,
    #[cfg(feature = "gcp_secret_manager")]
    sink_gcp,
    sink_kubernetes,
    sink_okta,
    sink_ssm,
    sink_vault,
    template,
    web,
];
