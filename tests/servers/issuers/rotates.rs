//! From the first token to the end of the overlap.

use scimitar_test_support::issuers::ALL;

use super::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn each_declared_issuer_is_rotated() {
    for api in ALL {
        let site = Site::start(api, |_, text| text).await;
        assert_eq!(site.run(&["--rotate-now"]).row()["outcome"], "rotated", "{}", api.file);
        assert_eq!(site.values(), [site.file()], "{}", api.file);
        let first = site.file();
        assert_eq!(site.run(&["--rotate-now"]).row()["outcome"], "rotated", "{}", api.file);
        assert_eq!(site.values(), [first, site.file()], "{}", api.file);
        site.run(&["--once", "--wait", "--timeout", "60s"]);
        assert_eq!(site.values(), [site.file()], "{}", api.file);
        let row = site.run(&["status"]).row();
        assert_eq!(row["phase"], "steady", "{row}");
    }
}
