//! The configurations of `nginx/` as they stand, but for names, ports and what each test says: sound by `nginx -t`, stock clients
//! through them over TLS, and what is kept away.

mod attacks;
mod browser;
mod clients;
mod edge;
mod h2;
mod reload;
mod requests;
mod sources;
