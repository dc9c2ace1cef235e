//! The dashboard's page, served by the admin listener itself, so that it is of the same origin as what it asks for. Its files
//! are the same for everybody; nothing of the system is in them.

use axum::Router;
use turnpike_gateway::pages::{File, HTML, PICTURE, SCRIPT, STYLE, serve};

/// Nothing from elsewhere, nothing inline, no form that goes anywhere, never inside of another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

macro_rules! script {
    ($name:literal) => {
        (concat!("/", $name), SCRIPT, include_str!(concat!("../../../web/", $name)))
    };
}

const FILES: [File; 13] = [
    ("/dashboard", HTML, include_str!("../../../web/dashboard/index.html")),
    ("/dashboard/style.css", STYLE, include_str!("../../../web/dashboard/style.css")),
    script!("dashboard/app.js"),
    script!("dashboard/api.js"),
    script!("dashboard/confirm.js"),
    script!("dashboard/figures.js"),
    script!("dashboard/find.js"),
    script!("dashboard/plot.js"),
    script!("dashboard/security.js"),
    script!("dashboard/words.js"),
    script!("demo/dom.js"),
    ("/style.css", STYLE, include_str!("../../../web/style.css")),
    ("/icon.svg", PICTURE, include_str!("../../../web/icon.svg")),
];

pub(super) fn routes() -> Router {
    serve(FILES, POLICY)
}
