//! tower layers for reverse proxies, each usable alone in anyone's `ServiceBuilder`.
