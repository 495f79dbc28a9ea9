//! Who is there: membership as a stream, from a list, a file, DNS or etcd, and the registration of a service.
