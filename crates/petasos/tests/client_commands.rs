//! The client commands against a server that does what the test says: refuses, falls silent, cuts connections.

#[path = "client_commands/binary.rs"]
mod binary;
#[path = "client_commands/publish.rs"]
mod publish;
#[path = "client_commands/publish_failures.rs"]
mod publish_failures;
#[path = "client_commands/server.rs"]
mod server;
#[path = "client_commands/subscribe.rs"]
mod subscribe;
#[path = "client_commands/tls.rs"]
mod tls;
