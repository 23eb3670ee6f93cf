//! Connections to AWS: silent ones, proxies, CAs and endpoints, with the program over real sockets.

mod endpoint;
mod network;
mod proxy;
mod silent;
mod tls;
