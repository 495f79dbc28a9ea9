# `make up` starts everything, `make test` tests everything; the rest is for those who work on it.
CARGO ?= cargo
# How `make up` builds, where that puts the programs, and what the cluster is told besides.
RELEASE ?= --release
PROGRAMS ?= target/release
DEMO ?=

.PHONY: help up cluster cluster-stop group group-stop test lint bench tools

help: ## What there is to make.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: tools ## Build and start the embedded cluster on sample data; Ctrl-C ends it.
	$(CARGO) build $(RELEASE) --locked --bins
	exec $(PROGRAMS)/kamaitachi-gateway demo $(DEMO)

cluster: tools ## Start etcd, a master, two slaves and the gateway as processes of their own.
	$(CARGO) build $(RELEASE) --locked --bins
	BIN=$(PROGRAMS) conf/cluster/run start

cluster-stop: ## End exactly the processes that `make cluster` started.
	conf/cluster/run stop

group: tools ## Start etcd and three servers of a cache group as processes of their own.
	$(CARGO) build $(RELEASE) --locked -p kamaitachi-node
	BIN=$(PROGRAMS) conf/cluster/group start

group-stop: ## End exactly the processes that `make group` started.
	conf/cluster/group stop

test: tools ## Run every test.
	@test -x /usr/bin/etcd || .ci/install-etcd
	@command -v strace >/dev/null || .ci/install strace || true # tests of faults say what they miss
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || .ci/install faketime || true
	$(CARGO) test --workspace --all-features --locked

lint: tools ## Formatting, clippy, documentation, who may use whom.
	$(CARGO) fmt --all --check
	$(CARGO) lint
	$(CARGO) clippy -p kamaitachi-gateway --no-default-features --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) docs
	.ci/dependencies

bench: tools ## Micro-benchmarks, then whole processes beside HAProxy and nginx.
	$(CARGO) bench --workspace --locked --bench '*'

tools: # What a build needs and cargo does not bring.
	@command -v $(CARGO) >/dev/null || { echo "make: cargo is missing; install Rust 1.95 or newer, see https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || .ci/install build-essential
	@command -v protoc >/dev/null || .ci/install protobuf-compiler || true # else .ci/protoc finds another way
